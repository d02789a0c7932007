"""What the adapter baselines share: SAM or SAM2 with a prompt on every frame, and text where they read it."""

from collections.abc import Callable
from functools import partial

import torch
import torch.nn.functional as F
from torch import nn
from transformers import Sam2VideoModel, SamModel

from ...losses import weighted_mean
from ...modeling.encoders import build_encoder, encode_text, load_encoder, load_host
from ...modeling.outputs import MaskPrediction
from ..sam2.losses_sam2 import SAM2_LOSS_WEIGHTS, sam2_losses
from ..sam2.user_prompts import UserPrompt, conditioning_frames
from ..vggish import VggishModel, load_vggish
from .base_adapted_sam import AdaptedSamModel
from .configuration_adapted_sam import AdapterConfig
from .heard_clips import HeardClips


class AdapterClipModel(AdaptedSamModel):
    """Base of the adapter baselines. Sub-classes say in `build_adapters` what adapts the host, in `encode` how it sees
    with them, in `decode` what prompts a frame, and in `original_losses` how they learn.

    ```python
    model = SamaAvsModel.from_backbones("facebook/sam2-hiera-large", "vggish", use_text=True)
    inputs = processor("clip.mp4", text="the dog that barks")
    masks = processor.post_process_masks(model(**inputs), inputs["original_sizes"])
    ```
    """

    config: AdapterConfig
    input_modalities = ("video", "audio", "text")

    def __init__(self, config: AdapterConfig):
        super().__init__(config)
        if config.mask_loss == "sam2":
            self.loss_weights = dict(SAM2_LOSS_WEIGHTS)
        self.text_encoder = build_encoder(config.text_config) if config.use_text else None
        self.freeze()
        self.post_init()

    @property
    def takes_points(self) -> bool:
        return self.tracking_host is not None

    @classmethod
    def from_backbones(
        cls,
        sam: str,
        audio: str | VggishModel | None = None,
        text: str = "distilbert/distilroberta-base",
        **config_overrides,
    ) -> "AdapterClipModel":
        """Start training from published encoders.

        Args:
            sam: Hub id or folder of a Transformers SAM or SAM2 video checkpoint; which one it is decides the variant.
            audio: a VGGish model, or the folder or Hub id of a converted one; an untrained one would hear nothing.
            text: Hub id or folder of the text encoder, which is read with `use_text=True` only.
            config_overrides: fields of the method's configuration.

        Raises:
            ValueError: when `audio` is missing, or `sam` is another model.
        """
        parts = {"audio": load_vggish(audio), "sam": load_host("sam", sam, SamModel, Sam2VideoModel)}
        if config_overrides.get("use_text"):
            parts["text"] = load_encoder(text, "text_config")
        return cls._compose(parts, **config_overrides)

    def backbones(self) -> dict[str, nn.Module]:
        return super().backbones() | ({} if self.text_encoder is None else {"text": self.text_encoder})

    def _encode_text(
        self,
        input_ids: torch.Tensor | None,
        attention_mask: torch.Tensor | None,
        text_embeddings: torch.Tensor | None = None,
    ) -> tuple[torch.Tensor, ...]:
        if self.text_encoder is None:
            return ()
        words = encode_text(self.text_encoder, input_ids, attention_mask, text_embeddings)
        return tuple(value.flatten(0, 1) for value in words)

    def decode(
        self, run: Callable[[torch.Tensor | None], MaskPrediction], audio: torch.Tensor, *words: torch.Tensor
    ) -> MaskPrediction:
        """Masks of frames with sounds `[N, D]` and, on a model that reads, the states and mask of the words about them.
        `run` decodes them with prompt tokens `[N, n, C]`, or None."""
        return run(None)

    def segment(self, clips: HeardClips, output_attentions: bool) -> tuple[MaskPrediction, dict]:
        """As the host does it, see `SamBackbone.segment` and `Sam2Backbone.segment`."""
        encode, decode = partial(clips.encode, self.encode), partial(clips.decode, self.decode)

        def first(length: int) -> dict[int, UserPrompt | None]:
            return conditioning_frames(length, self._first_frame(length), clips.prompt_frames, clips.user_prompts)

        return self.sam.segment(clips.lengths, encode, decode, first), {}

    def _first_frame(self, length: int) -> int:
        """The frame that a host with memory segments without it."""
        return 0 if self.config.conditioning_frame == "first" and not self.training else length // 2

    def original_losses(
        self, prediction: MaskPrediction, targets: torch.Tensor, weights: torch.Tensor
    ) -> dict[str, torch.Tensor]:
        """As `mask_losses`, the terms that the method was published with."""
        raise NotImplementedError

    def mask_losses(
        self, prediction: MaskPrediction, targets: torch.Tensor, weights: torch.Tensor
    ) -> dict[str, torch.Tensor]:
        """The loss that `mask_loss` names; the mean over the frames that carry a label."""
        if self.config.mask_loss == "original":
            return self.original_losses(prediction, targets, weights)
        candidates = F.interpolate(prediction.candidates, targets.shape[-2:], mode="bilinear")
        terms = sam2_losses(
            candidates,
            prediction.candidate_scores,
            prediction.object_score_logits,
            targets,
            self.loss_weights["focal"],
            self.loss_weights["dice"],
        )
        return {name: weighted_mean(value, weights) for name, value in terms.items()}


__all__ = ["AdapterClipModel"]
