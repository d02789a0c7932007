"""Processor of ReferFormer."""

from numbers import Real
from typing import Any

import torch
import torch.nn.functional as F
from transformers import DeformableDetrImageProcessor, PreTrainedTokenizerBase

from ...backbones.mask2former.processing_mask2former import refuse_resizing, resize_by_pil
from ...backbones.pyramids.configuration_pyramids import STRIDE
from ...backbones.vggish import VggishFeatureExtractor
from ...backbones.vggish.processing_vggish import SoundPerFrameProcessor
from ...modeling.outputs import LONGEST_EDGE, NO_MASK_LOGIT
from ...modeling.processing import AudioVisualProcessor
from ...modeling.processing.call_arguments import check_text_length
from .configuration_referformer import ReferFormerConfig
from .modeling_referformer import ReferFormerOutput


class ReferFormerProcessor(SoundPerFrameProcessor):
    """Prepares clips for [`ReferFormerModel`]: frames keep their shape, and their sound is heard with `hears` alone.

    Args:
        image_processor: says the short edge of the frames, to which PIL brings them, and normalises them.
        tokenizer: tokenizer of the text encoder.
        fps: rate at which video files are read.
        max_text_length: tokens an expression is cut to, at most those that the text encoder knows places for.
        empty_below: mean probability of the chosen track or, of a model with `absence_classifier`, the probability
            that the object is in the clip, below which the masks of a clip are emptied. As published, 0 and with the
            classifier 0.5: without it masks never are.
        hears: for a model with `use_audio`: give each frame its second of mono sound.

    Clips of different shapes may be in one batch; the smaller ones get padding, which `pixel_mask` shows and which
    changes results a little. For published numbers segment clips of one shape at a time.

    ```python
    processor = AutoProcessor.from_pretrained("runs/referformer")
    inputs = processor("clip.mp4", text=["the dog that barks", "the man on the left"])
    ```
    """

    needs_text = True

    def __init__(
        self,
        image_processor: DeformableDetrImageProcessor,
        tokenizer: PreTrainedTokenizerBase,
        fps: float = 1.0,
        max_text_length: int = 512,
        empty_below: float = 0.0,
        hears: bool = False,
    ):
        self.max_text_length = check_text_length(max_text_length)
        if not isinstance(empty_below, Real) or not 0 <= empty_below <= 1:
            raise ValueError(f"empty_below: a probability from 0 to 1 is needed, got {empty_below!r}")
        AudioVisualProcessor.__init__(self, image_processor, tokenizer, fps=fps)
        self.empty_below = empty_below
        self.hears = hears

    @classmethod
    def from_config(
        cls,
        config: ReferFormerConfig,
        tokenizer: PreTrainedTokenizerBase,
        max_text_length: int | None = None,
        empty_below: float | None = None,
    ) -> "ReferFormerProcessor":
        """The processor whose sizes fit a model of `config`. By default sentences have as many tokens as its text
        encoder knows places for, and masks are emptied as published."""
        if empty_below is None:
            empty_below = 0.5 if config.absence_classifier else 0.0
        size = {"shortest_edge": config.frame_size, "longest_edge": LONGEST_EDGE}
        images = DeformableDetrImageProcessor(size=size, do_pad=False)
        if max_text_length is None:
            # RoBERTa counts positions from 2.
            max_text_length = config.text_config.max_position_embeddings - 2
        return cls(images, tokenizer, max_text_length=max_text_length, empty_below=empty_below, hears=config.use_audio)

    @property
    def needs_audio(self) -> bool:
        """Whether it hears."""
        return self.hears

    @property
    def feature_extractor(self) -> VggishFeatureExtractor | None:
        """Makes log-mel patches from mono sound; None without."""
        return VggishFeatureExtractor(min_patches=1) if self.hears else None

    @property
    def empties_absent(self) -> bool:
        """Whether masks of objects that the model judges absent are emptied: with `empty_below`."""
        return self.empty_below > 0

    def gate_masks(self, outputs: ReferFormerOutput) -> torch.Tensor:
        masks = outputs.pred_masks
        if not self.empties_absent:
            return masks
        absent = outputs.presence_logits.sigmoid() < self.empty_below
        return masks.masked_fill(absent[..., None, None, None], NO_MASK_LOGIT)

    def image_inputs(self, frames: list[torch.Tensor], **images_kwargs: Any) -> dict[str, torch.Tensor]:
        refuse_resizing(type(self).__name__, images_kwargs)
        short, (height, width) = self.image_processor.size["shortest_edge"], frames[0].shape[-2:]
        long = int(short * max(height, width) / min(height, width))
        resized = resize_by_pil(frames, (short, long) if height <= width else (long, short))
        return super().image_inputs(resized, **{"do_resize": False, **images_kwargs})

    def _on_one_canvas(self, prepared: list[dict[str, torch.Tensor]]) -> list[dict[str, torch.Tensor]]:
        sizes = [inputs["pixel_values"].shape[-2:] for inputs in prepared if inputs]
        if len(set(sizes)) < 2:
            return prepared
        height, width = (-max(edges) // STRIDE * -STRIDE for edges in zip(*sizes, strict=True))
        padded = []
        for inputs, size in zip(prepared, sizes, strict=True):
            pad = (0, width - size[1], 0, height - size[0])
            mask = F.pad(torch.ones(size, dtype=torch.bool), pad)
            padded.append({"pixel_values": F.pad(inputs["pixel_values"], pad), "pixel_mask": mask})
        return padded

    def text_inputs(self, texts: list[list[str]] | None, **text_kwargs: Any) -> dict[str, torch.Tensor]:
        return super().text_inputs(texts, **{"padding": "longest", **text_kwargs})


__all__ = ["ReferFormerProcessor"]
