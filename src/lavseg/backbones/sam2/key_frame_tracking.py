"""Tracks all objects of a batch of clips with SAM2, each from the one frame on which it is prompted."""

from collections import defaultdict
from collections.abc import Sequence
from functools import partial

import torch
from torch import nn
from transformers import Sam2VideoModel

from ...modeling.encoders import gradient_where_needed
from ...modeling.outputs import NO_MASK_LOGIT, MaskPrediction
from ..rows import as_index
from .encoder_sam2 import encode_images
from .tracking_sam2 import ImageFeatures, Sam2Tracker, project_features, propagate


class KeyFrameTracker:
    """`N` objects in `B` clips, each prompted on one frame; a frame is encoded once, whatever its objects.

    ```python
    tracker = KeyFrameTracker(sam2, pixel_values, lengths, clips, prompts)
    masks, iou_scores, object_score_logits, on_key_frames = tracker.segment(tracker.best_key_frames())
    ```

    Args:
        sam2: the host. Its image encoder runs without gradient where none of its parameters takes one.
        pixel_values: `[B, T, 3, S, S]`; None where `features` take their place.
        lengths: number of real frames of each of the `B` clips, which come first.
        clips: the clip of each of the `N` objects. A tensor is taken, too, here and for key frames, and waited for.
        prompts: `[N, n, C]`, the prompt tokens of each object.
        multimask: choose among three masks on prompted frames, or take the single-mask token.
        prompt_decoder: decodes prompted frames, see `Sam2Tracker`.
        features: what the mask decoder reads of the frames, each `[B, T, ...]`, where it was made before.
    """

    def __init__(
        self,
        sam2: Sam2VideoModel,
        pixel_values: torch.Tensor | None,
        lengths: Sequence[int] | torch.Tensor,
        clips: Sequence[int] | torch.Tensor,
        prompts: torch.Tensor,
        multimask: bool = True,
        prompt_decoder: nn.Module | None = None,
        features: ImageFeatures | None = None,
    ):
        self.sam2 = sam2
        self.pixel_values = pixel_values
        self.lengths = _numbers(lengths)
        self.clips = _numbers(clips)
        self.prompts = prompts
        self.multimask = multimask
        self.prompt_decoder = prompt_decoder
        self.features = features
        self.num_frames = (pixel_values if features is None else features.stride16).shape[1]
        self._kept: dict[int, ImageFeatures] = {}

    def prompt(self, key_frames: torch.Tensor) -> MaskPrediction:
        """Prompt every object on its clip's key frame, `key_frames [B]`, without tracking."""
        clips = torch.arange(len(key_frames), device=key_frames.device)
        features = self._encode(clips, key_frames).select(self._index(self.clips))
        return self._tracker(1).prompt(features, self.prompts, multimask=self.multimask)

    def best_key_frames(self) -> torch.Tensor:
        """Prompt every object on every frame; the frames `[N]` of highest object probability times predicted IoU.

        The features of all frames are kept for `segment`.
        """
        self._kept = {frame: self._encode(slice(None), frame) for frame in range(self.num_frames)}
        tracker, scores, clips = self._tracker(1), [], self._index(self.clips)
        for features in self._kept.values():
            prediction = tracker.prompt(features.select(clips), self.prompts, multimask=self.multimask)
            scores.append(prediction.object_score_logits.sigmoid() * prediction.iou_scores)
        frames = torch.arange(self.num_frames, device=clips.device)
        real = frames < self._index(self.lengths)[clips, None]
        return torch.stack(scores, dim=1).masked_fill(~real, -1).argmax(-1)

    def segment(
        self, key_frames: Sequence[int] | torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, MaskPrediction]:
        """Prompt each of the `N` objects on its key frame and track it through its clip.

        Returns:
            Mask logits `[N, T, h, w]` (-1024 on padding frames), predicted IoU `[N, T]`, object scores `[N, T]`, and
            the predictions on the key frames.
        """
        num_objects, num_frames = len(self.clips), self.num_frames
        masks = self.prompts.new_full(
            (num_objects, num_frames, *self.sam2.prompt_encoder.mask_input_size), NO_MASK_LOGIT
        )
        iou_scores = self.prompts.new_zeros(num_objects, num_frames)
        object_score_logits = self.prompts.new_full((num_objects, num_frames), NO_MASK_LOGIT)
        on_key_frames = []
        for (length, key_frame), members in self._runs(key_frames):
            distinct = sorted({self.clips[member] for member in members})
            rows = self._index([distinct.index(self.clips[member]) for member in members])
            objects, features_of = self._index(members), partial(self._features, self._index(distinct), rows)
            tracker = self._tracker(length)
            for frame, prediction in propagate(tracker, features_of, self.prompts[objects], key_frame, self.multimask):
                masks[objects, frame] = prediction.masks.to(masks.dtype)
                iou_scores[objects, frame] = prediction.iou_scores.to(iou_scores.dtype)
                object_score_logits[objects, frame] = prediction.object_score_logits.to(iou_scores.dtype)
                if frame == key_frame:
                    on_key_frames.append((objects, prediction))
        return masks, iou_scores, object_score_logits, _merge(on_key_frames)

    def _runs(self, key_frames: Sequence[int] | torch.Tensor) -> list[tuple[tuple[int, int], list[int]]]:
        """The objects that can be tracked together, by the length of their clips and their key frame."""
        runs = defaultdict(list)
        for member, key_frame in enumerate(_numbers(key_frames)):
            runs[self.lengths[self.clips[member]], key_frame].append(member)
        return sorted(runs.items())

    def _index(self, numbers: list[int]) -> torch.Tensor:
        return as_index(numbers, self.prompts.device)

    def _tracker(self, num_frames: int) -> Sam2Tracker:
        return Sam2Tracker(self.sam2, num_frames, self.prompt_decoder)

    def _features(self, clips: torch.Tensor, rows: torch.Tensor, frame: int) -> ImageFeatures:
        """Features of a frame of the `clips`, one row for each of `rows`, places among them."""
        if frame in self._kept:
            return self._kept[frame].select(clips[rows])
        return self._encode(clips, frame).select(rows)

    def _encode(self, clips: torch.Tensor | slice, frames: torch.Tensor | int) -> ImageFeatures:
        """Features of some clips, one frame of each."""
        if self.features is not None:
            return ImageFeatures(*(feature[clips, frames] for feature in self.features))
        images = self.pixel_values[clips, frames]
        with gradient_where_needed(self.sam2.vision_encoder):
            maps = encode_images(self.sam2, images)
        return project_features(self.sam2, maps)


def _numbers(values: Sequence[int] | torch.Tensor) -> list[int]:
    return values.tolist() if torch.is_tensor(values) else list(values)


def _merge(parts: list[tuple[torch.Tensor, MaskPrediction]]) -> MaskPrediction:
    """One prediction from those of disjoint groups of objects, in the objects' order."""
    order = torch.cat([objects for objects, _ in parts]).argsort()
    return MaskPrediction.join([part for _, part in parts], lambda values: torch.cat(values)[order])
