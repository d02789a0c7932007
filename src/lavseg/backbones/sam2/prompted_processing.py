"""A user's points, boxes and masks on the way from a clip's pixels to those of a model on SAM2."""

from collections.abc import Sequence
from typing import Any

import torch
from transformers import BatchFeature

from ...modeling.processing.call_arguments import as_numpy

# Logits of pixels inside a mask that a user gives, as in SAM2; those outside are its negative.
MASK_LOGIT = 10.0
# Its numbers of axes, without and with frames, and coordinates.
_PLACES = {"input_points": ((4, 5), 2), "input_boxes": ((3, 4), 4)}


class UserPromptsMixin:
    """Lets an [`AudioVisualProcessor`] of a method on SAM2 take a user's prompts."""

    def __call__(
        self,
        video: Any = None,
        audio: Any = None,
        text: str | Sequence[str] | Sequence[Sequence[str]] | None = None,
        sampling_rate: int | Sequence[int] | None = None,
        input_points: Any = None,
        input_labels: Any = None,
        input_boxes: Any = None,
        videos: Any = None,
        input_masks: Any = None,
        **kwargs: Any,
    ) -> BatchFeature:
        """Prepare one clip, or a list of clips, and a user's points, boxes and masks.

        Args:
            video, audio, text, sampling_rate, videos, kwargs: as in the base class; no `text` without a tokenizer.
            input_points: `[B, E, n, 2]` or, for several frames, `[B, E, F, n, 2]`, (x, y) in pixels of the clip.
            input_labels: `[B, E, n]` or `[B, E, F, n]`: 1 on the object, 0 off it, 2 and 3 for two corners of a
                box, -1 for padding.
            input_boxes: `[B, E, 4]` or `[B, E, F, 4]`, (x1, y1, x2, y2) in pixels of the clip.
            input_masks: `[B, E, H, W]` or `[B, E, F, H, W]`, 0 and 1, at the clips' size; NaN alone where there is
                no mask of an object on a frame.

        Returns:
            The base class's inputs, and the user's as the model takes them: places in pixels of `pixel_values`, masks
            as logits.

        Raises:
            ValueError: when an argument is missing, not of these kinds, or not to be read by this method.
        """
        inputs = super().__call__(video, audio, text, sampling_rate, videos, **kwargs)
        seen = inputs.get("pixel_values")
        height, width = self.input_size if seen is None else seen.shape[-2:]
        sizes = inputs["original_sizes"]
        scales = torch.tensor([[width / w, height / h] for h, w in sizes])
        given = {"input_points": input_points, "input_boxes": input_boxes}
        prompts = {name: _scale(name, value, scales) for name, value in given.items() if value is not None}
        if input_labels is not None:
            prompts["input_labels"] = _labels(input_labels)
        if input_masks is not None:
            prompts["input_masks"] = _mask_logits(input_masks, sizes)
        inputs.update(prompts if isinstance(inputs["frame_mask"], torch.Tensor) else as_numpy(prompts))
        return inputs


def _scale(name: str, value: Any, scales: torch.Tensor) -> torch.Tensor:
    """Places in pixels of `pixel_values`, which `scales [B, 2]` make of a clip's."""
    value, (axes, last) = torch.as_tensor(value, dtype=torch.float32), _PLACES[name]
    if not value.isfinite().all():
        raise ValueError(f"{name}: holds NaN or infinite values")
    if value.dim() not in axes or value.shape[-1] != last or len(value) != len(scales):
        raise ValueError(
            f"{name}: has to have {axes[0]} axes, or {axes[1]} with frames, the first of {len(scales)} clips "
            f"and the last of {last} coordinates; got {list(value.shape)}"
        )
    return value * scales.repeat(1, last // 2).view(-1, *[1] * (value.dim() - 2), last)


def _labels(value: Any) -> torch.Tensor:
    labels = torch.as_tensor(value)
    if not torch.isin(labels, torch.arange(-1, 4)).all():
        raise ValueError(f"input_labels: accepted are -1, 0, 1, 2 and 3, got {labels.unique().tolist()}")
    return labels.int()


def _mask_logits(value: Any, sizes: Sequence[tuple[int, int]]) -> torch.Tensor:
    """Logits of masks of 0 and 1 at the clips' `sizes`."""
    masks = torch.as_tensor(value)
    if masks.dim() not in (4, 5) or len(masks) != len(sizes) or {tuple(masks.shape[-2:])} != set(sizes):
        raise ValueError(
            f"input_masks: have to be [{len(sizes)}, E, H, W], or [{len(sizes)}, E, F, H, W] for several frames, with "
            f"(H, W) that of the clips, {', '.join(map(str, sorted(set(sizes))))}; got {list(masks.shape)}"
        )
    known = masks.isnan().flatten(-2).all(-1)[..., None, None] | (masks == 0) | (masks == 1)
    if not known.all():
        raise ValueError("input_masks: have to be 0 and 1; for masks of 0 and 255 pass masks > 0")
    return 2 * MASK_LOGIT * masks.float() - MASK_LOGIT
