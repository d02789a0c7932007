"""What every model of this package returns, and how it becomes masks of the clip's size."""

import math
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from numbers import Real
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from transformers.utils import ModelOutput, logging

from .inputs import first_non_finite, renamed_arguments

logger = logging.get_logger(__name__)

# Logit of masks on padding frames, and of those that a method empties.
NO_MASK_LOGIT = -1024.0
# Of frames, in pixels: twice that of 8K video.
LONGEST_EDGE = 2**14
# Frames that are resized at a time, so that memory does not grow with the clip.
_CHUNK = 16


@dataclass
class AudioVisualSegmentationOutput(ModelOutput):
    """Masks of `E` expressions over the `T` frames of `B` clips.

    ```python
    outputs = model(**inputs)
    masks = processor.post_process_masks(outputs, inputs["original_sizes"])
    ```

    Args:
        loss: scalar, weighted sum of `loss_dict`; only when labels were given.
        loss_dict: the single terms, detached scalars by name.
        pred_masks: float `[B, E, T, h, w]`, mask logits at the method's own stride (4 on SAM and SAM2). What the model
            judges absent is not emptied here, see `AudioVisualProcessor.gate_masks`; padding frames hold -1024.
        iou_scores: float `[B, E, T]`, the model's own estimate of each mask's IoU; None where it makes none.
        object_score_logits: float `[B, E, T]`, above zero where the object is judged visible; None where it makes none.
        presence_logits: float `[B, E]`, above zero where the clip is judged to hold the object; with a presence head.
        prompt_embeddings: float `[B, E, C]`, the token that prompted the mask decoder; None where there is none.
        key_frames: long `[B, E]`, the frame that was segmented first, without memory; None for methods without memory.
        hidden_states: what goes into the first block of the image encoder and comes out of each, with
            `output_hidden_states`: float, of the `N` frames that it encoded, in that order: `[N, h, w, C]` of SAM and
            SAM2, `[N, h * w, C]` of Swin and PVT v2, `[N, C, h, w]` of ResNet.

    Attributes:
        logit_maps: names of the outputs with logits for each pixel, `[B, ..., T, h, w]`.
        frame_scores: names of the outputs `[B, E, T]` that say something about each mask.
        clip_scores: names of the outputs `[B, E]` that say something about an object in the clip, and how results name
            them for one object.
        attention_maps: names of the outputs with `output_attentions` that are maps over frames: a tuple with one for
            each block, `[B, T, heads, h, w]`, or `[B, E, T, heads, h, w]` of a method that reads.
    """

    logit_maps: ClassVar[tuple[str, ...]] = ("pred_masks",)
    frame_scores: ClassVar[tuple[str, ...]] = ("object_score_logits", "iou_scores")
    clip_scores: ClassVar[dict[str, str]] = {"presence_logits": "presence_logit"}
    attention_maps: ClassVar[tuple[str, ...]] = ()

    loss: torch.Tensor | None = None
    loss_dict: dict[str, torch.Tensor] | None = None
    pred_masks: torch.Tensor | None = None
    iou_scores: torch.Tensor | None = None
    object_score_logits: torch.Tensor | None = None
    presence_logits: torch.Tensor | None = None
    prompt_embeddings: torch.Tensor | None = None
    key_frames: torch.Tensor | None = None
    hidden_states: tuple[torch.Tensor | None, ...] | None = None

    @property
    def curve_masks(self) -> torch.Tensor | None:
        """Maps as `pred_masks`, of which the method's publication takes the curve of F; None where those are."""
        return None

    def predictions(self) -> dict[str, torch.Tensor]:
        """Maps and scores by name, as far as the model gives them."""
        names = (*self.logit_maps, *self.frame_scores, *self.clip_scores)
        return {name: self[name] for name in names if self.get(name) is not None}

    def __getitem__(self, name: str | int | slice) -> Any:
        return self.losses if name == "losses" else super().__getitem__(name)

    @property
    def losses(self) -> dict[str, torch.Tensor] | None:
        """The former name of `loss_dict`."""
        warnings.warn("losses: is called loss_dict now", DeprecationWarning, stacklevel=2)
        return self.loss_dict


