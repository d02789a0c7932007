"""`lavseg train`: train a method from a recipe."""

import sys
from contextlib import redirect_stdout
from pathlib import Path
from typing import Annotated

import typer

from .one_line_errors import one_line_errors
from .outside import Plugins, TrustRemoteCode
from .printing import Json, print_json, print_table
from .quiet import silence_data_sets, silence_libraries

# This package's own keys; encoders are those of the methods in it.
KEY_GROUPS = {
    "data": (
        "data_root",
        "dataset",
        "subset",
        "train_split",
        "streaming",
        "sentences_per_clip",
        "eval_splits",
        "label_size",
        "augment",
    ),
    "model": ("method", "architecture", "model", "processor", "lora", "feature_cache"),
    "encoders": ("sam2", "sam", "mask2former", "vision", "text", "language", "audio"),
    "loss and optimiser": ("loss_weights", "audio_learning_rate_factor", "synthetic_null_probability"),
    "evaluation": ("metric_protocols", "eval_sentences", "early_stopping_patience", "early_stopping_threshold"),
    "running": ("resume", "plugin", "trust_remote_code"),
}
KEY_HELP = "\n\n".join(
    [
        "Own keys, each an option as well:",
        *(f"{group}: {', '.join(names)}" for group, names in KEY_GROUPS.items()),
        "lavseg train --keys lists them with their meanings, and Transformers' keys too.",
    ]
)


def train(
    recipe: Annotated[
        list[str] | None,
        typer.Argument(
            help="A recipe by name or path, and keys of it to be set otherwise, such as --learning_rate 1e-4.",
            metavar="[RECIPE] [--KEY VALUE]...",
            show_default=False,
        ),
    ] = None,
    data: Annotated[str | None, typer.Option(help="Folder of the data set or its Hub id.", show_default=False)] = None,
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
    check: Annotated[
        bool,
        typer.Option(
            "--check",
            help="Show the configuration that rules, parameters and rows, train on one batch, and end; writes nothing.",
        ),
    ] = False,
    keys: Annotated[bool, typer.Option("--keys", help="List all keys with their defaults and meanings.")] = False,
    plugin: Plugins = None,
    trust_remote_code: TrustRemoteCode = False,
    as_json: Json = False,
) -> None:
    """Train a method from RECIPE, one of those that `lavseg recipes` lists or a YAML file of your own.

    Its keys are those of Transformers' TrainingArguments and this package's own, named below. Each may be given here as
    well, and then wins; those that lie deeper with --set. OUT may hold an earlier run only with --resume. On a CPU,
    recipes with bf16 need --bf16 false.
    """
    values = {"data_root": [data], "output_dir": [out], "model": model, "set": set_, "plugin": plugin}
    given = _arguments(recipe, values, {"resume": resume, "trust_remote_code": trust_remote_code})
    with one_line_errors("lavseg train"):
        silence_libraries()
        silence_data_sets()
        if keys:
            return _print_keys(as_json)
        if check:
            from ..training.check import check as run
        else:
            from ..training.run import train as run

        # What the Trainer logs on the way is no part of the result.
        with redirect_stdout(sys.stderr if as_json else sys.stdout):
            result = run(given)
    if as_json:
        print_json(result)
    elif check:
        _print_check(result)
    else:
        typer.echo(f"{result['output_dir']}: {result['steps']} steps, mean loss {result['train_loss']:.4f}")


def _arguments(recipe: list[str] | None, values: dict[str, list | None], flags: dict[str, bool]) -> list[str]:
    """The command line of a run: `recipe` with its keys, options that have values, and flags that are set."""
    given = list(recipe or [])
    for name, several in values.items():
        found = [str(value) for value in several or [] if value is not None]
        given += [f"--{name}", *found] if found else []
    return given + [f"--{name}" for name, chosen in flags.items() if chosen]


def _print_keys(as_json: bool) -> None:
    from ..training.keys import own_keys, transformers_keys

    own, theirs = own_keys(), transformers_keys()
    groups = {group: [name for name in names if name in own] for group, names in KEY_GROUPS.items()}
    placed = {name for names in KEY_GROUPS.values() for name in names}
    groups["from plugins"] = [name for name in own if name not in placed]
    groups["Transformers' TrainingArguments"] = list(theirs)
    rows = [(group, name, *(own | theirs)[name]) for group, names in groups.items() for name in names]
    if as_json:
        print_json([dict(zip(("group", "key", "default", "meaning"), row, strict=True)) for row in rows])
    else:
        print_table(["group", "key", "default", "meaning"], rows)


def _print_check(found: dict) -> None:
    import yaml

    typer.echo(yaml.safe_dump(found["configuration"], sort_keys=False, allow_unicode=True).rstrip())
    for kind, names in found["start"].items():
        typer.echo(f"starts from {kind}: {names if isinstance(names, str) else ', '.join(names)}")
    counts = found["parameters"].items()
    print_table(
        ["part", "parameters", "trained"],
        [(part, f"{count['parameters']:,}", f"{count['trained']:,}") for part, count in counts],
    )
    rows = ", ".join(f"{count:,} of {split}" for split, count in found["rows"].items())
    typer.echo(f"rows: {rows}; {found['clips_per_step']} clips a step")
    batch = found["batch"]
    memory = f", {batch['peak_gib']} GiB of GPU memory at most" if "peak_gib" in batch else ""
    typer.echo(f"one batch of {batch['clips']} clips: loss {batch['loss']:.4f}, {batch['seconds']} s{memory}")
