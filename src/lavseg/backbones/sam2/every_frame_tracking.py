"""SAM2's tracking where something prompts every frame, as AuralSAM2 and the baselines it was compared with drive it."""

from collections.abc import Callable, Collection, Iterator
from typing import Any

import torch

from ...modeling.outputs import MaskPrediction
from .tracking_sam2 import FrameMemory, ImageFeatures, Memory, Sam2Tracker


class EveryFrameTracker(Sam2Tracker):
    """Remembers hard masks of every frame, whatever their object score, in full precision.

    ```python
    tracker = EveryFrameTracker(sam, num_frames=10)
    for frame, prediction in track_every_frame(tracker, features_of, decode, conditioning=[0]):
        masks = prediction.masks
    ```
    """

    @property
    def multimask(self) -> bool:
        """Whether there are three masks to choose from, or one; as every frame is prompted, on all of them."""
        return self.sam.config.multimask_output_in_sam

    def encode_memory(self, stride16: torch.Tensor, prediction: MaskPrediction, prompted: bool) -> FrameMemory:
        """Turn a frame's map `[N, C, h, w]` and prediction into a memory."""
        config, visible = self.sam.config, (prediction.object_score_logits > 0).to(stride16.dtype)[:, None]
        hard = (self.full_size(prediction.masks) > 0).to(stride16.dtype)
        hard = hard * config.sigmoid_scale_for_mem_enc + config.sigmoid_bias_for_mem_enc
        spatial, _ = self.sam.memory_encoder(stride16, hard)
        if self.sam.occlusion_spatial_embedding_parameter is not None:
            occluded = self.sam.occlusion_spatial_embedding_parameter[..., None, None]
            spatial = spatial + (1 - visible)[..., None, None] * occluded
        pointer = visible * self.sam.object_pointer_proj(prediction.token) + (1 - visible) * self.sam.no_object_pointer
        return FrameMemory(spatial.flatten(2).permute(2, 0, 1), pointer)


def call(function: Callable, *args: Any) -> Any:
    """Call a function."""
    return function(*args)


def track_every_frame(
    tracker: EveryFrameTracker,
    features_of: Callable[[int], ImageFeatures],
    decode: Callable[[int, ImageFeatures, torch.Tensor], MaskPrediction],
    conditioning: Collection[int],
    run: Callable = call,
) -> Iterator[tuple[int, MaskPrediction]]:
    """Segment the conditioning frames without memory, then all other frames in ascending order with memory.

    Args:
        tracker: for the clips at hand.
        features_of: features of a frame, one row per object; asked for each frame once.
        decode: makes the prediction of a frame from its features and its map `[N, C, h, w]`, with or without memory.
        conditioning: indices of the frames that come first.
        run: calls what segments a frame, a function of values, with its arguments.
    """
    memory, done = Memory(), None

    def segment(frame: int, features: ImageFeatures, memory: Memory) -> MaskPrediction:
        if frame in conditioning:
            embeddings = features.stride16 + tracker.sam.no_memory_embedding.view(1, -1, 1, 1)
        else:
            embeddings = tracker.condition_on_memory(features.stride16, memory, frame)
        return decode(frame, features, embeddings)

    others = (frame for frame in range(tracker.num_frames) if frame not in conditioning)
    for frame in (*sorted(conditioning), *others):
        if done is not None:  # nothing reads a memory of the last frame
            memory = tracker.remember(memory, *done)
        features = features_of(frame)
        prediction = run(segment, frame, features, memory)
        done = (frame, features, prediction, frame in conditioning)
        yield frame, prediction
