"""Points, boxes and masks of a user, as prompts of AuralSAM2 beside sound and sentence."""

import torch
import torch.nn.functional as F
from transformers.models.sam2_video.modeling_sam2_video import Sam2VideoPromptEncoder

from .decoder_aural_sam2 import UserPrompt


def encode_user_prompts(
    encoder: Sam2VideoPromptEncoder,
    shape: tuple[int, int],
    points: torch.Tensor | None,
    labels: torch.Tensor | None,
    boxes: torch.Tensor | None,
    masks: torch.Tensor | None,
) -> list[UserPrompt]:
    """Encode the prompts on each prompted frame, with one row for each of the `B E` objects; empty without prompts.

    Args:
        encoder: SAM2's prompt encoder.
        shape: numbers of clips `B` and expressions `E`.
        points, labels, boxes, masks: as `AuralSam2Model.forward` takes them.

    Raises:
        ValueError: when shapes do not fit together.
    """
    if (points is None) != (labels is None):
        raise ValueError("input_points and input_labels: pass both or neither, each point takes a label 1 or 0")
    if points is not None and (points.shape[-1] != 2 or points.shape[:-1] != labels.shape):
        raise ValueError(
            "input_points and input_labels: each point is (x, y) and takes one label, got shapes "
            f"{list(points.shape)} and {list(labels.shape)}"
        )
    if boxes is not None and boxes.shape[-1] != 4:
        raise ValueError(f"input_boxes: each box is (x1, y1, x2, y2), got shape {list(boxes.shape)}")
    given = {
        "input_points": (points, 5),
        "input_labels": (labels, 4),
        "input_boxes": (boxes, 4),
        "input_masks": (masks, 5),
    }
    framed = {}
    for name, (value, axes) in given.items():
        if value is None:
            continue
        value = value[:, :, None] if value.dim() == axes - 1 else value
        if value.dim() != axes or tuple(value.shape[:2]) != shape:
            raise ValueError(
                f"{name}: begins with the axes [clips, expressions] {list(shape)} and, for several frames, frames; "
                f"got {list(value.shape)}"
            )
        framed[name] = value.flatten(0, 1)
    counts = {name: value.shape[1] for name, value in framed.items()}
    if len(set(counts.values())) > 1:
        raise ValueError(f"prompts of one call cover the same frames, got these numbers of frames: {counts}")
    number = next(iter(counts.values()), 0)
    return [_encode_frame(encoder, {name: value[:, i] for name, value in framed.items()}) for i in range(number)]


def _encode_frame(encoder: Sam2VideoPromptEncoder, prompts: dict[str, torch.Tensor]) -> UserPrompt:
    masks, dtype = prompts.get("input_masks"), encoder.no_mask_embed.weight.dtype
    if masks is not None:
        masks = F.interpolate(masks[:, None].float(), encoder.mask_input_size, mode="bilinear", antialias=True)
        masks = masks.to(dtype)
    points, labels, boxes = (prompts.get(f"input_{name}") for name in ("points", "labels", "boxes"))
    sparse, dense = encoder(
        None if points is None else points[:, None].to(dtype),
        None if labels is None else labels[:, None].int(),
        None if boxes is None else boxes[:, None].to(dtype),
        masks,
    )
    if sparse is None:
        return UserPrompt(dense.new_zeros(len(dense), 0, dense.shape[1]), dense)
    return UserPrompt(sparse[:, 0], dense)