@dataclass(frozen=True)
class MaskPrediction:
    """What a mask decoder gives before any gate: `M` candidate masks of each object or frame, and which one is taken.

    The leading axes `...` are `N` objects on one frame, the `N` real frames of several clips, or `N, T`.

    ```python
    masks = prediction.choose(prediction.candidate_scores.argmin(-1)).masks
    ```

    Args:
        candidates: `[..., M, h, w]` logits.
        candidate_scores: `[..., M]` predicted IoU.
        tokens: `[..., M, C]`, the decoder's output tokens; None on SAM.
        object_score_logits: `[...]`; None on SAM, which does not judge that.
        choice: `[...]`, index of the mask taken; None where the sum of all candidates is.
    """

    candidates: torch.Tensor
    candidate_scores: torch.Tensor
    tokens: torch.Tensor | None
    object_score_logits: torch.Tensor | None
    choice: torch.Tensor | None

    @property
    def masks(self) -> torch.Tensor:
        """Logits of the mask taken, `[..., h, w]`."""
        return self.candidates.sum(-3) if self.choice is None else self._chosen(self.candidates)

    @property
    def iou_scores(self) -> torch.Tensor | None:
        """Predicted IoU of the mask taken, `[...]`; None for a sum."""
        return None if self.choice is None else self._chosen(self.candidate_scores)

    @property
    def token(self) -> torch.Tensor:
        """Output token of the mask taken, `[..., C]`."""
        return self._chosen(self.tokens)

    def _chosen(self, values: torch.Tensor) -> torch.Tensor:
        axis = self.choice.dim()
        index = self.choice.reshape(*self.choice.shape, *[1] * (values.dim() - axis))
        return values.take_along_dim(index, axis).squeeze(axis)

    def choose(self, choice: torch.Tensor | None) -> "MaskPrediction":
        """The same candidates with other masks taken, `choice [...]`, or with their sum when None."""
        return replace(self, choice=choice)

    @property
    def gated_masks(self) -> torch.Tensor:
        """`masks`, but -1024 everywhere for objects judged absent from the frame."""
        return self.masks.masked_fill((self.object_score_logits <= 0)[..., None, None], NO_MASK_LOGIT)

    @classmethod
    def join(
        cls, parts: Sequence["MaskPrediction"], join: Callable[[list[torch.Tensor]], torch.Tensor]
    ) -> "MaskPrediction":
        """One prediction from those of `parts`, whose tensors `join` brings together."""
        values = ([getattr(part, field.name) for part in parts] for field in fields(cls))
        return cls(*(None if value[0] is None else join(value) for value in values))

    def map(self, change: Callable[[torch.Tensor], torch.Tensor]) -> "MaskPrediction":
        """The prediction with every tensor changed."""
        return self.join([self], lambda values: change(values[0]))


def check_outputs(outputs: Mapping[str, torch.Tensor], frame_mask: torch.Tensor | None = None) -> None:
    """Look at the masks, scores and classes that a model gives; waits for its device.

    Args:
        outputs: by name, such as `AudioVisualSegmentationOutput.predictions` gives them, `[B, E]` or with the
            frames `[B, E, T, ...]`.
        frame_mask: bool `[B, T]`; what is said about padding frames is passed over where given.

    Raises:
        ValueError: that names the first of them with NaN or infinite values.
    """
    given = dict(outputs)
    if frame_mask is not None:
        for name, values in given.items():
            if values.dim() > 2:
                padding = ~frame_mask.to(values.device)[:, None]
                given[name] = values.masked_fill(padding.reshape(*padding.shape, *[1] * (values.dim() - 3)), 0)
    if name := first_non_finite(given):
        raise ValueError(
            f"{name}: the model gives NaN or infinite values; its weights or inputs are damaged, or float16 is too "
            "narrow for it and float32 or bfloat16 would do"
        )


