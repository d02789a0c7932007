"""The group of all commands."""

from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from .. import __version__
from .one_line_errors import one_line_errors, show_tracebacks

if TYPE_CHECKING:
    from typer import Context

DEBUG = "--debug"


class CommandGroup(TyperGroup):
    """Reports in one line also what is wrong with the arguments, and takes `--debug` wherever it stands."""

    def make_context(self, info_name: str | None, args: list[str], **options: Any) -> "Context":
        """As in Typer."""
        with one_line_errors(info_name or "lavseg"):
            return super().make_context(info_name, _debug_first(args), **options)

    def invoke(self, ctx: "Context") -> Any:
        """As in Typer."""
        try:
            return super().invoke(ctx)
        except BrokenPipeError:  # who read the output has had enough, for which Typer has an exit status
            raise
        except BaseException:
            with one_line_errors(ctx.command_path):
                raise


def _show_version(asked: bool) -> None:
    if asked:
        typer.echo(f"lavseg {__version__}")
        raise typer.Exit


def root(
    debug: Annotated[bool, typer.Option(DEBUG, help="Show where in the code an error comes from.")] = False,
    version: Annotated[
        bool, typer.Option("--version", help="Show the version and end.", is_eager=True, callback=_show_version)
    ] = False,
) -> None:
    """Find the object in a video that a sentence, the sound and the picture mean together."""
    show_tracebacks(debug)


def _debug_first(args: list[str]) -> list[str]:
    """Arguments with `--debug` before the command. With a value it is a key of recipes, which `train` takes."""
    for place, word in enumerate(args):
        following = args[place + 1 : place + 2]
        if word == DEBUG and (args[0] != "train" or not following or following[0].startswith("-")):
            return [DEBUG, *args[:place], *args[place + 1 :]]
    return args
