"""A training run from a recipe and a command line: what `lavseg train` and `examples/run_train.py` do."""

import json
from argparse import SUPPRESS
from collections.abc import Iterable
from dataclasses import dataclass, field, fields
from functools import partial
from inspect import signature
from pathlib import Path
from typing import Any

from datasets import Dataset, IterableDataset
from tqdm.auto import tqdm
from transformers import HfArgumentParser, set_seed
from transformers.utils import logging

from .. import auto
from ..checkpoint import load_checkpoint
from ..data import ClipAugmentation, ClipCollator
from ..data.layouts import check_sizes, load_rows
from ..data.tables import logged_warnings
from ..modeling.base import AudioVisualPreTrainedModel
from ..modeling.configuration import AudioVisualConfig, changed_fields, differing_fields
from ..modeling.encoders import load_image_processor, load_tokenizer
from ..modeling.inputs import check_keys
from ..modeling.processing import AudioVisualProcessor
from ..output_folders import without_empty_folders
from ..recipe_files import Recipe, load_recipe, parse_settings, with_settings
from .architectures import chosen_architecture, with_class_names
from .arguments import LavsegTrainingArguments
from .checkpoints import resumed_from
from .feature_cache import FeatureCache
from .lora import LoraSettings, add_adapters
from .settings import read_settings, read_yaml
from .trainer import LavsegTrainer

_HELP = (
    "Train a method. All of these may also stand in a recipe, a YAML file or the name of one of the package's, given "
    "first; the command line wins. A recipe's `model` section holds fields of the method's configuration."
)
_SET = "Key of a recipe at any depth and its value, such as model.num_hidden_layers=12; may be given again."

# Rows of a stream that the next one is drawn from; one of Ref-AVS weighs about a megabyte.
_SHUFFLED_ROWS = 256

logger = logging.get_logger(__name__)


@dataclass
class RunArguments:
    """What is trained, and on what."""

    data_root: str = field(
        metadata={"help": "Folder of the data set, or Hub id of an exported one.", "aliases": ["--data"]}
    )
    dataset: str = field(default="ref_avs", metadata={"help": "Layout of the data set, ref_avs or avsbench."})
    subset: list[str] = field(
        default_factory=list, metadata={"help": "Of AVSBench, one or more of s4, ms3, v1s, v1m and v2."}
    )
    method: str | None = field(default=None, metadata={"help": "Method to train, such as sam2-love."})
    architecture: str | None = field(
        default=None,
        metadata={"help": "Class of the model where a method has several, such as AuralSam2ForSemanticSegmentation."},
    )
    model: list[str] = field(
        default_factory=list,
        metadata={"help": "Checkpoint to start from, in place of the encoders; others fill in parts that it lacks."},
    )
    train_split: str = field(default="train", metadata={"help": "Split to train on."})
    streaming: bool = field(
        default=False,
        metadata={"help": "Read the training split of an exported data set row after row; takes max_steps."},
    )
    eval_splits: list[str] = field(default_factory=list, metadata={"help": "Splits to evaluate on while training."})
    label_size: list[int] | None = field(
        default=None, metadata={"help": "Height and width of the labels where frames differ in size."}
    )
    augment: str | None = field(
        default=None,
        metadata={"help": "Change clips at random in training: true, or fields of ClipAugmentation as JSON."},
    )
    lora: str | None = field(
        default=None,
        metadata={"help": "Train low-rank adapters of --model: true, or rank, alpha, targets, ... as JSON."},
    )
    feature_cache: str | None = field(
        default=None,
        metadata={
            "help": "Folder that keeps the image embeddings of all clips, for models on SAM without adapters in its "
            "encoder; what it lacks is made before training."
        },
    )
    processor: str | None = field(
        default=None,
        metadata={"help": "Arguments of the processor's from_config, as JSON; a checkpoint's stays as it is."},
    )
    resume: bool = field(default=False, metadata={"help": "Go on from the newest complete checkpoint."})
    plugin: list[str] = field(
        default_factory=list, metadata={"help": "Modules that register methods from outside the package."}
    )
    trust_remote_code: bool = field(
        default=False,
        metadata={"help": "Run Python files that lie in a checkpoint of --model; only where you trust its authors."},
    )
    # By the names that the methods give them, each of which is an option.
    encoders: dict[str, str] = field(default_factory=dict, init=False)


class _Parser(HfArgumentParser):
    def error(self, message: str) -> None:
        raise ValueError(message)


