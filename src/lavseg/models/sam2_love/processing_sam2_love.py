"""Processor of SAM2-LOVE."""

from collections.abc import Collection, Sequence
from typing import Any

import torch
from transformers import PreTrainedTokenizerBase, Sam2ImageProcessor, ViTImageProcessor
from transformers.image_processing_utils import BaseImageProcessor

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
    inputs = processor("clip.mp4", text=["the dog on the left", "the object making the loudest sound"])
    ```
    """

    empties_absent = True
    image_input_names = ("pixel_values", "vit_pixel_values")
    encoder_processors = {"vision": "vit_image_processor"}

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
        cls,
        config: Sam2LoveConfig,
        tokenizer: PreTrainedTokenizerBase,
        max_text_length: int = 25,
        vit_image_processor: BaseImageProcessor | None = None,
    ) -> "Sam2LoveProcessor":
        """The processor whose sizes fit a model of `config`. Expressions have 25 tokens in the paper (supplement C).

        Args:
            config: the model's.
            tokenizer: the text encoder's.
            max_text_length: tokens an expression is padded and cut to.
            vit_image_processor: the frame encoder's own, as published with it. Its mean, deviation and resampling are
                taken, at the encoder's size and without cropping. None is ViT's.

        Raises:
            ValueError: when it is missing for an encoder that is no ViT, or does not normalise.
        """
        image_size, vision = config.sam2_config.image_size, config.vision_config
        if vit_image_processor is None and vision.model_type != "vit":
            raise ValueError(
                f"vit_image_processor: missing; a {vision.model_type} prepares frames in its own way, pass the image "
                "processor that is published with it"
            )
        return cls(
            square_image_processor(image_size),
            _without_cropping(vit_image_processor or ViTImageProcessor(), vision.image_size),
            VggishFeatureExtractor(min_patches=1),
            tokenizer,
            max_text_length=max_text_length,
        )

    def image_inputs(
        self, frames: list[torch.Tensor], key_frame: int | None = None, **images_kwargs: Any
    ) -> dict[str, torch.Tensor]:
        """As in the base class; with a `key_frame` SAM2 is given that one alone, `pixel_values [1, 3, S, S]`."""
        shown = frames if key_frame is None else [frames[key_frame]]
        options = {"return_tensors": "pt", "input_data_format": "channels_first", **images_kwargs}
        return {
            "pixel_values": self.image_processor(shown, **options)["pixel_values"],
            "vit_pixel_values": self.vit_image_processor(frames, **options)["pixel_values"],
        }

    def _accepted_options(self) -> dict[str, Collection[str]]:
        accepted = super()._accepted_options()
        return {**accepted, "images_kwargs": {*accepted["images_kwargs"], "key_frames"}}

    def _pad_frames(
        self, clips: list[torch.Tensor], key_frames: Sequence[int] | None = None, **images_kwargs: Any
    ) -> dict[str, torch.Tensor]:
        """As in the base class; `key_frames` are what training takes, one for each clip, see [`Sam2LoveModel`]."""
        if key_frames is None:
            return super()._pad_frames(clips, **images_kwargs)
        listed = isinstance(key_frames, list | tuple) and len(key_frames) == len(clips)
        if not listed or not all(map(_is_frame, key_frames, clips)):
            raise ValueError(
                f"key_frames: one number of a frame for each clip of {[len(clip) for clip in clips]} frames is taken, "
                f"got {key_frames}"
            )
        numbers = iter(key_frames)
        prepare = self.image_inputs
        other = self.with_image_inputs(lambda frames, **options: prepare(frames, next(numbers), **options))
        return {**other._pad_frames(clips, **images_kwargs), "key_frames": torch.tensor(key_frames)}


def _is_frame(number: int, clip: torch.Tensor) -> bool:
    return isinstance(number, int) and 0 <= number < len(clip)


def _without_cropping(own: BaseImageProcessor, size: int) -> ViTImageProcessor:
    """What `own` does to pixels, on whole frames that are resized to `size x size`."""
    names = ("resample", "image_mean", "image_std", "rescale_factor")
    missing = [name for name in names if getattr(own, name, None) is None]
    if missing:
        raise ValueError(f"vit_image_processor: {type(own).__name__} does not say its {', '.join(missing)}")
    return ViTImageProcessor(size={"height": size, "width": size}, **{name: getattr(own, name) for name in names})


__all__ = ["Sam2LoveProcessor"]
