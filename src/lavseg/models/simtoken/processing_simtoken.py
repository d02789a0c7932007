"""Processor of SimToken."""

from collections.abc import Collection
from typing import Any

import torch
from transformers import (
    CLIPImageProcessorPil,
    PreTrainedTokenizerBase,
    Sam2ImageProcessor,
    Sam2VideoConfig,
    SamImageProcessorPil,
)
from transformers.image_processing_utils import BaseImageProcessor
from transformers.utils import logging

from ...backbones.sam2.processing_sam2 import square_image_processor
from ...backbones.vggish import VggishFeatureExtractor
from ...modeling.inputs import check_text
from ...modeling.processing import AudioVisualProcessor
from ...modeling.processing.call_arguments import check_expression_counts, check_text_length
from .configuration_simtoken import SimTokenConfig
from .prompt_simtoken import PromptWriter
from .scaling_simtoken import scale_without_padding

# Statistics of pixels from 0 to 255 that the release has in place of SAM's.
_MEAN, _STD = (113.263, 99.370, 92.492), (64.274, 61.068, 58.626)

logger = logging.get_logger(__name__)


class SimTokenProcessor(AudioVisualProcessor):
    """Prepares clips for [`SimTokenModel`]: frames padded to squares for SAM, or resized to squares for SAM2, their
    middle squares for CLIP, and each sentence as a prompt that holds the answer.

    Args:
        image_processor: frames for SAM or SAM2, `pixel_values`.
        clip_image_processor: the same frames for CLIP, `clip_pixel_values`.
        feature_extractor: mono log-mel patches.
        tokenizer: the language model's.
        seg_token_id: the token [SEG], which the tokenizer need not know; the first after the tokenizer's own when None.
        fps: rate at which video files are read.
        max_text_length: tokens an expression is cut to.
        prompt: "release", the released wording, which converted weights need, or "chat", the tokenizer's own chat
            template around the same question.

    ```python
    processor = AutoProcessor.from_pretrained("runs/simtoken")
    inputs = processor("clip.mp4", text=["the dog on the left", "the object making the loudest sound"])
    ```

    Raises:
        ValueError: as the base class says, and for a `prompt` that is none of these or that the tokenizer lacks.
    """

    image_input_names = ("pixel_values", "clip_pixel_values")
    encoder_processors = {"vision": "clip_image_processor"}

    def __init__(
        self,
        image_processor: SamImageProcessorPil | Sam2ImageProcessor,
        clip_image_processor: CLIPImageProcessorPil,
        feature_extractor: VggishFeatureExtractor,
        tokenizer: PreTrainedTokenizerBase,
        seg_token_id: int | None = None,
        fps: float = 1.0,
        max_text_length: int = 64,
        prompt: str = "release",
    ):
        self.max_text_length = check_text_length(max_text_length)
        self.seg_token_id = len(tokenizer) if seg_token_id is None else seg_token_id
        self.prompt = prompt
        # Saved ones are loaded in the form that resizes with torchvision, which differs by up to 3e-2.
        if not isinstance(image_processor, Sam2ImageProcessor):
            image_processor = SamImageProcessorPil.from_dict(image_processor.to_dict())
        clip_image_processor = CLIPImageProcessorPil.from_dict(clip_image_processor.to_dict())
        super().__init__(image_processor, clip_image_processor, feature_extractor, tokenizer, fps=fps)
        self._writer = PromptWriter(tokenizer, prompt, self.seg_token_id)

    @classmethod
    def from_config(
        cls,
        config: SimTokenConfig,
        tokenizer: PreTrainedTokenizerBase,
        max_text_length: int = 64,
        clip_image_processor: BaseImageProcessor | None = None,
        prompt: str = "release",
    ) -> "SimTokenProcessor":
        """The processor whose sizes fit a model of `config`.

        Args:
            config: the model's.
            tokenizer: the language model's.
            max_text_length: tokens an expression is cut to.
            clip_image_processor: the one that is published with CLIP, whose mean and deviation are taken; its usual
                ones when None.
            prompt: the wording, see the class.
        """
        edge, seen = config.sam_config.prompt_encoder_config.image_size, config.vision_config.image_size
        on_sam2 = isinstance(config.sam_config, Sam2VideoConfig)
        published = ("image_mean", "image_std") if clip_image_processor else ()
        return cls(
            square_image_processor(edge) if on_sam2 else _padded_image_processor(edge),
            CLIPImageProcessorPil(
                size={"shortest_edge": seen},
                crop_size={"height": seen, "width": seen},
                **{name: getattr(clip_image_processor, name) for name in published},
            ),
            VggishFeatureExtractor(min_patches=1),
            tokenizer,
            config.seg_token_id,
            max_text_length=max_text_length,
            prompt=prompt,
        )

    @property
    def pad_frames(self) -> bool:
        """Whether frames keep their aspect ratio and are padded, as SAM takes them."""
        return not isinstance(self.image_processor, Sam2ImageProcessor)

    def image_inputs(self, frames: list[torch.Tensor], **images_kwargs: Any) -> dict[str, torch.Tensor]:
        options = {"return_tensors": "pt", "input_data_format": "channels_first"}
        return {
            "pixel_values": self.image_processor(frames, **options, **images_kwargs)["pixel_values"],
            "clip_pixel_values": self.clip_image_processor(frames, **options)["pixel_values"],
        }

    def _accepted_options(self) -> dict[str, Collection[str]]:
        return {**super()._accepted_options(), "text_kwargs": ("max_length",)}

    def text_inputs(self, texts: list[list[str]] | None, **text_kwargs: Any) -> dict[str, torch.Tensor]:
        """`input_ids` and `attention_mask`, `[B, E, P]`, of the prompts about each clip, padded to the longest; in the
        mask, 2 stands for the answer.

        Args:
            texts: sentences, which are put into small letters and lose dots at their ends, and nothing else.
            text_kwargs: `max_length` in place of `max_text_length`.

        Raises:
            ValueError: when there are none, or not as many about every clip.
        """
        check_text("text", type(self).__name__, texts, self.needs_text)
        check_expression_counts(texts)
        length = check_text_length(text_kwargs.get("max_length", self.max_text_length), "max_length")
        prompts = [self._writer.write(self._cut(text, length)) for expressions in texts for text in expressions]
        padding = (self.tokenizer.pad_token_id or 0, 0)
        data = {}
        for name, rows, value in zip(("input_ids", "attention_mask"), zip(*prompts, strict=True), padding, strict=True):
            tensors = [torch.tensor(row) for row in rows]
            padded = torch.nn.utils.rnn.pad_sequence(tensors, batch_first=True, padding_value=value)
            data[name] = padded.unflatten(0, (len(texts), -1))
        return data

    def _cut(self, sentence: str, length: int) -> str:
        tokens = self._writer.piece(sentence)
        if len(tokens) <= length:
            return sentence
        logger.warning_once(
            f"text: {sentence!r} has {len(tokens)} tokens, {type(self).__name__} reads the first {length}; a shorter "
            "sentence would be read whole"
        )
        return self.tokenizer.decode(tokens[:length], skip_special_tokens=True)

    def _resize(self, logits: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
        return scale_without_padding(logits, size, size) if self.pad_frames else super()._resize(logits, size)


def _padded_image_processor(edge: int) -> SamImageProcessorPil:
    """The release's for SAM."""
    size, square = {"longest_edge": edge}, {"height": edge, "width": edge}
    return SamImageProcessorPil(size=size, pad_size=square, do_rescale=False, image_mean=_MEAN, image_std=_STD)


__all__ = ["SimTokenProcessor"]
