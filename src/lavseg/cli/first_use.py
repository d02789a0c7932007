"""Released checkpoints by name: commands ask before they fetch one."""

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from .quiet import silence_libraries

if TYPE_CHECKING:
    from ..released import Release

MODEL = "Folder or Hub id of a checkpoint, or a name that `lavseg models` lists."
# For those who name no checkpoint.
CHOICE = (
    "`lavseg models` lists checkpoints for real clips, such as auralsam2-ref-avs; examples/sam2-love-tiny in a clone "
    "of the repository is a toy that knows only drawn objects"
)
StageOne = Annotated[
    str | None,
    typer.Option(
        help="Another checkpoint, which finds what sounds, whose masks the second stage of Stepping-Stones is given.",
        show_default=False,
    ),
]
Yes = Annotated[
    bool, typer.Option("--yes", help="Fetch a checkpoint that was named for the first time without asking.")
]


def make_available(model: str | None, yes: bool, stage_one: str | None = None) -> None:
    """Fetch and convert a released checkpoint that is used for the first time, with its progress on stderr; and the one
    of a first stage, where one is named.

    Raises:
        ValueError: when none was named, that fails, or nobody agreed to it.
    """
    if model is None:
        raise ValueError(f"--model: is missing; {CHOICE}")
    from ..released import checkpoint_folder

    silence_libraries(downloads=True)
    for name in (model,) if stage_one is None else (model, stage_one):
        checkpoint_folder(name, lambda release, size: _agree(release, size, yes))


def _agree(release: "Release", size: int, yes: bool) -> None:
    from ..released import first_use

    said = first_use(release, size)
    if yes:
        typer.echo(said, err=True)
    elif not sys.stdin.isatty():
        raise ValueError(f"{said} Agree with --yes")
    else:
        typer.confirm(f"{said} Go on?", abort=True, err=True)
