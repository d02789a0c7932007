"""Train SAM2-LOVE on a data set in the Ref-AVS layout.

From a recipe, whose keys are the arguments below and may be overridden:

    python examples/run_train.py examples/recipes/sam2_love.yaml --data_root REFAVS --audio VGGISH --output_dir RUN

From an existing checkpoint:

    python examples/run_train.py --model CHECKPOINT --data_root REFAVS --output_dir RUN --learning_rate 1e-4

After an interruption, the same command with `--resume`.
"""

import json
import sys
from dataclasses import dataclass, field, fields
from difflib import get_close_matches
from pathlib import Path

import torch
import yaml
from transformers import AutoModel, AutoProcessor, AutoTokenizer, HfArgumentParser, PreTrainedModel, set_seed

import lavseg  # noqa: F401, makes the Auto classes know the models
from lavseg.data import ClipCollator, load_ref_avs
from lavseg.models.sam2_love import Sam2LoveConfig, Sam2LoveModel, Sam2LoveProcessor
from lavseg.processing import AudioVisualProcessor
from lavseg.training import LavsegTrainer, LavsegTrainingArguments, last_checkpoint


@dataclass
class RunArguments:
    """What is trained, and on what."""

    data_root: str = field(metadata={"help": "Folder with metadata.csv, media and gt_mask."})
    model: str | None = field(default=None, metadata={"help": "Checkpoint to start from, in place of the encoders."})
    sam2: str | None = field(default=None, metadata={"help": "SAM2 video checkpoint."})
    vision: str | None = field(default=None, metadata={"help": "Frame encoder, e.g. a ViT."})
    text: str | None = field(default=None, metadata={"help": "Text encoder with its tokenizer."})
    audio: str | None = field(default=None, metadata={"help": "Converted VGGish."})
    train_split: str = field(default="train", metadata={"help": "Split to train on."})
    eval_splits: list[str] = field(default_factory=list, metadata={"help": "Splits to evaluate on while training."})
    label_size: list[int] | None = field(
        default=None, metadata={"help": "Height and width of the labels where frames differ in size."}
    )
    resume: bool = field(default=False, metadata={"help": "Go on from the newest complete checkpoint."})


class Parser(HfArgumentParser):
    def error(self, message: str) -> None:
        raise ValueError(message)


def parse(argv: list[str]) -> tuple[RunArguments, LavsegTrainingArguments, dict]:
    """Arguments of a run and the model's configuration from a command line that may begin with a recipe."""
    overrides = {}
    if argv and not argv[0].startswith("-"):
        given, overrides = read_recipe(Path(argv[0]))
        argv = given + argv[1:]
    parser = Parser((RunArguments, LavsegTrainingArguments), description=__doc__.splitlines()[0], allow_abbrev=False)
    run, args, unknown = parser.parse_args_into_dataclasses(
        argv, return_remaining_strings=True, look_for_args_file=False
    )
    if unknown:
        raise ValueError(f"unknown arguments: {' '.join(unknown)}")
    return run, args, overrides


def read_recipe(path: Path) -> tuple[list[str], dict]:
    """A recipe as command line arguments, and its `model` section."""
    try:
        recipe = yaml.safe_load(path.read_text(encoding="utf-8"))
    except yaml.YAMLError as error:
        raise ValueError(f"{path}: not readable as YAML: {error}") from error
    if not isinstance(recipe, dict):
        raise ValueError(f"{path}: a recipe holds 'argument: value' lines")
    overrides = recipe.pop("model", None) or {}
    if not isinstance(overrides, dict):
        raise ValueError(
            f"{path}: 'model' holds fields of Sam2LoveConfig; give a checkpoint as --model on the command line"
        )
    accepted = {item.name for kind in (RunArguments, LavsegTrainingArguments) for item in fields(kind) if item.init}
    _check_keys(path, recipe, accepted)
    _check_keys(path, overrides, {item.name for item in fields(Sam2LoveConfig)})
    arguments = []
    for name, value in recipe.items():
        if isinstance(value, list):
            arguments += [f"--{name}", *map(str, value)]
        elif value is not None:
            arguments.append(f"--{name}={json.dumps(value) if isinstance(value, dict) else value}")
    return arguments, overrides


def _check_keys(path: Path, given: dict, accepted: set[str]) -> None:
    for name in given:
        if name not in accepted:
            close = get_close_matches(str(name), accepted, n=1)
            raise ValueError(f"{path}: unknown key {name!r}" + (f"; did you mean {close[0]!r}?" if close else ""))


def build_model(run: RunArguments, overrides: dict) -> tuple[PreTrainedModel, AudioVisualProcessor]:
    """The checkpoint `run.model` with its own configuration, or a new model around published encoders."""
    if run.model is not None:
        model = AutoModel.from_pretrained(run.model, dtype=torch.float32)
        return model, AutoProcessor.from_pretrained(run.model)
    encoders = {name: getattr(run, name) for name in ("sam2", "vision", "text", "audio")}
    missing = [f"--{name}" for name, source in encoders.items() if source is None]
    if missing:
        raise ValueError(f"{', '.join(missing)} missing: pass --model, or all of --sam2, --vision, --text and --audio")
    model = Sam2LoveModel.from_backbones(**encoders, **overrides)
    return model, Sam2LoveProcessor.from_config(model.config, AutoTokenizer.from_pretrained(run.text))


def prepare(argv: list[str]) -> tuple[LavsegTrainer, str | None]:
    """The trainer of a command line and the checkpoint to resume from; writes nothing before all is known to fit."""
    run, args, overrides = parse(argv)
    if run.label_size is not None and len(run.label_size) != 2:
        raise ValueError(f"label_size: takes height and width, got {run.label_size}")
    checkpoint, found = args.resume_from_checkpoint, last_checkpoint(args.output_dir)
    if run.resume:
        checkpoint = found
        if found is None:
            raise ValueError(
                f"resume: {args.output_dir} holds no complete checkpoint; leave --resume out to start anew"
            )
    elif found is not None and checkpoint is None:
        raise ValueError(f"output_dir: {found} is there already; pass --resume to go on, or choose another folder")
    train_dataset = load_ref_avs(run.data_root, run.train_split)
    eval_dataset = {split: load_ref_avs(run.data_root, split) for split in run.eval_splits}
    set_seed(args.seed)
    model, processor = build_model(run, overrides)
    trainer = LavsegTrainer(
        model,
        args,
        ClipCollator(processor, label_size=run.label_size and tuple(run.label_size)),
        train_dataset=train_dataset,
        eval_dataset=eval_dataset or None,
        processing_class=processor,
    )
    return trainer, checkpoint


def main(argv: list[str]) -> int:
    try:
        trainer, checkpoint = prepare(argv)
    except (ValueError, OSError) as error:
        print("run_train.py: error:", " ".join(str(error).split()), file=sys.stderr)
        return 2
    trainer.train(resume_from_checkpoint=checkpoint)
    trainer.save_model()
    trainer.save_state()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
