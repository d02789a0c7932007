"""A model and its processor from a folder or the Hub, checked to be whole before they are used."""

from pathlib import Path

import torch
from huggingface_hub import snapshot_download
from transformers import MODEL_MAPPING, AutoConfig, AutoModel, AutoProcessor

from .modeling.base import AudioVisualPreTrainedModel
from .modeling.processing import AudioVisualProcessor

# What Transformers reads of a checkpoint.
FILES = ["*.json", "*.txt", "*.safetensors"]


class CheckpointError(ValueError):
    """A checkpoint cannot be used. The message names it and the reason."""


def load_checkpoint(name: str | Path) -> tuple[AudioVisualPreTrainedModel, AudioVisualProcessor]:
    """Load a model of this package, in float32 and evaluation mode, and the processor saved beside it.

    Args:
        name: a folder, or a Hub id such as `org/model`.

    Raises:
        CheckpointError: the folder or Hub id does not exist or cannot be reached, is of another architecture, lacks
            weights or a processor, or holds numbers that are not finite.
    """
    folder = _fetch(name, ["config.json"])
    if not (folder / "config.json").is_file():
        raise CheckpointError(f"{name}: is no checkpoint, it has no config.json")
    try:
        config = AutoConfig.from_pretrained(folder)
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{name}: is no checkpoint of this package ({_first_sentence(error)})") from error
    if not issubclass(MODEL_MAPPING.get(type(config), object), AudioVisualPreTrainedModel):
        raise CheckpointError(
            f"{name}: is a {config.model_type!r} checkpoint, none that segments what is seen and heard"
        )
    folder = _fetch(name, FILES)
    return _load_model(folder, name).eval(), _load_processor(folder, name)


def _fetch(name: str | Path, patterns: list[str]) -> Path:
    """The folder with a checkpoint's files, those of `patterns` fetched from the Hub where it is none here."""
    if Path(name).is_dir():
        return Path(name)
    if Path(name).exists():
        raise CheckpointError(f"{name}: is a file; give the folder of a checkpoint")
    try:
        return Path(snapshot_download(str(name), allow_patterns=patterns))
    except (OSError, ValueError) as error:
        reason = f"there is no such folder, and no such model can be had from the Hub ({_first_sentence(error)})"
        raise CheckpointError(f"{name}: {reason}") from error


def _load_model(folder: Path, name: str | Path) -> AudioVisualPreTrainedModel:
    # Readers of damaged weights raise errors of many kinds.
    try:
        model, report = AutoModel.from_pretrained(folder, dtype=torch.float32, output_loading_info=True)
    except Exception as error:
        raise CheckpointError(f"{name}: its weights cannot be loaded ({_first_sentence(error)})") from error
    if report["missing_keys"]:
        missing = sorted(report["missing_keys"])
        raise CheckpointError(f"{name}: its weights lack {len(missing)} tensors, such as {missing[0]}")
    return model


def _load_processor(folder: Path, name: str | Path) -> AudioVisualProcessor:
    try:
        processor = AutoProcessor.from_pretrained(folder)
    except (OSError, ValueError) as error:
        if (folder / "processor_config.json").is_file():
            raise CheckpointError(f"{name}: its processor cannot be used ({_first_sentence(error)})") from error
        raise CheckpointError(f"{name}: holds no processor; save it beside the model") from error
    if not isinstance(processor, AudioVisualProcessor):
        raise CheckpointError(f"{name}: holds no processor; save it beside the model")
    return processor


def _first_sentence(error: Exception) -> str:
    return str(error).splitlines()[0].split(". ")[0].rstrip(".") if str(error) else type(error).__name__
