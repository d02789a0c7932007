"""Processor of AuralSAM2."""

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from transformers import BatchFeature, PreTrainedTokenizerBase, Sam2ImageProcessor
from transformers.image_utils import PILImageResampling

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
        self.needs_text = tokenizer is not None
        self._tokenizer = tokenizer
        super().__init__(image_processor, feature_extractor)

    @property
    def tokenizer(self) -> PreTrainedTokenizerBase | None:
        """Tokenizer of the text encoder, if the method reads."""
        return self._tokenizer

    @classmethod
    def from_config(
        cls, config: AuralSam2Config, tokenizer: PreTrainedTokenizerBase | None = None
    ) -> "AuralSam2Processor":
        """The processor whose sizes fit a model of `config`.

        Raises:
            ValueError: when the tokenizer is missing for a model that reads text, or given for one that does not.
        """
        if config.use_text and tokenizer is None:
            raise ValueError("tokenizer: missing; a model with use_text reads sentences")
        if not config.use_text and tokenizer is not None:
            raise ValueError("tokenizer: a model with use_text=False reads no text, leave it out")
        size = config.sam2_config.image_size
        return cls(
            Sam2ImageProcessor(
                size={"height": size, "width": size},
                mask_size={"height": size // 4, "width": size // 4},
                resample=PILImageResampling.BICUBIC,
            ),
            VggishFeatureExtractor(num_channels=2, min_patches=MIN_PATCHES),
            tokenizer,
            max_text_length=config.max_text_length,
        )

    def image_inputs(self, frames: list[torch.Tensor]) -> dict[str, torch.Tensor]:
        return {"pixel_values": self.image_processor(frames, return_tensors="pt")["pixel_values"]}

    def __call__(
        self,
        video: Any = None,
        audio: Any = None,
        text: str | Sequence[str] | Sequence[Sequence[str]] | None = None,
        sampling_rate: int | Sequence[int] | None = None,
        return_tensors: str = "pt",
        input_points: Any = None,
        input_labels: Any = None,
        input_boxes: Any = None,
    ) -> BatchFeature:
        """Prepare one clip, or a list of clips, and a user's points and boxes.

        Args:
            video, audio, text, sampling_rate, return_tensors: as in the base class; no `text` without a tokenizer.
            input_points: `[B, E, n, 2]` or, for several frames, `[B, E, F, n, 2]`, (x, y) in pixels of the clip.
            input_labels: `[B, E, n]` or `[B, E, F, n]`: 1 on the object, 0 off it, -1 for padding.
            input_boxes: `[B, E, 4]` or `[B, E, F, 4]`, (x1, y1, x2, y2) in pixels of the clip.

        Returns:
            The base class's inputs, and the user's in pixels of `pixel_values`.

        Raises:
            ValueError: when an argument is missing, not of these kinds, or not to be read by this method.
        """
        if text is not None and not self.needs_text:
            raise ValueError("text: this model hears and sees only, it was made without a text encoder; leave it out")
        inputs = super().__call__(video, audio, text, sampling_rate, return_tensors)
        height, width = inputs["pixel_values"].shape[-2:]
        scales = torch.tensor([[width / w, height / h] for h, w in inputs["original_sizes"]])
        given = {"input_points": (input_points, (4, 5), 2), "input_boxes": (input_boxes, (3, 4), 4)}
        for name, (value, axes, last) in given.items():
            if value is None:
                continue
            value = torch.as_tensor(value, dtype=torch.float32)
            if value.dim() not in axes or value.shape[-1] != last or len(value) != len(scales):
                raise ValueError(
                    f"{name}: has to have {axes[0]} axes, or {axes[1]} with frames, the first of {len(scales)} clips "
                    f"and the last of {last} coordinates; got {list(value.shape)}"
                )
            factors = scales.repeat(1, last // 2).view(-1, *[1] * (value.dim() - 2), last)
            inputs[name] = value * factors
        if input_labels is not None:
            inputs["input_labels"] = torch.as_tensor(input_labels, dtype=torch.int32)
        return inputs

    def post_process_semantic(
        self,
        pred_masks: torch.Tensor,
        class_logits: torch.Tensor,
        original_sizes: Sequence[tuple[int, int]],
        frame_mask: torch.Tensor | None = None,
    ) -> list[torch.Tensor]:
        """The most likely class of every pixel inside the masks, background outside, at the clips' sizes.

        Args:
            pred_masks, original_sizes, frame_mask: as in `post_process_masks`.
            class_logits: `[B, K + 1, T, e, e]` as a model with a class head returns them.

        Returns:
            For each clip uint8 `[T, H, W]`, 0 for background.

        Raises:
            ValueError: when the shapes do not fit together.
        """
        wanted = (len(pred_masks), pred_masks.shape[2])
        if class_logits.dim() != 5 or (len(class_logits), class_logits.shape[2]) != wanted:
            raise ValueError(
                f"class_logits: has to be [B, K + 1, T, e, e] for the {wanted[0]} clips of {wanted[1]} frames in "
                f"pred_masks, got {list(class_logits.shape)}"
            )
        found = []
        masks = self.post_process_masks(pred_masks, original_sizes, frame_mask)
        for index, (inside, logits) in enumerate(zip(masks, class_logits, strict=True)):
            frames = logits.transpose(0, 1)
            if frame_mask is not None:
                frames = frames[frame_mask[index]]
            # One frame at a time: at full size every class takes as much memory as a mask of the frame.
            classes = [
                F.interpolate(frame[None].float(), inside.shape[-2:], mode="bilinear").argmax(1) for frame in frames
            ]
            found.append((torch.cat(classes) * inside).to(torch.uint8))
        return found

    # The base class takes every sub-processor for obligatory; the tokenizer is not, so it is stored beside the others.

    @classmethod
    def get_attributes(cls) -> list[str]:
        return ["image_processor", "feature_extractor"]

    def to_dict(self) -> dict[str, Any]:
        return {**super().to_dict(), "needs_text": self.needs_text}

    def save_pretrained(self, save_directory: str, push_to_hub: bool = False, **kwargs) -> list[str]:
        if self._tokenizer is not None:
            self._tokenizer.save_pretrained(save_directory)
        return super().save_pretrained(save_directory, push_to_hub, **kwargs)

    @classmethod
    def _get_arguments_from_pretrained(
        cls, pretrained_model_name_or_path: str, processor_dict: dict | None = None, **kwargs
    ) -> list:
        arguments = super()._get_arguments_from_pretrained(pretrained_model_name_or_path, processor_dict, **kwargs)
        if not (processor_dict or {}).pop("needs_text", False):
            return [*arguments, None]
        return [*arguments, cls._load_tokenizer_from_pretrained("tokenizer", pretrained_model_name_or_path, **kwargs)]
