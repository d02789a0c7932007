"""Reads checkpoints of the released Stepping-Stones code into [`SteppingStonesModel`]."""

import re
from pathlib import Path

import torch

from ...backbones.mask2former.convert_mask2former import MASK2FORMER_KEYS, UNUSED_MASK2FORMER_KEYS, renamed
from ...backbones.vggish.convert_vggish import read_vggish
from ...modeling.conversion import check_state, read_tensors
from ...output_folders import check_new_folder, staged_folder
from .configuration_stepping_stones import SteppingStonesConfig
from .modeling_stepping_stones import SteppingStonesModel
from .processing_stepping_stones import SteppingStonesProcessor
from .semantic_stepping_stones import SteppingStonesForSemanticSegmentation

_RENAMES = [
    (r"^model\.model\.transformer_module\.(audio|silence|uncertain)_embed\.weight$", r"prior.\1_embed"),
    (r"^model\.", "mask2former."),
    (r"^audio_proj\.", "audio_projection."),
    # Layers with an adapter at them.
    (r"\.attention\.output\.swin_adapt_1\.", ".attention.o_proj.adapter."),
    (r"\.output\.swin_adapt_3\.", ".mlp.fc2.adapter."),
    (r"(\.pixel_level_module\.decoder\..*\.self_attn)\.avs_adapt\.", r"\1.output_proj.adapter."),
    (r"(\.transformer_module\..*\.self_attn)\.avs_adapt\.", r"\1.out_proj.adapter."),
    (r"(\.pixel_level_module\.decoder\..*\.self_attn\.output_proj)\.(weight|bias)$", r"\1.projection.\2"),
    (r"(\.transformer_module\..*\.self_attn\.out_proj)\.(weight|bias)$", r"\1.projection.\2"),
    *MASK2FORMER_KEYS,
]
_IN_ENCODER = re.compile(r"(\.blocks\..*\.(?:o_proj|fc2))\.(weight|bias)$")
# Output projections in whose place adapters stand: the file has them, and nothing reads them.
_REPLACED = re.compile(r"\.self_attn\.(output_proj|out_proj)\.projection\.")
_ENCODER_ADAPTERS = re.compile(r"\.(o_proj|fc2)\.adapter\.")


def convert_stepping_stones_checkpoint(
    checkpoint_path: str | Path,
    vggish_path: str | Path,
    output_dir: str | Path,
    adapter_place: str | None = None,
) -> tuple[SteppingStonesModel, list[str]]:
    """Convert a checkpoint of the released code to a folder that `from_pretrained` reads.

    Whether it is of the first stage or of the second is seen from its classes. Adapters in Swin that it lacks, which
    the released code would leave at random values, do nothing here; the configuration's `notice` says so.

    Args:
        checkpoint_path: a state dict as the released scripts save it (`model.*`, `audio_proj.*`).
        vggish_path: the public `vggish-10086976.pth`, with which the released code hears.
        output_dir: a folder that is empty or does not exist; nothing is written unless everything fits.
        adapter_place: where the adapters of the decoders stand, see [`SteppingStonesConfig`], which no file says; when
            None as in the released code of its stage.

    Returns:
        The converted model, in evaluation mode, and the keys of the file that it has no use for.

    Raises:
        ValueError: when a file cannot be read, when keys or shapes differ from the model's (each one is named), or when
            `output_dir` already has content.
    """
    output_dir = check_new_folder(output_dir, "output_dir")
    released = read_tensors(checkpoint_path, "checkpoint_path")
    vggish = read_vggish(vggish_path, "vggish_path")
    config = released_config(released, adapter_place)
    state = state_from_release(released, config)
    unused = sorted(released.keys() - {key for key in released if current_name(key, config) in state})
    state |= {f"audio_encoder.{key}": value for key, value in vggish.items()}
    model_class = released_class(config)
    with torch.device("meta"):
        expected = model_class(config).state_dict()
    lacking = {key: torch.zeros(value.shape) for key, value in expected.items() if key not in state}
    lacking = {key: value for key, value in lacking.items() if _ENCODER_ADAPTERS.search(key)}
    if lacking or not config.encoder_adapters:
        count = f"{len(lacking)} tensors of" if config.encoder_adapters else "all"
        config.notice = f"the released file lacks {count} adapters in the image encoder, which do nothing here"
    check_state(state | lacking, expected, "a released Stepping-Stones checkpoint with VGGish")
    model = model_class.from_pretrained(None, config=config, state_dict=state | lacking)
    with staged_folder(output_dir) as folder:
        model.save_pretrained(folder)
        SteppingStonesProcessor.from_config(config).save_pretrained(folder)
    return model, unused


def released_config(state: dict[str, torch.Tensor], adapter_place: str | None = None) -> SteppingStonesConfig:
    """The configuration that a released state dict is for."""
    found = {}
    # Files of other methods are refused later, by their keys.
    if "model.class_predictor.bias" in state:
        found["num_labels"] = len(state["model.class_predictor.bias"]) - 1
    if "model.model.transformer_module.queries_embedder.weight" in state:
        found["num_queries"] = len(state["model.model.transformer_module.queries_embedder.weight"])
    adapted = any(".swin_adapt_" in key for key in state)
    config = SteppingStonesConfig(adapter_place=adapter_place, encoder_adapters=adapted, **found)
    config.architectures = [released_class(config).__name__]
    return config


def released_class(config: SteppingStonesConfig) -> type[SteppingStonesModel]:
    """The model of a configuration by `released_config`."""
    return SteppingStonesModel if config.num_labels == 2 else SteppingStonesForSemanticSegmentation


def current_name(key: str, config: SteppingStonesConfig) -> str | None:
    """The name here of a tensor of the released code; None for one that nothing reads."""
    name = renamed(key, _RENAMES)
    if config.encoder_adapters and _IN_ENCODER.search(name):
        name = _IN_ENCODER.sub(r"\1.projection.\2", name)
    replaced = config.adapter_place == "instead" and _REPLACED.search(name)
    return None if replaced or re.search(UNUSED_MASK2FORMER_KEYS, key) else name


def state_from_release(state: dict[str, torch.Tensor], config: SteppingStonesConfig) -> dict[str, torch.Tensor]:
    """Tensors of a released checkpoint by their names here, without those that nothing reads."""
    named = {current_name(key, config): value.float() for key, value in state.items()}
    named.pop(None, None)
    return named


__all__ = ["convert_stepping_stones_checkpoint"]