def train(argv: list[str]) -> dict[str, float | int | str]:
    """Train as a command line says and save the model in the run's output folder.

    Args:
        argv: `[RECIPE] [--key value ...]`: fields of [`RunArguments`] and [`LavsegTrainingArguments`], which win over
            those of the recipe, a YAML file of the same keys and a `model` section with fields of the method's
            configuration, or the name of a recipe in the package. `--set model.field=value` sets a key of the recipe
            at any depth. `--data` and `--out` are short for `--data_root` and `--output_dir`.

    Returns:
        `output_dir`, `steps`, and what Transformers' Trainer measured, such as `train_loss`.

    Raises:
        ValueError, OSError: when something given cannot be used; nothing has been written then.
        TrainingDivergedError: (a ValueError) when the loss or a weight is no longer finite; earlier checkpoints stay.
    """
    trainer, checkpoint = prepare(argv)
    output_dir = Path(trainer.args.output_dir)
    with without_empty_folders(output_dir):
        output_dir.mkdir(parents=True, exist_ok=True)
        result = trainer.train(resume_from_checkpoint=checkpoint)
        if trainer.trains_adapters:
            trainer.merge_adapters()
        trainer.save_model()
        trainer.save_state()
    return {"output_dir": trainer.args.output_dir, "steps": result.global_step, **result.metrics}


def prepare(argv: list[str]) -> tuple[LavsegTrainer, str | None]:
    """The trainer of a command line and the checkpoint to resume from; writes nothing before all is known to fit."""
    return make_trainer(*parse(argv))


def make_trainer(run: RunArguments, args: LavsegTrainingArguments, overrides: dict) -> tuple[LavsegTrainer, str | None]:
    """[`prepare`] for what [`parse`] returned."""
    if run.label_size is not None and (len(run.label_size) != 2 or min(run.label_size) < 1):
        raise ValueError(f"label_size: takes height and width, two whole numbers above 0, got {run.label_size}")
    augment = read_settings("augment", run.augment, ClipAugmentation)
    if run.feature_cache is not None and run.streaming:
        raise ValueError(
            "feature_cache: is filled from all rows, of which streaming keeps none, leave one of the two out"
        )
    if run.feature_cache is not None and augment is not None:
        raise ValueError("feature_cache: augment gives other frames in every epoch, leave one of the two out")
    lora = read_settings("lora", run.lora, LoraSettings)
    if lora is not None and (not (run.model or lora.beside) or run.feature_cache):
        raise ValueError("lora: adapts a trained model, given as --model, and its encoders, so takes no feature_cache")
    checkpoint = resumed_from(args, run.resume)
    train_dataset, eval_dataset = _load_data(run, args)
    set_seed(args.seed)
    model, processor = build_model(run, overrides)
    model = model if lora is None else add_adapters(model, lora)
    cache = None if run.feature_cache is None else FeatureCache(run.feature_cache, model, processor)
    # Transformers' Trainer makes its folder at once; a run does when it begins.
    with without_empty_folders(args.output_dir):
        trainer = LavsegTrainer(
            model,
            args,
            ClipCollator(
                processor if cache is None else processor.with_image_inputs(cache.image_inputs),
                run.label_size and tuple(run.label_size),
                class_labels=model.names_classes,
                augment=augment,
            ),
            train_dataset=train_dataset,
            eval_dataset=eval_dataset or None,
            processing_class=processor,
        )
    if cache is not None:
        _fill(cache, trainer, [train_dataset, *eval_dataset.values()])
    return trainer, checkpoint


def _load_data(
    run: RunArguments, args: LavsegTrainingArguments
) -> tuple[Dataset | IterableDataset, dict[str, Dataset]]:
    """Rows to train on and those to evaluate on by split; what is known of them is looked at."""
    load = partial(load_rows, run.data_root, dataset=run.dataset, subsets=run.subset)
    with logged_warnings():
        train_dataset = load(run.train_split, streaming=run.streaming)
        eval_dataset = {split: load(split) for split in run.eval_splits}
    if run.streaming:
        seed = args.seed if args.data_seed is None else args.data_seed
        train_dataset = train_dataset.shuffle(seed, buffer_size=_SHUFFLED_ROWS)
    if run.label_size is None:
        check_sizes({} if run.streaming else {run.train_split: train_dataset}, args.train_batch_size)
    return train_dataset, eval_dataset


def _fill(cache: FeatureCache, trainer: LavsegTrainer, datasets: list[Dataset]) -> None:
    """Encode what the cache lacks, on one process of each machine, while the others wait."""
    args = trainer.args
    progress = partial(tqdm, desc="image embeddings", disable=args.disable_tqdm)
    with args.main_process_first(desc="image embeddings"):
        if args.local_process_index == 0:
            for dataset in datasets:
                cache.fill(trainer.model, trainer.processing_class, dataset["frames"], progress)


