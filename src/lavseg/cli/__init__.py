"""The `lavseg` command. Its modules import what is heavy only when a command runs, so that help answers at once."""

import typer

from .segment import segment

app = typer.Typer(
    help="Find the object in a video that a sentence, the sound and the picture mean together.",
    add_completion=False,
    no_args_is_help=True,
)
app.command()(segment)


@app.callback()
def _commands() -> None:
    """A callback keeps `segment` a sub-command although it is the only one."""


def main() -> None:
    """Entry point of the command."""
    app()
