"""The `lavseg` command. Its modules import what is heavy only when a command runs, so that help answers at once."""

import logging
import signal
import sys

import typer

from .app import serve
from .command_group import CommandGroup, root
from .convert import convert
from .data import data
from .evaluate import evaluate
from .info import info
from .models import models
from .push import push
from .recipes import recipes
from .segment import segment
from .train import KEY_HELP, train

app = typer.Typer(cls=CommandGroup, no_args_is_help=True, context_settings={"help_option_names": ["-h", "--help"]})
app.callback()(root)
app.command()(segment)
# Keys of a recipe are options, too; they are checked when the recipe is read.
app.command(context_settings={"ignore_unknown_options": True}, epilog=KEY_HELP)(train)
app.command()(recipes)
app.command()(models)
app.command()(evaluate)
app.add_typer(convert, name="convert")
app.add_typer(data, name="data")
app.command()(push)
app.command("app")(serve)
app.command()(info)


def main() -> None:
    """Entry point of the command. SIGTERM ends it as Ctrl-C does."""
    # Transformers imports torchao where it is installed, which registers types in a way that torch warns about.
    logging.getLogger("torch.utils._pytree").setLevel(logging.ERROR)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    sys.stdout.reconfigure(errors="backslashreplace")  # names of files need not be text
    app()
