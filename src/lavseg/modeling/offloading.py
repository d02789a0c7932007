"""Models of which a device map leaves parts in the memory of the host or on disk."""

from collections.abc import Iterator, Mapping

import torch
from torch import nn
from transformers import PreTrainedModel, Sam2VideoModel
from transformers.models.sam.modeling_sam import (
    SamMaskDecoder,
    SamPositionalEmbedding,
    SamPromptEncoder,
    SamVisionEncoder,
)
from transformers.models.sam2_video.modeling_sam2_video import (
    Sam2VideoMaskDecoder,
    Sam2VideoPositionalEmbedding,
    Sam2VideoPromptEncoder,
)

# They read the weights of embeddings that are never called.
_READERS = (SamPromptEncoder, SamMaskDecoder, Sam2VideoPromptEncoder, Sam2VideoMaskDecoder)
# Their parts are called and they are not, or their device is asked for before they are called.
_READ = (SamVisionEncoder, Sam2VideoModel, SamPositionalEmbedding, Sam2VideoPositionalEmbedding)


def keep_what_is_read(model: PreTrainedModel) -> None:
    """Bring to the device that computes, for good, what nothing would fetch when it is read.

    accelerate fetches the weights of a layer when that is called. It fetches none that are read in another way, and
    none that stand directly in a module which the device map divides. In the methods here these are small: embeddings
    of prompts, tokens, position codes. A model that is in one place as a whole stays as it is.
    """
    if not hasattr(model, "_hf_hook"):
        return
    from accelerate.hooks import remove_hook_from_module
    from accelerate.utils import set_module_tensor_to_device

    weights, main = _offloaded_weights(model), model._hf_hook.execution_device
    for name in [*_read_directly(model)]:
        module = model.get_submodule(name)
        device = getattr(getattr(module, "_hf_hook", None), "execution_device", main)
        tensors = dict([*module.named_parameters(recurse=False), *module.named_buffers(recurse=False)])
        values = {key: weights[f"{name}.{key}"] if value.is_meta else value for key, value in tensors.items()}
        remove_hook_from_module(module)
        for key, value in values.items():
            set_module_tensor_to_device(module, key, device, value=value)


def _offloaded_weights(model: nn.Module) -> Mapping[str, torch.Tensor]:
    """All that was offloaded, by its name in the model; read when it is asked for."""
    hooks = [part._hf_hook for part in model.modules() if hasattr(part, "_hf_hook")]
    hooks = [each for hook in hooks for each in getattr(hook, "hooks", [hook])]
    return next((hook.weights_map.dataset for hook in hooks if getattr(hook, "weights_map", None) is not None), {})


def _read_directly(model: nn.Module) -> Iterator[str]:
    """Names of modules whose own tensors are read although they are not called, or that nothing is fetched for."""
    for name, module in model.named_modules():
        if isinstance(module, _READERS):
            yield from (key for key, part in module.named_modules(prefix=name) if isinstance(part, nn.Embedding))
        if isinstance(module, _READ) or not hasattr(module, "_hf_hook"):
            yield name
