"""Points, boxes and masks of a user, as prompts of SAM2 beside sound and sentence."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from numbers import Integral

import torch
import torch.nn.functional as F
from transformers.models.sam2_video.modeling_sam2_video import Sam2VideoPromptEncoder

# Arguments of processors and models.
PROMPT_NAMES = ("input_points", "input_labels", "input_boxes", "input_masks")


@dataclass(frozen=True)
class UserPrompt:
    """Points, boxes and masks of one frame as SAM2 encodes them: `sparse [N, n, C]` and `dense [N, C, h, w]`."""

    sparse: torch.Tensor
    dense: torch.Tensor | None

    def map(self, pick: Callable[[torch.Tensor], torch.Tensor]) -> "UserPrompt":
        """What `pick` makes of both, such as the rows of some of the objects."""
        return UserPrompt(pick(self.sparse), None if self.dense is None else pick(self.dense))


def conditioning_frames(
    length: int, default: int, prompt_frames: Sequence[int] | None, user_prompts: Sequence[UserPrompt]
) -> dict[int, UserPrompt | None]:
    """The frames of clips of `length` that are segmented without memory, with a user's prompts on them.

    Args:
        length: number of frames.
        default: the frame where none is named.
        prompt_frames: frames of the prompts, or None.
        user_prompts: what `encode_user_prompts` returns.

    Raises:
        ValueError: when the frames do not fit the prompts or the clips.
    """
    if not user_prompts:
        if prompt_frames is not None:
            raise ValueError("prompt_frames: pass input_points, input_boxes or input_masks of these frames as well")
        return {default: None}
    frames = [default] if prompt_frames is None else frame_numbers(prompt_frames)
    if len(set(frames)) != len(user_prompts) or len(frames) != len(user_prompts):
        raise ValueError(
            f"prompt_frames: the prompts cover {len(user_prompts)} frames, got {frames}; name each of them once"
        )
    if not all(0 <= frame < length for frame in frames):
        raise ValueError(f"prompt_frames: {frames} were given, a clip of the batch has frames 0 to {length - 1}")
    return dict(zip(frames, user_prompts, strict=True))


def frame_numbers(prompt_frames: Sequence[int] | torch.Tensor) -> list[int]:
    """Numbers of frames as plain ones, from a list, an array or a tensor.

    Raises:
        ValueError: when they are anything else.
    """
    given = prompt_frames.tolist() if hasattr(prompt_frames, "tolist") else prompt_frames
    if not isinstance(given, Sequence) or not all(isinstance(frame, Integral) for frame in given):
        raise ValueError(f"prompt_frames: has to list whole numbers of frames, got {prompt_frames!r}")
    return list(given)


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
        points, labels, boxes, masks: as the models' `forward` takes them.

    Raises:
        ValueError: when shapes do not fit together.
    """
    if (points is None) != (labels is None):
        raise ValueError("input_points and input_labels: pass both or neither, each point takes a label")
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
        absent = masks.isnan().flatten(1).all(1)
        masks = masks.where(~absent[:, None, None], 0.0)[:, None].float()
        masks = F.interpolate(masks, encoder.mask_input_size, mode="bilinear", antialias=True).to(dtype)
    points, labels, boxes = (prompts.get(f"input_{name}") for name in ("points", "labels", "boxes"))
    sparse, dense = encoder(
        None if points is None else points[:, None].to(dtype),
        None if labels is None else labels[:, None].int(),
        None if boxes is None else boxes[:, None].to(dtype),
        masks,
    )
    if masks is not None:
        dense = dense.where(~absent[:, None, None, None], encoder.no_mask_embed.weight[..., None, None])
    return UserPrompt(dense.new_zeros(len(dense), 0, dense.shape[1]) if sparse is None else sparse[:, 0], dense)
