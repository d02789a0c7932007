"""SAMA-AVS: SAM segments what sounds, told by audio adapters in its image encoder alone (Liu et al., WACV 2024)."""

import torch

from ...losses import mask_bce, weighted_mean
from ..sam_model import FramePrediction, SamClipModel
from ..vggish import VggishModel
from .configuration_sama_avs import SamaAvsConfig


def mask_soft_iou(logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """One minus the IoU of probabilities and targets: `[..., h, w]` twice -> `[...]`. 1 for an empty target."""
    probabilities = logits.sigmoid()
    overlap = (probabilities * targets).sum((-2, -1))
    return 1 - overlap / ((probabilities + targets).sum((-2, -1)) - overlap)


class SamaAvsModel(SamClipModel):
    """SAM with audio adapters. Every frame is segmented by itself, without a prompt, by the decoder's single mask."""

    config: SamaAvsConfig
    config_class = SamaAvsConfig
    base_model_prefix = "sama_avs"

    def __init__(self, config: SamaAvsConfig):
        super().__init__(config)
        self.freeze()
        self.post_init()

    def freeze(self) -> None:
        super().freeze()
        self.sam.prompt_encoder.no_mask_embed.requires_grad_(self.config.train_mask_decoder)

    @classmethod
    def from_backbones(
        cls, sam: str = "facebook/sam-vit-huge", audio: str | VggishModel | None = None, **config_overrides
    ) -> "SamaAvsModel":
        model = super().from_backbones(sam, audio, **config_overrides)
        if model.config.random_position_code:
            with torch.no_grad():
                model.sam.shared_image_embedding.positional_embedding.normal_()
                model.sam.prompt_encoder.no_mask_embed.weight.normal_()
        return model

    def segment(
        self, images: torch.Tensor, audio: torch.Tensor, frame_mask: torch.Tensor, output_attentions: bool
    ) -> tuple[FramePrediction, dict]:
        if output_attentions:
            raise ValueError("output_attentions: SAMA-AVS has no attention between sound and image")
        sparse, dense = self.sam.prompt_encoder(None, None, None, None)
        candidates, scores = self.sam.mask_decoder(
            image_embeddings=images,
            image_positional_embeddings=self.sam.get_image_wide_positional_embeddings(),
            sparse_prompt_embeddings=sparse,
            dense_prompt_embeddings=dense,
            multimask_output=False,
        )
        return FramePrediction(candidates[:, 0, 0], scores[:, 0, 0], candidates[:, 0], scores[:, 0]), {}

    def mask_losses(
        self, prediction: FramePrediction, targets: torch.Tensor, weights: torch.Tensor
    ) -> dict[str, torch.Tensor]:
        """Binary cross-entropy and soft IoU."""
        logits = self.scale_to(prediction.masks, targets)
        return {
            "bce": weighted_mean(mask_bce(logits, targets), weights),
            "soft_iou": weighted_mean(mask_soft_iou(logits, targets), weights),
        }
