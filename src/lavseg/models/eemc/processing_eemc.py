"""Processor of EEMC."""

import torch
from transformers import PreTrainedTokenizerBase, Sam2ImageProcessor

from ...backbones.mask2former.processing_mask2former import PilSquaresMixin
from ...backbones.sam2.processing_sam2 import square_image_processor
from ...backbones.vggish import VggishFeatureExtractor
from ...modeling.processing import AudioVisualProcessor
from ...modeling.processing.call_arguments import check_text_length
from .configuration_eemc import EemcConfig
from .modeling_eemc import scale_in_two_steps


class EemcProcessor(PilSquaresMixin, AudioVisualProcessor):
    """Prepares clips for [`EemcModel`]: frames become squares, sentences 25 tokens.

    Args:
        image_processor: says the size of the frames for the host, to which PIL brings them, and normalises them.
        feature_extractor: mono log-mel patches.
        tokenizer: tokenizer of the text encoder.
        fps: rate at which video files are read.
        max_text_length: tokens an expression is padded and cut to. The model reads padding, too: results depend on it.

    ```python
    processor = AutoProcessor.from_pretrained("runs/eemc")
    inputs = processor("clip.mp4", text=["the dog that barks", "what makes no sound"])
    ```
    """

    def __init__(
        self,
        image_processor: Sam2ImageProcessor,
        feature_extractor: VggishFeatureExtractor,
        tokenizer: PreTrainedTokenizerBase,
        fps: float = 1.0,
        max_text_length: int = 25,
    ):
        self.max_text_length = check_text_length(max_text_length)
        super().__init__(image_processor, feature_extractor, tokenizer, fps=fps)

    @classmethod
    def from_config(
        cls, config: EemcConfig, tokenizer: PreTrainedTokenizerBase, max_text_length: int = 25
    ) -> "EemcProcessor":
        """The processor whose sizes fit a model of `config`."""
        sounds = VggishFeatureExtractor(min_patches=1)
        return cls(square_image_processor(config.frame_size), sounds, tokenizer, max_text_length=max_text_length)

    def _resize(self, logits: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
        return scale_in_two_steps(logits, size)


__all__ = ["EemcProcessor"]
