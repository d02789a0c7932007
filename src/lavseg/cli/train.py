"""`lavseg train`: train a method from a recipe."""

import sys
from contextlib import redirect_stdout
from pathlib import Path
from typing import Annotated

import typer

from .one_line_errors import one_line_errors
from .outside import Plugins, TrustRemoteCode
from .printing import print_json
from .quiet import silence_libraries


def train(
    recipe: Annotated[
        list[str] | None,
        typer.Argument(
            help="A recipe by name or path, and keys of it to be set otherwise, such as --learning_rate 1e-4.",
            metavar="[RECIPE] [--KEY VALUE]...",
            show_default=False,
        ),
    ] = None,
    data: Annotated[Path | None, typer.Option(help="Folder of the data set.", show_default=False)] = None,
    out: Annotated[Path | None, typer.Option(help="Folder for the trained model.", show_default=False)] = None,
    model: Annotated[
        list[str] | None,
        typer.Option(
            help="Checkpoint to start from; give it again for one with parts that the first lacks.", show_default=False
        ),
    ] = None,
    set_: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="KEY=VALUE",
            help="Key of the recipe at any depth, such as model.num_hidden_layers=12; may be given again.",
            show_default=False,
        ),
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on after an interruption.")] = False,
    plugin: Plugins = None,
    trust_remote_code: TrustRemoteCode = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Train a method from RECIPE, one of those that `lavseg recipes` lists or a YAML file of your own.

    Its keys are those of Transformers' TrainingArguments and this package's own: method (sam2-love, aural-sam2,
    st-bava, sama-avs, ...), dataset (ref_avs or avsbench), subset, the encoders sam2, sam, vision, text and audio, and
    more. Each may be given here as well, and then wins; those that lie deeper with --set. OUT may hold an earlier run
    only with --resume.
    """
    given = list(recipe or [])
    for name, values in (
        ("data_root", [data]),
        ("output_dir", [out]),
        ("model", model or []),
        ("set", set_ or []),
        ("plugin", plugin or []),
    ):
        found = [str(value) for value in values if value is not None]
        given += [f"--{name}", *found] if found else []
    given += ["--resume"] if resume else []
    given += ["--trust_remote_code"] if trust_remote_code else []
    with one_line_errors("lavseg train"):
        silence_libraries()
        from ..training.run import train as run

        # What the Trainer logs on the way is no part of the result.
        with redirect_stdout(sys.stderr if as_json else sys.stdout):
            result = run(given)
    if as_json:
        print_json(result)
    else:
        typer.echo(f"{result['output_dir']}: {result['steps']} steps, mean loss {result['train_loss']:.4f}")