def parse(argv: list[str]) -> tuple[RunArguments, LavsegTrainingArguments, dict]:
    """Arguments of a run and fields of the method's configuration, see [`train`]."""
    # First, as what methods from outside are made of is an option, too.
    _load_plugins(argv)
    given, argv = _taken_out("--set", argv)
    recipe = Recipe("command line")
    if argv and not argv[0].startswith("-"):
        recipe, argv = load_recipe(argv[0]), argv[1:]
    arguments, overrides = _recipe_arguments(recipe, parse_settings(given))
    argv = arguments + argv
    parser = _Parser((RunArguments, LavsegTrainingArguments), description=_HELP, allow_abbrev=False)
    parser.add_argument("--out", dest="output_dir", default=SUPPRESS, help="The same as --output_dir.")
    parser.add_argument("--set", default=SUPPRESS, metavar="KEY=VALUE", help=_SET)
    for name, methods in encoders().items():
        parser.add_argument(f"--{name}", default=SUPPRESS, help=f"Checkpoint of an encoder, of {', '.join(methods)}.")
    run, args, *others, unknown = parser.parse_args_into_dataclasses(
        argv, return_remaining_strings=True, look_for_args_file=False
    )
    for given in others:
        run.encoders |= vars(given)
    for word in unknown:
        if word.startswith("--"):
            check_keys("command line", [word[2:].partition("=")[0].replace("-", "_")], accepted_keys())
    if unknown:
        raise ValueError(f"command line: {' '.join(unknown)} belongs to no option")
    if run.streaming and args.max_steps < 1:
        raise ValueError(
            "max_steps: missing; a stream has no length, say how many steps to train, such as --max_steps 10000"
        )
    return run, args, overrides


def encoders() -> dict[str, list[str]]:
    """The encoders that methods are made of, by the names they are given: the methods of each."""
    found = {}
    for method, (_, model_class, _) in auto.methods().items():
        for name in model_class.encoder_names():
            found.setdefault(name, []).append(method)
    return found


def _recipe_arguments(recipe: Recipe, settings: dict[str, Any]) -> tuple[list[str], dict]:
    """A recipe with other settings as command line arguments, and its `model` section."""
    keys = with_settings(recipe.keys, settings)
    overrides = keys.pop("model", None) or {}
    if not isinstance(overrides, dict):
        raise ValueError(
            f"{recipe.name}: 'model' holds fields of the method's configuration; give a checkpoint as --model on the "
            "command line"
        )
    arguments = []
    for name, value in keys.items():
        if isinstance(value, list):
            arguments += [f"--{name}", *map(str, value)]
        elif value is not None:
            arguments.append(f"--{name}={json.dumps(value) if isinstance(value, dict) else value}")
    _load_plugins(arguments)
    check_keys("set", [name.partition(".")[0] for name in settings], accepted_keys())
    check_keys(recipe.name, keys, accepted_keys())
    return arguments, overrides


def _taken_out(option: str, argv: list[str]) -> tuple[list[str], list[str]]:
    """The values of an option that may be given more than once, and the other arguments."""
    parser = _Parser((), add_help=False, allow_abbrev=False)
    parser.add_argument(option, nargs="+", action="extend", default=[], dest="values")
    known, others = parser.parse_known_args(argv)
    return known.values, others


def _load_plugins(argv: list[str]) -> None:
    for module in _taken_out("--plugin", argv)[0]:
        auto.load_plugin(module)


def accepted_keys() -> set[str]:
    """Keys of recipes and, after two dashes, options of the command line."""
    kinds = (RunArguments, LavsegTrainingArguments)
    return {item.name for kind in kinds for item in fields(kind) if item.init} | encoders().keys()


def build_model(run: RunArguments, overrides: dict) -> tuple[AudioVisualPreTrainedModel, AudioVisualProcessor]:
    """The model that a run trains, and its processor.

    Args:
        run: its `model` names the checkpoints to start from; without it, `method` and the encoders say what to make.
        overrides: fields of the configuration that differ from the checkpoint's or the method's own.

    Raises:
        ValueError: when these do not fit together.
    """
    if run.method is not None and auto.method_name(run.method) not in auto.methods():
        raise ValueError(f"method: {run.method!r} is unknown, accepted are {', '.join(auto.methods())}")
    return _from_checkpoints(run, overrides) if run.model else _from_encoders(run, overrides)


