"""Language models that SimToken starts from, those of Chat-UniVi among them, whose type Transformers does not know."""

from inspect import signature
from pathlib import Path

import torch
from huggingface_hub import snapshot_download
from torch import nn
from transformers import CONFIG_MAPPING, AutoModelForCausalLM, LlamaConfig, LlamaForCausalLM, PreTrainedConfig
from transformers import PreTrainedModel as Causal

from ...modeling.conversion import TensorFolder

# By what comes after it: the layer from CLIP's patches in a folder of Chat-UniVi.
PROJECTOR = "model.mm_projector."


def load_language_model(name_or_path: str | Path) -> tuple[Causal, dict[str, torch.Tensor]]:
    """A published causal language model, and the layer from CLIP's patches where its files hold one.

    Args:
        name_or_path: Hub id or folder. What says in its configuration that it is of a type that Transformers does not
            know is read as a LLaMA, as Chat-UniVi is one.

    Raises:
        ValueError, OSError: when it cannot be read, or lacks weights.
    """
    fields, _ = PreTrainedConfig.get_config_dict(name_or_path)
    if fields.get("model_type") in CONFIG_MAPPING:
        causal, report = AutoModelForCausalLM.from_pretrained(name_or_path, output_loading_info=True)
    else:
        config = LlamaConfig.from_dict({**fields, "model_type": "llama"})
        causal, report = LlamaForCausalLM.from_pretrained(name_or_path, config=config, output_loading_info=True)
    if report["missing_keys"]:
        lacking = ", ".join(sorted(report["missing_keys"])[:3])
        raise ValueError(f"language: {name_or_path} lacks weights of a {causal.config.model_type}: {lacking}, ...")
    folder = Path(name_or_path)
    if not folder.is_dir():
        folder = Path(snapshot_download(str(name_or_path), local_files_only=True))
    tensors = TensorFolder(folder, "language")
    return causal, {key.removeprefix(PROJECTOR): tensors[key] for key in tensors if key.startswith(PROJECTOR)}


def cache_argument(model_class: type[nn.Module]) -> str:
    """What a language model calls the keys and values that it is given: Transformers renamed it.

    Raises:
        ValueError: for one that takes none.
    """
    taken = signature(model_class.forward).parameters
    name = next((name for name in ("cache", "past_key_values") if name in taken), None)
    if name is None:
        raise ValueError(f"language_config: {model_class.__name__} keeps no keys and values, take another decoder")
    return name
