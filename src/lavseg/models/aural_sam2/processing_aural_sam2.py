"""Processor of AuralSAM2."""

from collections.abc import Sequence
from typing import Any

import torch
from transformers import BatchFeature
from transformers.image_processing_utils import BaseImageProcessor
from transformers.image_utils import PILImageResampling

from ...backbones.sam2.processing_sam2 import square_image_processor
from ...backbones.vggish import VggishFeatureExtractor
from ...modeling.processing import AudioVisualProcessor, OptionalTextMixin, SemanticMixin
from ...modeling.processing.call_arguments import as_numpy
from .configuration_aural_sam2 import AuralSam2Config

# Clips with fewer patches of sound repeat the last one up to this number, as the released front end does.
MIN_PATCHES = 5


class AuralSam2Processor(OptionalTextMixin, SemanticMixin, AudioVisualProcessor):
    """Prepares clips for [`AuralSam2Model`]: a square resize of the frames, and left and right of the sound apart; mono
    is doubled.

    ```python
    processor = AuralSam2Processor.from_config(AuralSam2Config(use_text=False))
    inputs = processor("clip.mp4")
    ```
    """

    @classmethod
    def _parts(cls, config: AuralSam2Config) -> tuple[BaseImageProcessor, VggishFeatureExtractor]:
        frames = square_image_processor(config.sam2_config.image_size, PILImageResampling.BICUBIC)
        return frames, VggishFeatureExtractor(num_channels=2, min_patches=MIN_PATCHES)

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
        **kwargs: Any,
    ) -> BatchFeature:
        """Prepare one clip, or a list of clips, and a user's points and boxes.

        Args:
            video, audio, text, sampling_rate, videos, kwargs: as in the base class; no `text` without a tokenizer.
            input_points: `[B, E, n, 2]` or, for several frames, `[B, E, F, n, 2]`, (x, y) in pixels of the clip.
            input_labels: `[B, E, n]` or `[B, E, F, n]`: 1 on the object, 0 off it, -1 for padding.
            input_boxes: `[B, E, 4]` or `[B, E, F, 4]`, (x1, y1, x2, y2) in pixels of the clip.

        Returns:
            The base class's inputs, and the user's in pixels of `pixel_values`.

        Raises:
            ValueError: when an argument is missing, not of these kinds, or not to be read by this method.
        """
        inputs = super().__call__(video, audio, text, sampling_rate, videos, **kwargs)
        prompts = {}
        height, width = inputs["pixel_values"].shape[-2:]
        scales = torch.tensor([[width / w, height / h] for h, w in inputs["original_sizes"]])
        given = {"input_points": (input_points, (4, 5), 2), "input_boxes": (input_boxes, (3, 4), 4)}
        for name, (value, axes, last) in given.items():
            if value is None:
                continue
            value = torch.as_tensor(value, dtype=torch.float32)
            if not value.isfinite().all():
                raise ValueError(f"{name}: holds NaN or infinite values")
            if value.dim() not in axes or value.shape[-1] != last or len(value) != len(scales):
                raise ValueError(
                    f"{name}: has to have {axes[0]} axes, or {axes[1]} with frames, the first of {len(scales)} clips "
                    f"and the last of {last} coordinates; got {list(value.shape)}"
                )
            factors = scales.repeat(1, last // 2).view(-1, *[1] * (value.dim() - 2), last)
            prompts[name] = value * factors
        if input_labels is not None:
            labels = torch.as_tensor(input_labels)
            if not torch.isin(labels, torch.tensor([-1, 0, 1])).all():
                raise ValueError(f"input_labels: accepted are 1, 0 and -1, got {labels.unique().tolist()}")
            prompts["input_labels"] = labels.int()
        inputs.update(prompts if isinstance(inputs["frame_mask"], torch.Tensor) else as_numpy(prompts))
        return inputs


__all__ = ["AuralSam2Processor"]
