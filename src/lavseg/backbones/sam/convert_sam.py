"""Reads checkpoints of methods on the original SAM into this package's models."""

import re
from collections.abc import Callable, Iterable
from pathlib import Path

import torch

from ...modeling.base import AudioVisualPreTrainedModel
from ...modeling.conversion import check_state, read_tensors
from ...modeling.processing import AudioVisualProcessor
from ...output_folders import check_new_folder, staged_folder

# What the original SAM and the adapters are called, and what they are called here. The first rule that fits a key wins.
SAM_KEYS = [
    (r"image_encoder\.prompt_generator\.shared_mlp\.", r"adapters.shared."),
    (r"image_encoder\.prompt_generator\.lightweight_mlp_(\d+)\.0\.", r"adapters.audio_layers.\1."),
    (r"image_encoder\.patch_embed\.proj\.", r"sam.vision_encoder.patch_embed.projection."),
    (r"image_encoder\.blocks\.(\d+)\.norm([12])\.", r"sam.vision_encoder.layers.\1.layer_norm\2."),
    (r"image_encoder\.blocks\.(\d+)\.(attn|mlp)\.", r"sam.vision_encoder.layers.\1.\2."),
    (r"image_encoder\.neck\.0\.", r"sam.vision_encoder.neck.conv1."),
    (r"image_encoder\.neck\.1\.", r"sam.vision_encoder.neck.layer_norm1."),
    (r"image_encoder\.neck\.2\.", r"sam.vision_encoder.neck.conv2."),
    (r"image_encoder\.neck\.3\.", r"sam.vision_encoder.neck.layer_norm2."),
    (r"image_encoder\.pos_embed$", r"sam.vision_encoder.pos_embed"),
    (r"pe_layer\.positional_encoding_gaussian_matrix$", r"sam.shared_image_embedding.positional_embedding"),
    (r"prompt_encoder\.point_embeddings\.", r"sam.prompt_encoder.point_embed."),
    (r"prompt_encoder\.mask_downscaling\.0\.", r"sam.prompt_encoder.mask_embed.conv1."),
    (r"prompt_encoder\.mask_downscaling\.1\.", r"sam.prompt_encoder.mask_embed.layer_norm1."),
    (r"prompt_encoder\.mask_downscaling\.3\.", r"sam.prompt_encoder.mask_embed.conv2."),
    (r"prompt_encoder\.mask_downscaling\.4\.", r"sam.prompt_encoder.mask_embed.layer_norm2."),
    (r"prompt_encoder\.mask_downscaling\.6\.", r"sam.prompt_encoder.mask_embed.conv3."),
    (r"prompt_encoder\.(not_a_point_embed|no_mask_embed)\.", r"sam.prompt_encoder.\1."),
    (r"mask_decoder\.(iou_token|mask_tokens)\.", r"sam.mask_decoder.\1."),
    (r"mask_decoder\.output_upscaling\.0\.", r"sam.mask_decoder.upscale_conv1."),
    (r"mask_decoder\.output_upscaling\.1\.", r"sam.mask_decoder.upscale_layer_norm."),
    (r"mask_decoder\.output_upscaling\.3\.", r"sam.mask_decoder.upscale_conv2."),
    (
        r"mask_decoder\.(output_hypernetworks_mlps\.\d|iou_prediction_head)\.layers\.0\.",
        r"sam.mask_decoder.\1.proj_in.",
    ),
    (
        r"mask_decoder\.(output_hypernetworks_mlps\.\d|iou_prediction_head)\.layers\.1\.",
        r"sam.mask_decoder.\1.layers.0.",
    ),
    (
        r"mask_decoder\.(output_hypernetworks_mlps\.\d|iou_prediction_head)\.layers\.2\.",
        r"sam.mask_decoder.\1.proj_out.",
    ),
    (r"mask_decoder\.transformer\.layers\.(\d)\.norm(\d)\.", r"sam.mask_decoder.transformer.layers.\1.layer_norm\2."),
    (r"mask_decoder\.transformer\.norm_final_attn\.", r"sam.mask_decoder.transformer.layer_norm_final_attn."),
    (
        r"mask_decoder\.transformer\.(layers\.\d\.\w+|final_attn_token_to_image)\.",
        r"sam.mask_decoder.transformer.\1.",
    ),
]


def rename_keys(keys: Iterable[str], rules: list[tuple[str, str]]) -> dict[str, str | None]:
    """The name here of each key of a checkpoint by the first of `rules` whose pattern it begins with; None for keys
    that no rule fits."""
    return {key: next((renamed for renamed in _fits(key, rules)), None) for key in keys}


def _fits(key: str, rules: list[tuple[str, str]]) -> Iterable[str]:
    return (re.sub(pattern, name, key, count=1) for pattern, name in rules if re.match(pattern, key))


def read_checkpoint(path: str | Path, argument: str) -> dict[str, torch.Tensor]:
    """The tensors of a PyTorch file, floats in single precision; nothing else is unpickled.

    Raises:
        ValueError: when there is no such file or it is not a dict of tensors.
    """
    tensors = read_tensors(path, argument).items()
    return {key: value.float() if value.is_floating_point() else value for key, value in tensors}


def convert_checkpoint(
    build: Callable[[], AudioVisualPreTrainedModel],
    state: dict[str, torch.Tensor],
    rules: list[tuple[str, str]],
    processor_class: type[AudioVisualProcessor],
    output_dir: str | Path,
    unused: frozenset[str] = frozenset(),
    blank: Callable[[str], bool] = lambda key: False,
) -> tuple[AudioVisualPreTrainedModel, list[str]]:
    """Load a checkpoint strictly and write a folder with safetensors weights, configuration and processor.

    Args:
        build: makes the model; it is called for shapes only.
        state: tensors by the checkpoint's names.
        rules: how they are called here, see [`rename_keys`].
        processor_class: class of the processor that is written beside the model.
        output_dir: a folder that is empty or does not exist; nothing is written unless everything fits.
        unused: keys that may be in the checkpoint and are left out.
        blank: says of this package's names which the checkpoint lacks and the model never uses; they become zero.

    Returns:
        The converted model, in evaluation mode, and the keys of the checkpoint that it has no use for.

    Raises:
        ValueError: when keys or shapes differ from the model's (each one is named), or when `output_dir` has content.
    """
    output_dir = check_new_folder(output_dir, "output_dir")
    with torch.device("meta"):
        model = build().eval()
    expected = model.state_dict()
    names = rename_keys(state.keys() - unused, rules)
    found = {name: state[key] for key, name in names.items() if name in expected}
    # SAM knows its position code by two names.
    code = "sam.shared_image_embedding.positional_embedding"
    if code in found:
        found["sam.prompt_encoder.shared_embedding.positional_embedding"] = found[code]
    found |= {key: torch.zeros(value.shape) for key, value in expected.items() if key not in found and blank(key)}
    unknown = [key for key, name in names.items() if name not in expected]
    check_state(found, expected, f"a checkpoint for this {type(model).__name__}", unknown)
    model.load_state_dict(found, assign=True)
    model.tie_weights()

    with staged_folder(output_dir) as staged:
        model.save_pretrained(staged)
        processor_class.from_config(model.config).save_pretrained(staged)
    return model, sorted(state.keys() & unused)
