"""Processor of SAM2-LOVE."""

from typing import Any

import torch
from transformers import PreTrainedTokenizerBase, Sam2ImageProcessor, ViTImageProcessor

from ...backbones.sam2.processing_sam2 import square_image_processor
from ...backbones.vggish import VggishFeatureExtractor
from ...modeling.processing import AudioVisualProcessor
from ...modeling.processing.call_arguments import check_text_length
from .configuration_sam2_love import Sam2LoveConfig


class Sam2LoveProcessor(AudioVisualProcessor):
    """Prepares clips for [`Sam2LoveModel`]: frames are resized to squares, nothing else (supplement C).

    Args:
        image_processor: frames for SAM2, `pixel_values`.
        vit_image_processor: the same frames for the frame encoder, `vit_pixel_values`.
        feature_extractor: mono log-mel patches.
        tokenizer: tokenizer of the text encoder.
        fps: rate at which video files are read.
        max_text_length: tokens an expression is padded and cut to.

    ```python
    processor = AutoProcessor.from_pretrained("examples/sam2-love-tiny")
    inputs = processor("clip.mp4", text=["the red circle", "the object making the loudest sound"])
    ```
    """

    empties_absent = True
    image_input_names = ("pixel_values", "vit_pixel_values")

    def __init__(
        self,
        image_processor: Sam2ImageProcessor,
        vit_image_processor: ViTImageProcessor,
        feature_extractor: VggishFeatureExtractor,
        tokenizer: PreTrainedTokenizerBase,
        fps: float = 1.0,
        max_text_length: int = 25,
    ):
        self.max_text_length = check_text_length(max_text_length)
        super().__init__(image_processor, vit_image_processor, feature_extractor, tokenizer, fps=fps)

    @classmethod
    def from_config(
        cls, config: Sam2LoveConfig, tokenizer: PreTrainedTokenizerBase, max_text_length: int = 25
    ) -> "Sam2LoveProcessor":
        """The processor whose sizes fit a model of `config`. Expressions have 25 tokens in the paper (supplement C)."""
        size, vit_size = config.sam2_config.image_size, config.vision_config.image_size
        return cls(
            square_image_processor(size),
            ViTImageProcessor(size={"height": vit_size, "width": vit_size}),
            VggishFeatureExtractor(min_patches=1),
            tokenizer,
            max_text_length=max_text_length,
        )

    def image_inputs(self, frames: list[torch.Tensor], **images_kwargs: Any) -> dict[str, torch.Tensor]:
        processors = {"pixel_values": self.image_processor, "vit_pixel_values": self.vit_image_processor}
        options = {"return_tensors": "pt", "input_data_format": "channels_first", **images_kwargs}
        return {name: processor(frames, **options)["pixel_values"] for name, processor in processors.items()}


__all__ = ["Sam2LoveProcessor"]
