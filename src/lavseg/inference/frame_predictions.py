"""What a model predicts for the frames of one clip, and how that becomes masks of the clip's size."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch

from ..media import ClipPart
from ..modeling.outputs import AudioVisualSegmentationOutput, check_outputs
from ..modeling.processing import AudioVisualProcessor, likeliest_classes
from .confidence import frame_scores


@dataclass(frozen=True, eq=False)
class SegmentedFrame:
    """One frame and what was found in it.

    Attributes:
        part: the frame, when it appears, and the sound under it.
        masks: bool `[E, H, W]`, at the clip's size.
        scores: what the model says beside masks, by name, each float64 `[E]`: `object_score_logits` (above zero: judged
            visible), `iou_scores` (its own estimate) and, of the window that the mask comes from, `presence_logit`.
        attentions: attention maps by name, each float32 `[blocks, e, e]`, mean over heads; empty unless asked for.
        classes: the most likely class of every pixel inside the mask, uint8 `[H, W]`, 0 for background; None unless
            asked for.
    """

    part: ClipPart
    masks: np.ndarray
    scores: dict[str, np.ndarray]
    attentions: dict[str, np.ndarray]
    classes: np.ndarray | None = None

    @property
    def score(self) -> np.ndarray | None:
        """How far each mask can be trusted, 0 to 1, float64 `[E]`; None where the model does not say."""
        return frame_scores(self.scores, self.masks.any((1, 2)))


@dataclass(frozen=True, eq=False)
class FramePredictions:
    """Predictions for `T` frames: mask `logits [E, T, h, w]`, gated as the method was published, scores by name
    `[E, T]`, attention maps by name `[T, blocks, e, e]`; where classes are asked for, what makes maps of them,
    `[K + 1, h, w]`, of each frame."""

    logits: torch.Tensor
    scores: dict[str, torch.Tensor]
    attentions: dict[str, torch.Tensor]
    class_maps: Sequence[Callable[[], torch.Tensor]] = ()

    def __len__(self) -> int:
        """The number of frames."""
        return self.logits.shape[1]

    def frames(self, begin: int, end: int | None = None) -> "FramePredictions":
        """Those for the frames from `begin` on, up to but without `end`."""
        return FramePredictions(
            self.logits[:, begin:end],
            {name: values[:, begin:end] for name, values in self.scores.items()},
            {name: maps[begin:end] for name, maps in self.attentions.items()},
            self.class_maps[begin:end],
        )

    def replaced(self, other: "FramePredictions", where: torch.Tensor) -> "FramePredictions":
        """Masks and scores of the first frames from `other` where bool `where [E, len(other)]` says so."""
        count = len(other)
        logits = self.logits.clone()
        logits[:, :count] = torch.where(where[..., None, None], other.logits, logits[:, :count])
        scores = {name: values.clone() for name, values in self.scores.items()}
        for name, values in scores.items():
            values[:, :count] = torch.where(where, other.scores[name], values[:, :count])
        class_maps = [*self.class_maps]
        if class_maps:  # of the one mask that there is
            pairs = zip(where[0].tolist(), other.class_maps, class_maps, strict=False)
            class_maps[:count] = [given if taken else own for taken, given, own in pairs]
        return FramePredictions(logits, scores, self.attentions, class_maps)


def split_clips(
    processor: AudioVisualProcessor,
    outputs: AudioVisualSegmentationOutput,
    frame_mask: torch.Tensor,
    with_classes: bool = False,
) -> list[FramePredictions]:
    """What a model gives for the real frames of each clip of a batch, its masks gated.

    Args:
        processor: the one saved with the model.
        outputs: what the model gave for `B` clips; attention maps are taken where `B` is 1.
        frame_mask: bool `[B, T]`, True for real frames, which come first.
        with_classes: keep what tells classes, of a model that names them.

    Raises:
        ValueError: the model gives NaN or infinite values.
    """
    # Here, as a window that another one's masks replace would hide it.
    check_outputs(outputs.predictions(), frame_mask)
    logits, attentions = processor.gate_masks(outputs), _attention_maps(outputs)
    scores = {name: outputs[name] for name in outputs.frame_scores if outputs.get(name) is not None}
    for name, single in outputs.clip_scores.items():
        if outputs.get(name) is not None:
            scores[single] = outputs[name][..., None].expand(-1, -1, logits.shape[2])
    return [
        FramePredictions(
            logits[clip, :, :length],
            {name: values[clip, :, :length] for name, values in scores.items()},
            attentions,
            [partial(processor.class_maps, outputs, clip, frame) for frame in range(length)] if with_classes else (),
        )
        for clip, length in enumerate(frame_mask.sum(1).tolist())
    ]


def masks_of_size(
    processor: AudioVisualProcessor, logits: torch.Tensor, size: tuple[int, int], mask_threshold: float = 0.0
) -> np.ndarray:
    """The masks, bool `[E, T, H, W]`, of gated mask logits `[E, T, h, w]` at the clip's size `(H, W)`."""
    masks = processor.binarize(logits[None], [size], mask_threshold=mask_threshold)[0]
    return masks.reshape(*logits.shape[:2], *size).cpu().numpy()


def segmented_frame(
    processor: AudioVisualProcessor, part: ClipPart, predictions: FramePredictions, mask_threshold: float = 0.0
) -> SegmentedFrame:
    """One frame of a clip with the predictions for it, at the clip's size and in main memory; logits above
    `mask_threshold` are inside the masks.

    Raises:
        ValueError: they are not finite.
    """
    masks = masks_of_size(processor, predictions.logits, part.frame.shape[:2], mask_threshold)[:, 0]
    classes = None
    if predictions.class_maps:
        maps = predictions.class_maps[0]()
        classes = likeliest_classes(maps, torch.from_numpy(masks[0]).to(maps.device)).cpu().numpy()
    scores = {name: values[:, 0].cpu().double() for name, values in predictions.scores.items()}
    check_outputs(scores)
    return SegmentedFrame(
        part,
        masks,
        {name: values.numpy() for name, values in scores.items()},
        {name: maps[0].float().cpu().numpy() for name, maps in predictions.attentions.items()},
        classes,
    )


def _attention_maps(outputs: AudioVisualSegmentationOutput) -> dict[str, torch.Tensor]:
    """Mean over the heads, by name `[T, blocks, e, e]`, for one clip; of several expressions each by its number."""
    given = {name: outputs[name] for name in outputs.attention_maps if outputs.get(name) is not None}
    means = {name: torch.stack([block[0].mean(-3) for block in maps], dim=-3) for name, maps in given.items()}
    found = {}
    for name, maps in means.items():
        if maps.dim() == 4:
            found[name] = maps
        else:
            prefixes = [f"text {number}: " if len(maps) > 1 else "" for number in range(1, len(maps) + 1)]
            found |= {f"{prefix}{name}": each for prefix, each in zip(prefixes, maps, strict=True)}
    return found
