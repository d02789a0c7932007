"""Processor of AuralSAM2."""

import torch
from transformers import PreTrainedTokenizerBase, Sam2ImageProcessor

from ...processing import AudioVisualProcessor
from ..vggish import VggishFeatureExtractor
from .configuration_aural_sam2 import AuralSam2Config

# Clips with fewer patches of sound repeat the last one up to this number, as the released front end does.
MIN_PATCHES = 5


class AuralSam2Processor(AudioVisualProcessor):
    """Prepares clips for [`AuralSam2Model`]: a square resize of the frames, and left and right of the sound apart.

    Args:
        image_processor: frames for SAM2, `pixel_values`.
        feature_extractor: stereo log-mel patches; mono is doubled.
        tokenizer: of the text encoder; without one the processor takes no text.
        frames_per_second: rate at which video files are read.
        max_text_length: tokens an expression is padded and cut to.
    """

    def __init__(
        self,
        image_processor: Sam2ImageProcessor,
        feature_extractor: VggishFeatureExtractor,
        tokenizer: PreTrainedTokenizerBase | None = None,
        frames_per_second: float = 1.0,
        max_text_length: int = 25,
    ):
        self.frames_per_second = frames_per_second
        self.max_text_length = max_text_length
        super().__init__(image_processor, feature_extractor, tokenizer)
        self.needs_text = tokenizer is not None

    @classmethod
    def from_config(
        cls, config: AuralSam2Config, tokenizer: PreTrainedTokenizerBase | None = None
    ) -> "AuralSam2Processor":
        """The processor whose sizes fit a model of `config`; `tokenizer` is needed where it reads text."""
        if config.use_text != (tokenizer is not None):
            raise ValueError(
                f"tokenizer: with use_text={config.use_text} one is {'' if config.use_text else 'not '}needed"
            )
        size = config.sam2_config.image_size
        return cls(
            Sam2ImageProcessor(
                size={"height": size, "width": size}, mask_size={"height": size // 4, "width": size // 4}
            ),
            VggishFeatureExtractor(num_channels=2, min_patches=MIN_PATCHES),
            tokenizer,
            max_text_length=config.max_text_length,
        )

    def image_inputs(self, frames: list[torch.Tensor]) -> dict[str, torch.Tensor]:
        return {"pixel_values": self.image_processor(frames, return_tensors="pt")["pixel_values"]}
