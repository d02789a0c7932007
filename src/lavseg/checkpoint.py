"""A model and its processor from a folder or the Hub, checked to be whole before they are used."""

import json
import re
from base64 import b64decode
from pathlib import Path
from typing import Any

import torch
from huggingface_hub import snapshot_download
from transformers import MODEL_MAPPING, AutoConfig, AutoModel, AutoProcessor, PreTrainedConfig
from transformers.utils import logging

from .modeling.base import AudioVisualPreTrainedModel
from .modeling.configuration import AudioVisualConfig
from .modeling.processing import AudioVisualProcessor
from .modeling.remote_code import AUTO_MAP
from .recipe_files import resembling
from .released import checkpoint_folder, releases
from .remote_files import FILES

# What is read beside FILES where code of the checkpoint's own is trusted.
CODE = ["*.py"]
# No published model has more layers, heads or the like, nor larger sizes: building them would take for ever.
_MOST_PARTS, _LARGEST_SIZE = 10_000, 100_000_000

_NOT_OURS = "none that segments what is seen and heard"

logger = logging.get_logger(__name__)


class CheckpointError(ValueError):
    """A checkpoint cannot be used. The message names it and the reason."""


def load_checkpoint(
    name: str | Path, trust_remote_code: bool = False
) -> tuple[AudioVisualPreTrainedModel, AudioVisualProcessor]:
    """Load a model of a method that is known here, in float32 and evaluation mode, and the processor saved beside it.

    A notice in the configuration is logged, see [`show_notice`].

    Args:
        name: a folder, a Hub id such as `org/model`, or the name of a released checkpoint, see [`checkpoint_folder`].
        trust_remote_code: run Python files that lie in the checkpoint where they define the method. They can do
            whatever you can: only for checkpoints whose authors you trust.

    Raises:
        CheckpointError: the folder or Hub id does not exist or cannot be reached, is of another architecture, lacks
            weights, a processor or its vocabulary, or holds numbers that are not finite or files that are damaged.
    """
    code = CODE if trust_remote_code else []
    folder = _fetch(name, ["config.json", *code])
    if not (folder / "config.json").is_file():
        raise CheckpointError(f"{name}: is no checkpoint, it has no config.json")
    try:
        fields = dict(PreTrainedConfig.get_config_dict(folder)[0])
    except Exception as error:  # of many kinds, as nesting may be too deep
        raise CheckpointError(f"{name}: its config.json cannot be read ({_first_sentence(error)})") from error
    _check_sizes(fields, name)
    # The file by which this package is found is no code of the checkpoint's own.
    trusted = trust_remote_code and fields.get("auto_map") != AUTO_MAP
    try:
        config = AutoConfig.from_pretrained(folder, trust_remote_code=trusted)
    except Exception as error:  # code of a checkpoint may raise any
        raise CheckpointError(
            f"{name}: is no checkpoint of a method that is known here ({_first_sentence(error)}); a method from "
            "outside has to be imported (--plugin), or trusted where its code lies in the checkpoint "
            "(--trust-remote-code)"
        ) from error
    # What code of the checkpoint's own makes shows when the model is loaded.
    known = MODEL_MAPPING.get(type(config), AudioVisualPreTrainedModel if trusted else object)
    if not issubclass(known[0] if isinstance(known, tuple) else known, AudioVisualPreTrainedModel):
        raise CheckpointError(f"{name}: is a {config.model_type!r} checkpoint, {_NOT_OURS}")
    folder = _fetch(name, [*FILES, *code])
    model, processor = _load_model(folder, name, trusted), _load_processor(folder, name, trusted)
    _check_pair(model, processor, name)
    show_notice(model.config, name)
    return model.eval(), processor


def show_notice(config: AudioVisualConfig, name: str | Path) -> None:
    """Log as a warning, once in a process, what the notice in the configuration of a checkpoint says."""
    if config.notice:
        logger.warning_once(f"{name}: {config.notice}")


def _fetch(name: str | Path, patterns: list[str]) -> Path:
    """The folder with a checkpoint's files, those of `patterns` fetched from the Hub where it is none here."""
    try:
        folder = checkpoint_folder(name)
    except ValueError as error:
        raise CheckpointError(str(error)) from error
    if Path(folder).is_dir():
        return Path(folder)
    if Path(folder).exists():
        raise CheckpointError(f"{name}: is a file; give the folder of a checkpoint")
    try:
        return Path(snapshot_download(folder, allow_patterns=patterns))
    except (OSError, ValueError) as error:
        reason = f"there is no such folder, and no such model can be had from the Hub ({_first_sentence(error)})"
        raise CheckpointError(f"{name}: {reason}{resembling(folder, releases())}") from error


