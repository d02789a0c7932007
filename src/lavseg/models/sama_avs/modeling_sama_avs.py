"""SAMA-AVS: SAM segments what sounds, by audio adapters in its image encoder alone (Liu et al., WACV 2024)."""

import torch
from torch import nn

from ...backbones.adapted_sam.modeling_adapted_sam import AdapterClipModel
from ...backbones.vggish import VggishModel
from ...losses import mask_bce, weighted_mean
from ...modeling.outputs import MaskPrediction
from .configuration_sama_avs import SamaAvsConfig


def mask_soft_iou(logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """One minus the IoU of probabilities and targets: `[..., h, w]` twice -> `[...]`. 1 for an empty target."""
    probabilities = logits.sigmoid()
    overlap = (probabilities * targets).sum((-2, -1))
    return 1 - overlap / ((probabilities + targets).sum((-2, -1)) - overlap)


class SamaAvsPreTrainedModel(AdapterClipModel):
    """What SAMA-AVS has in common with the other adapter baselines, under its configuration.

    ```python
    model = SamaAvsModel.from_backbones("facebook/sam-vit-huge", "runs/vggish")
    ```
    """

    config: SamaAvsConfig
    config_class = SamaAvsConfig
    base_model_prefix = "sama_avs"
    default_loss_weights = {"bce": 1.0, "soft_iou": 1.0}


class SamaAvsModel(SamaAvsPreTrainedModel):
    """SAM or SAM2 with audio adapters in its image encoder and no prompt. On SAM every frame is segmented by itself;
    SAM2 tracks the clip through its memory.

    ```python
    model, processor = SamaAvsModel(SamaAvsConfig()).eval(), SamaAvsProcessor.from_config(SamaAvsConfig())
    inputs = processor("clip.mp4")
    masks = processor.post_process_masks(model(**inputs), inputs["original_sizes"])
    ```
    """

    def build_adapters(self) -> nn.Module | None:
        config = self.config
        if not config.use_text:
            return super().build_adapters()
        sizes = (config.audio_config.embedding_size, config.adapter_size, config.text_config.hidden_size)
        return self.sam.audio_adapters(*sizes)

    def freeze(self) -> None:
        super().freeze()
        self.sam.prompt_encoder.no_mask_embed.requires_grad_(self.config.train_mask_decoder)

    @classmethod
    def from_backbones(
        cls,
        sam: str = "facebook/sam-vit-huge",
        audio: str | VggishModel | None = None,
        text: str = "distilbert/distilroberta-base",
        **config_overrides,
    ) -> "SamaAvsModel":
        model = super().from_backbones(sam, audio, text, **config_overrides)
        if model.config.random_position_code:
            with torch.no_grad():
                model.sam.shared_image_embedding.positional_embedding.normal_()
                model.sam.prompt_encoder.no_mask_embed.weight.normal_()
        return model

    def original_losses(
        self, prediction: MaskPrediction, targets: torch.Tensor, weights: torch.Tensor
    ) -> dict[str, torch.Tensor]:
        """Binary cross-entropy and soft IoU."""
        logits = self.scale_masks(prediction.masks, targets.shape[-2:])
        return {
            "bce": weighted_mean(mask_bce(logits, targets), weights),
            "soft_iou": weighted_mean(mask_soft_iou(logits, targets), weights),
        }


__all__ = ["SamaAvsModel", "SamaAvsPreTrainedModel", "mask_soft_iou"]
