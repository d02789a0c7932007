"""Tracks all objects of a batch of clips with SAM2, each from the one frame on which it is prompted."""

from dataclasses import fields
from functools import partial

import torch
from torch import nn
from transformers import Sam2VideoModel

from ...modeling.encoders import gradient_where_needed
from .encoder_sam2 import encode_images
from .tracking_sam2 import NO_OBJ_SCORE, ImageFeatures, MaskPrediction, Sam2Tracker, project_features, propagate


class KeyFrameTracker:
    """`N` objects in `B` clips, each prompted on one frame; a frame is encoded once, whatever its objects.

    ```python
    tracker = KeyFrameTracker(sam2, pixel_values, lengths, clips, prompts)
    masks, iou_scores, object_score_logits, on_key_frames = tracker.segment(tracker.best_key_frames())
    ```

    Args:
        sam2: the host. Its image encoder runs without gradient where none of its parameters takes one.
        pixel_values: `[B, T, 3, S, S]`.
        lengths: long `[B]`, number of real frames, which come first.
        clips: long `[N]`, the clip of each object.
        prompts: `[N, n, C]`, the prompt tokens of each object.
        multimask: choose among three masks on prompted frames, or take the single-mask token.
        prompt_decoder: decodes prompted frames, see `Sam2Tracker`.
    """

    def __init__(
        self,
        sam2: Sam2VideoModel,
        pixel_values: torch.Tensor,
        lengths: torch.Tensor,
        clips: torch.Tensor,
        prompts: torch.Tensor,
        multimask: bool = True,
        prompt_decoder: nn.Module | None = None,
    ):
        self.sam2 = sam2
        self.pixel_values = pixel_values
        self.lengths = lengths
        self.clips = clips
        self.prompts = prompts
        self.multimask = multimask
        self.prompt_decoder = prompt_decoder
        self._kept: dict[int, ImageFeatures] = {}

    def prompt(self, key_frames: torch.Tensor) -> MaskPrediction:
        """Prompt every object on its clip's key frame, `key_frames [B]`, without tracking."""
        images = self.pixel_values[torch.arange(len(key_frames), device=key_frames.device), key_frames]
        features = self._encode(images).select(self.clips)
        return self._tracker(1).prompt(features, self.prompts, multimask=self.multimask)

    def best_key_frames(self) -> torch.Tensor:
        """Prompt every object on every frame; the frames `[N]` of highest object probability times predicted IoU.

        The features of all frames are kept for `segment`.
        """
        num_frames = self.pixel_values.shape[1]
        self._kept = {frame: self._encode(self.pixel_values[:, frame]) for frame in range(num_frames)}
        tracker, scores = self._tracker(1), []
        for features in self._kept.values():
            prediction = tracker.prompt(features.select(self.clips), self.prompts, multimask=self.multimask)
            scores.append(prediction.object_score_logits.sigmoid() * prediction.iou_scores)
        frames = torch.arange(num_frames, device=self.clips.device)
        real = frames < self.lengths[self.clips, None]
        return torch.stack(scores, dim=1).masked_fill(~real, -1).argmax(-1)

    def segment(self, key_frames: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, MaskPrediction]:
        """Prompt each object on its key frame `key_frames [N]` and track it through its clip.

        Returns:
            Mask logits `[N, T, h, w]` (-1024 on padding frames), predicted IoU `[N, T]`, object scores `[N, T]`, and
            the predictions on the key frames.
        """
        num_objects, num_frames = len(self.clips), self.pixel_values.shape[1]
        masks = self.prompts.new_full(
            (num_objects, num_frames, *self.sam2.prompt_encoder.mask_input_size), NO_OBJ_SCORE
        )
        iou_scores = self.prompts.new_zeros(num_objects, num_frames)
        object_score_logits = self.prompts.new_full((num_objects, num_frames), NO_OBJ_SCORE)
        runs = torch.stack([self.lengths[self.clips], key_frames], dim=1)
        on_key_frames = []
        for run in runs.unique(dim=0):
            objects = (runs == run).all(1).nonzero()[:, 0]
            length, key_frame = run.tolist()
            tracker, features_of = self._tracker(length), partial(self._features, objects)
            for frame, prediction in propagate(tracker, features_of, self.prompts[objects], key_frame, self.multimask):
                masks[objects, frame] = prediction.masks.to(masks.dtype)
                iou_scores[objects, frame] = prediction.iou_scores.to(iou_scores.dtype)
                object_score_logits[objects, frame] = prediction.object_score_logits.to(iou_scores.dtype)
                if frame == key_frame:
                    on_key_frames.append((objects, prediction))
        return masks, iou_scores, object_score_logits, _merge(on_key_frames)

    def _tracker(self, num_frames: int) -> Sam2Tracker:
        return Sam2Tracker(self.sam2, num_frames, self.prompt_decoder)

    def _features(self, objects: torch.Tensor, frame: int) -> ImageFeatures:
        clips = self.clips[objects]
        if frame in self._kept:
            return self._kept[frame].select(clips)
        distinct, rows = clips.unique(return_inverse=True)
        return self._encode(self.pixel_values[distinct, frame]).select(rows)

    def _encode(self, images: torch.Tensor) -> ImageFeatures:
        with gradient_where_needed(self.sam2.vision_encoder):
            maps = encode_images(self.sam2, images)
        return project_features(self.sam2, maps)


def _merge(parts: list[tuple[torch.Tensor, MaskPrediction]]) -> MaskPrediction:
    """One prediction from those of disjoint groups of objects, in the objects' order."""
    order = torch.cat([objects for objects, _ in parts]).argsort()
    merged = (torch.cat([getattr(part, field.name) for _, part in parts])[order] for field in fields(MaskPrediction))
    return MaskPrediction(*merged)
