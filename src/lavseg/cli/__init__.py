"""The `lavseg` command. Its modules import what is heavy only when a command runs, so that help answers at once."""

import logging

import typer

from .app import serve
from .convert import convert
from .data import data
from .evaluate import evaluate
from .info import info
from .push import push
from .segment import segment
from .train import train

app = typer.Typer(
    help="Find the object in a video that a sentence, the sound and the picture mean together.",
    no_args_is_help=True,
)
app.command()(segment)
# Keys of a recipe are options, too; they are checked when the recipe is read.
app.command(context_settings={"ignore_unknown_options": True})(train)
app.command()(evaluate)
app.add_typer(convert, name="convert")
app.add_typer(data, name="data")
app.command()(push)
app.command("app")(serve)
app.command()(info)


def main() -> None:
    """Entry point of the command."""
    # Transformers imports torchao where it is installed, which registers types in a way that torch warns about.
    logging.getLogger("torch.utils._pytree").setLevel(logging.ERROR)
    app()