def _check_sizes(fields: dict[str, Any], name: str | Path) -> None:
    """Refuse numbers of a configuration that no model has, also in its sub-configurations."""
    for field, value in fields.items():
        if isinstance(value, dict):
            _check_sizes(value, name)
        numbers = [number for number in (value if isinstance(value, list) else [value]) if isinstance(number, int)]
        most = _MOST_PARTS if re.search(r"^num_|layers|depth|blocks|stages", field) else _LARGEST_SIZE
        if max(numbers, default=0) > most:
            raise CheckpointError(f"{name}: {field} is {max(numbers)} in its config.json, {most} is the most accepted")


def _load_model(folder: Path, name: str | Path, trusted: bool) -> AudioVisualPreTrainedModel:
    # Readers of damaged weights raise errors of many kinds.
    try:
        model, report = AutoModel.from_pretrained(
            folder, dtype=torch.float32, output_loading_info=True, trust_remote_code=trusted
        )
    except Exception as error:
        raise CheckpointError(f"{name}: its weights cannot be loaded ({_first_sentence(error)})") from error
    if not isinstance(model, AudioVisualPreTrainedModel):
        raise CheckpointError(f"{name}: holds a {type(model).__name__}, {_NOT_OURS}")
    if report["missing_keys"]:
        missing = sorted(report["missing_keys"])
        raise CheckpointError(f"{name}: its weights lack {len(missing)} tensors, such as {missing[0]}")
    return model


def _load_processor(folder: Path, name: str | Path, trusted: bool) -> AudioVisualProcessor:
    if not (folder / "processor_config.json").is_file():
        raise CheckpointError(f"{name}: holds no processor; save it beside the model")
    _check_tokenizer_file(folder / "tokenizer.json", name)
    # What is wrong in its files shows anywhere in Transformers.
    try:
        processor = AutoProcessor.from_pretrained(folder, trust_remote_code=trusted)
    except Exception as error:
        raise CheckpointError(f"{name}: its processor cannot be used ({_first_sentence(error)})") from error
    if not isinstance(processor, AudioVisualProcessor):
        raise CheckpointError(f"{name}: holds no processor; save it beside the model")
    return processor


def _check_tokenizer_file(path: Path, name: str | Path) -> None:
    """Refuse tables of characters at which the library ends the process, wherever they stand in `tokenizer.json`."""
    try:
        parts = [json.loads(path.read_text(encoding="utf-8"))]
    except (OSError, ValueError, RecursionError):  # which is told when the processor is loaded
        return
    while parts:
        part = parts.pop()
        parts += part.values() if isinstance(part, dict) else part if isinstance(part, list) else []
        table = part.get("precompiled_charsmap") if isinstance(part, dict) else None
        if isinstance(table, str) and not _is_charsmap(table):
            raise CheckpointError(f"{name}: precompiled_charsmap in its tokenizer.json is damaged")


def _is_charsmap(table: str) -> bool:
    """Whether a text is, in base 64, a size in bytes, as many bytes of whole words, and text."""
    try:
        content = b64decode(table, validate=True)
        size = int.from_bytes(content[:4], "little")
        content[4 + size :].decode()
    except ValueError:
        return False
    return 0 < size <= len(content) - 4 and size % 4 == 0


def _check_pair(model: AudioVisualPreTrainedModel, processor: AudioVisualProcessor, name: str | Path) -> None:
    """What the processor makes of a sentence has to be what the model reads."""
    if model.reads_text != processor.needs_text:
        reads = "reads sentences, its processor does not" if model.reads_text else "does not read, its processor does"
        raise CheckpointError(f"{name}: the model {reads}; save the two together")
    if not model.reads_text:
        return
    known = model.backbones()[model.text_backbone].config.get_text_config().vocab_size
    highest = max(processor.tokenizer.get_vocab().values())
    if highest >= known:
        raise CheckpointError(
            f"{name}: its tokenizer gives tokens up to {highest}, the model knows {known}; save the two together"
        )


def _first_sentence(error: Exception) -> str:
    """What an error says, without what libraries add from the second sentence on; of those for programmers the class as
    well."""
    text = " ".join(str(error).split()).split(". ")[0].rstrip(".")
    if not text:
        return type(error).__name__
    return text if isinstance(error, (ValueError, OSError, ImportError)) else f"{type(error).__name__}: {text}"
