"""Masks that a method has given, carried to other frames by SAM2's memory."""

from collections.abc import Callable

import numpy as np
import torch
from transformers import Sam2VideoModel

from .encoder_sam2 import encode_images
from .tracking_sam2 import FrameMemory, ImageFeatures, MaskPrediction, Memory, Sam2Tracker, project_features


class MaskTracker:
    """Tracks objects from masks that are given for some frames, as if a user had drawn them there.

    Frames are numbered at one rate. What the tracker remembers is bounded, whatever the length of the video.

    ```python
    tracker = MaskTracker(model.tracking_host)
    tracker.start({0: tracker.encode_mask(tracker.encode(frames[:1]), logits)})
    masks = tracker.track(1, tracker.encode(frames[1:2])).masks > 0
    ```

    Args:
        host: a SAM2 video model.
    """

    def __init__(self, host: Sam2VideoModel):
        self.host = host
        self.tracker = Sam2Tracker(host, host.config.max_object_pointers_in_encoder)
        self.memory = Memory()

    @torch.inference_mode()
    def encode(self, pixel_values: torch.Tensor) -> ImageFeatures:
        """Features of one frame, `pixel_values [1, 3, S, S]`."""
        return project_features(self.host, encode_images(self.host, pixel_values.to(self.host.device)))

    @torch.inference_mode()
    def encode_mask(self, features: ImageFeatures, logits: torch.Tensor) -> FrameMemory:
        """A memory of masks `logits [E, h, w]` on the frame of `features`."""
        masks = self.tracker.full_size(logits)[:, 0] > 0
        return self.tracker.encode_mask(_one_row_per_object(features, len(masks)), masks)

    def start(self, given: dict[float, FrameMemory]) -> None:
        """Go on from given masks, by frame number (which may be a fraction), and forget what was tracked before."""
        self.memory = Memory(prompted=given)

    @torch.inference_mode()
    def track(self, frame: int, features: ImageFeatures) -> MaskPrediction:
        """Predict the masks of the next frame, of which there is one per object; frames come in ascending order.

        Args:
            frame: its number.
            features: what `encode` returns for the one frame.
        """
        rows = _one_row_per_object(features, next(iter(self.memory.prompted.values())).pointer.shape[0])
        # Masks that are all of later frames are followed back in time.
        reverse = min(self.memory.prompted) > frame
        prediction = self.tracker.track(rows, self.memory, frame, reverse)
        self.memory = self.tracker.remember(self.memory, frame, rows, prediction)
        return prediction


def frame_pixels(
    image_inputs: Callable[[list[torch.Tensor]], dict[str, torch.Tensor]], frame: np.ndarray
) -> torch.Tensor:
    """A frame, uint8 `[H, W, 3]`, as SAM2 takes it, `[1, 3, S, S]`; `image_inputs` is the method's processor's."""
    return image_inputs([torch.from_numpy(frame).permute(2, 0, 1)])["pixel_values"]


def _one_row_per_object(features: ImageFeatures, count: int) -> ImageFeatures:
    return features.select(torch.zeros(count, dtype=torch.long, device=features.stride16.device))