class PostProcessingMixin:
    """What processors make of a model's outputs.

    Attributes:
        empties_absent: whether the method was published with masks that are emptied where it judges an object absent.
    """

    empties_absent: bool = False

    def gate_masks(self, outputs: AudioVisualSegmentationOutput) -> torch.Tensor:
        """Mask logits `[B, E, T, h, w]` as the method was published: where it `empties_absent`, -1024 in frames in
        which the model judges the object absent, by its object score and its presence head, as far as it has them."""
        masks = outputs.pred_masks
        if not self.empties_absent:
            return masks
        if outputs.object_score_logits is not None:
            masks = masks.masked_fill((outputs.object_score_logits <= 0)[..., None, None], NO_MASK_LOGIT)
        if outputs.presence_logits is not None:
            masks = masks.masked_fill((outputs.presence_logits <= 0)[..., None, None, None], NO_MASK_LOGIT)
        return masks

    @renamed_arguments(pred_masks="outputs", threshold="mask_threshold")
    def post_process_masks(
        self,
        outputs: AudioVisualSegmentationOutput | torch.Tensor,
        original_sizes: Sequence[tuple[int, int]],
        frame_mask: torch.Tensor | None = None,
        mask_threshold: float = 0.0,
        binarize: bool = True,
    ) -> list[torch.Tensor]:
        """Scale mask logits to the clips' sizes and cut them at `mask_threshold`.

        Args:
            outputs: what the model returned, whose masks go through `gate_masks`; or mask logits `[B, E, T, h, w]`,
                taken as they are, with a warning where the method would have emptied some.
            original_sizes: `(height, width)` of each clip.
            frame_mask: bool `[B, T]`; padding frames are left out where given.
            mask_threshold: logits above it are inside the mask.
            binarize: False for soft masks: float32 logits at the clips' sizes, of which `sigmoid()` makes
                probabilities.

        Returns:
            For each clip bool `[E, T, H, W]`, or `[T, H, W]` where it has one expression; float32 without `binarize`.

        Raises:
            ValueError: when the shapes do not fit together, `frame_mask` is not bool, `mask_threshold` or a
                logit is not finite.
        """
        if getattr(outputs, "pred_masks", None) is not None:
            outputs = self.gate_masks(outputs)
        elif not isinstance(outputs, torch.Tensor):
            raise ValueError(
                f"outputs: has to be what the model returned, or its pred_masks, got {type(outputs).__name__}"
            )
        elif self.empties_absent:
            logger.warning_once(
                "outputs: mask logits alone were given, so masks of objects that the model judges absent are not "
                "emptied; pass what the model returned"
            )
        if not binarize:
            return self._at_full_size(outputs, original_sizes, frame_mask, lambda logits: logits)
        return self.binarize(outputs, original_sizes, frame_mask, mask_threshold)

    def binarize(
        self,
        pred_masks: torch.Tensor,
        original_sizes: Sequence[tuple[int, int]],
        frame_mask: torch.Tensor | None = None,
        mask_threshold: float = 0.0,
    ) -> list[torch.Tensor]:
        """As `post_process_masks`, for mask logits `[B, E, T, h, w]` that went through `gate_masks`."""
        if not isinstance(mask_threshold, Real) or not math.isfinite(mask_threshold):
            raise ValueError(f"mask_threshold: has to be a finite number, got {mask_threshold!r}")
        return self._at_full_size(pred_masks, original_sizes, frame_mask, lambda logits: logits > mask_threshold)

    def _at_full_size(
        self,
        pred_masks: torch.Tensor,
        original_sizes: Sequence[tuple[int, int]],
        frame_mask: torch.Tensor | None,
        finish: Callable[[torch.Tensor], torch.Tensor],
    ) -> list[torch.Tensor]:
        """Mask logits at each clip's size, some frames at a time, and of these what `finish` makes of them."""
        if not isinstance(original_sizes, list | tuple | torch.Tensor):
            raise ValueError(f"original_sizes: has to list (height, width) of each clip, got {original_sizes!r}")
        if not pred_masks.is_floating_point():
            raise ValueError(f"pred_masks: has to hold logits, got {pred_masks.dtype}")
        if pred_masks.dim() != 5 or len(pred_masks) != len(original_sizes):
            raise ValueError(
                f"pred_masks: has to be [B, E, T, h, w] with one entry of original_sizes per clip, got "
                f"{list(pred_masks.shape)} and {len(original_sizes)} sizes"
            )
        sizes = _whole_sizes(original_sizes)
        wanted = (len(pred_masks), pred_masks.shape[2])
        if frame_mask is not None:
            frame_mask = torch.as_tensor(frame_mask)
            if frame_mask.dtype != torch.bool or frame_mask.shape != wanted:
                raise ValueError(
                    f"frame_mask: has to be bool {list(wanted)} as the clips and frames of pred_masks, got "
                    f"{frame_mask.dtype} {list(frame_mask.shape)}"
                )
        masks = []
        for index, (logits, size) in enumerate(zip(pred_masks, sizes, strict=True)):
            if frame_mask is not None:
                logits = logits[:, frame_mask[index]]
            flat = logits.flatten(0, 1)[:, None].float()
            scaled = [finish(self._resize(part, size)) for part in flat.split(_CHUNK)]
            masks.append(torch.cat(scaled)[:, 0].unflatten(0, logits.shape[:2]).squeeze(0))
        # Last, as it waits for the device.
        check_outputs({"pred_masks": pred_masks}, frame_mask)
        return masks

    def _resize(self, logits: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
        """Mask logits `[N, 1, h, w]` at the size `(H, W)` of frames."""
        return F.interpolate(logits, size, mode="bilinear")


def _whole_sizes(sizes: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    try:
        whole = [tuple(int(edge) for edge in size) for size in sizes]
    except (TypeError, ValueError, OverflowError):
        whole = [()]
    if any(len(size) != 2 or not 1 <= min(size) <= max(size) <= LONGEST_EDGE for size in whole):
        raise ValueError(f"original_sizes: has to hold (height, width) of each clip, got {sizes}")
    return whole