def _from_encoders(run: RunArguments, overrides: dict) -> tuple[AudioVisualPreTrainedModel, AudioVisualProcessor]:
    if run.method is None:
        raise ValueError(f"method: missing; name one of {', '.join(auto.methods())}, or a checkpoint as --model")
    config_class, model_class, processor_class = auto.methods()[auto.method_name(run.method)]
    _check_overrides(config_class, overrides)
    former = {name: overrides[name] for name in config_class.former_fields if name in overrides}
    model_class = chosen_architecture(run.architecture, config_class(**former), model_class)
    overrides = with_class_names(model_class, overrides, run.dataset, run.subset)
    settings = _processor_settings(run, config_class, processor_class, overrides)
    own = model_class.encoder_names()
    foreign = [name for name in run.encoders if name not in own]
    if foreign:
        raise ValueError(f"{', '.join(foreign)}: no encoder of {run.method}, which is made of {', '.join(own)}")
    model = model_class.from_backbones(**run.encoders, **overrides)
    published = {name: item.default for name, item in signature(model_class.from_backbones).parameters.items()}
    names = {**published, **run.encoders}
    for encoder, argument in processor_class.encoder_processors.items():
        settings[argument] = load_image_processor(encoder, names[encoder])
    if not model.reads_text:
        return model, processor_class.from_config(model.config, **settings)
    tokenizer = load_tokenizer(model.text_backbone, names[model.text_backbone])
    return model, processor_class.from_config(model.config, tokenizer, **settings)


def _from_checkpoints(run: RunArguments, overrides: dict) -> tuple[AudioVisualPreTrainedModel, AudioVisualProcessor]:
    """The first checkpoint under its configuration with `overrides`; parts that it lacks come from the others."""
    model, processor = load_checkpoint(run.model[0], run.trust_remote_code)
    config, name = model.config, run.model[0]
    if run.method is not None and auto.method_name(run.method) != auto.method_name(config.model_type):
        raise ValueError(f"model: {name} is a {config.model_type!r} checkpoint, not one of {run.method}")
    _check_overrides(type(config), overrides)
    for setting, value in _processor_settings(run, type(config), type(processor), overrides).items():
        if getattr(processor, setting) != value:
            own = getattr(processor, setting)
            raise ValueError(f"processor: {setting} is {own} in the processor of {name}, which stays; got {value!r}")
    asked = type(config).from_dict(changed_fields(config, overrides))
    model_class = chosen_architecture(run.architecture, asked, type(model))
    if model_class is not type(model):
        overrides = with_class_names(model_class, overrides, run.dataset, run.subset)
    elif not overrides and len(run.model) == 1:
        return model, processor
    weights = {}
    for other in reversed(run.model[1:]):
        weights |= load_checkpoint(other, run.trust_remote_code)[0].state_dict()
    weights |= model.state_dict()
    fields_changed = type(config).from_dict(changed_fields(config, overrides))
    fields_changed.former_loss_weights = {**config.former_loss_weights, **fields_changed.former_loss_weights}
    changed = model_class(fields_changed)
    differing = ", ".join(differing_fields(config, overrides)) or "the other checkpoints"
    try:
        loaded = changed.load_state_dict(weights, strict=False)
    except RuntimeError as error:
        first = str(error).partition("\n")[2].partition("\n")[0].strip()
        raise ValueError(
            f"model: {name} does not fit with {differing}, which change the size of its weights ({first})"
        ) from error
    if loaded.missing_keys:
        logger.warning(
            f"No checkpoint holds all of {_parts(loaded.missing_keys)}: what is missing starts untrained. Other than "
            f"in {name}: {differing}."
        )
    if unused := model.state_dict().keys() & loaded.unexpected_keys:
        logger.warning(f"{name}: trained weights of {_parts(unused)} are left out. Other than there: {differing}.")
    return changed, processor


def _parts(keys: Iterable[str]) -> str:
    return ", ".join(sorted({key.split(".")[0] for key in keys}))


def _check_overrides(config_class: type[AudioVisualConfig], overrides: dict) -> None:
    former = {*config_class.loss_weight_fields, *config_class.processor_fields, *config_class.former_fields}
    accepted = {item.name for item in fields(config_class)}
    check_keys(f"model, fields of {config_class.__name__}", overrides.keys() - former, accepted)


def _processor_settings(
    run: RunArguments,
    config_class: type[AudioVisualConfig],
    processor_class: type[AudioVisualProcessor],
    overrides: dict,
) -> dict[str, Any]:
    """Arguments of `from_config`, which older recipes hold as `overrides` of the configuration."""
    given = read_yaml("processor", run.processor) or {}
    if not isinstance(given, dict):
        raise ValueError(f"processor: takes settings of {processor_class.__name__} as a mapping, got {run.processor!r}")
    parts = {"config", "tokenizer", *processor_class.encoder_processors.values()}
    accepted = signature(processor_class.from_config).parameters.keys() - parts
    check_keys(f"processor, settings of {processor_class.__name__}", given, accepted)
    return {name: overrides[name] for name in config_class.processor_fields if name in overrides} | given
