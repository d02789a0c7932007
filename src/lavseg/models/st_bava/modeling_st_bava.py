"""ST-BAVA: sound and frames of a clip attend to each other over space and time, then prompt SAM (ICIP 2024)."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import nn
from transformers import initialization as init
from transformers.conversion_mapping import register_checkpoint_conversion_mapping

from ...backbones.adapted_sam.base_adapted_sam import AdaptedSamModel
from ...backbones.adapted_sam.heard_clips import HeardClips, from_clips, to_clips
from ...losses import mask_bce, mask_iou, weighted_mean
from ...modeling.conversion import IN_PROJ_CONVERTERS
from ...modeling.outputs import AudioVisualSegmentationOutput, MaskPrediction
from .blocks_st_bava import StBavaAttention, StBavaFusion
from .configuration_st_bava import StBavaConfig
from .fusion_st_bava import CmranFusion, Fused, HanFusion, JcaFusion, TpaviFusion


@dataclass
class StBavaOutput(AudioVisualSegmentationOutput):
    """[`AudioVisualSegmentationOutput`] with ST-BAVA's attention maps: of its spatial attentions (figure 5) one
    entry per block, and two around the blocks.

    Args:
        audio_attentions: `[B, T, heads, e, e]`, weights by which the image updates the sound. 1 everywhere under
            `spatial_mode="release"`, by construction; otherwise they sum to 1 over positions.
        vision_attentions: `[B, T, heads, e, e]`, weights by which the image is updated. Under "release" they say from
            which positions the sound gathered what is added (summing to 1); otherwise how far each position lets the
            sound in (0 to 1).
        before_attentions, after_attentions: `[B, T, 1, e, e]`, one entry each and not one per block: how well each
            position agrees with the sound before the first block and after the last. They sum to 1 over positions.

    ```python
    outputs = model(**inputs, output_attentions=True)
    last_block = outputs.vision_attentions[-1]
    ```
    """

    attention_maps = ("before_attentions", "audio_attentions", "vision_attentions", "after_attentions")

    audio_attentions: tuple[torch.Tensor, ...] | None = None
    vision_attentions: tuple[torch.Tensor, ...] | None = None
    before_attentions: tuple[torch.Tensor, ...] | None = None
    after_attentions: tuple[torch.Tensor, ...] | None = None


_FUSIONS = {
    "st_bava": StBavaFusion,
    "tpavi": TpaviFusion,
    "han": HanFusion,
    "cmran": CmranFusion,
    "jca": JcaFusion,
}


class StBavaPreTrainedModel(AdaptedSamModel):
    """What ST-BAVA has in common with the other methods on SAM, under its configuration.

    ```python
    model = StBavaModel.from_backbones("facebook/sam-vit-huge", "runs/vggish", num_fusion_layers=4)
    ```
    """

    config: StBavaConfig
    config_class = StBavaConfig
    base_model_prefix = "st_bava"
    output_class = StBavaOutput
    # The L1 loss on the predicted IoU, which otherwise drifts, is not in the paper.
    default_loss_weights = {"bce": 1.0, "iou": 0.0}

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        super()._init_weights(module)
        if isinstance(module, StBavaAttention):
            for projection in (module.q_proj, module.k_proj, module.v_proj):
                # The release draws the three as one matrix.
                init.xavier_uniform_(projection.weight, gain=0.5**0.5)
                init.zeros_(projection.bias)
            init.zeros_(module.out_proj.bias)
        elif isinstance(module, TpaviFusion):
            init.zeros_(module.norm_output.weight)


class StBavaModel(StBavaPreTrainedModel):
    """SAM with audio adapters, a fusion between encoder and decoder, and the fused sound as prompt: twice the same
    token, with the fused image as dense prompt (sec. 3).

    ```python
    model, processor = StBavaModel(StBavaConfig()).eval(), StBavaProcessor.from_config(StBavaConfig())
    inputs = processor("clip.mp4")
    masks = processor.post_process_masks(model(**inputs), inputs["original_sizes"])
    ```
    """

    def __init__(self, config: StBavaConfig):
        super().__init__(config)
        self.audio_projection = self.fusion = None
        if config.fusion != "none":
            self.audio_projection = nn.Linear(config.audio_config.embedding_size, config.hidden_size)
            self.fusion = _FUSIONS[config.fusion](config)
        self.freeze()
        self.post_init()

    @property
    def clip_length(self) -> int | None:
        return self.config.jca_num_frames if self.config.fusion == "jca" else None

    @property
    def gives_attentions(self) -> bool:
        return self.config.fusion == "st_bava"

    def frozen_modules(self) -> list[nn.Module]:
        fixed = self.fusion is not None and not self.config.train_fusion
        return super().frozen_modules() + ([self.audio_projection, self.fusion] if fixed else [])

    def segment(self, clips: HeardClips, output_attentions: bool) -> tuple[MaskPrediction, dict]:
        frame_mask, images = clips.given.frame_mask, clips.encode_all(self.encode)
        size = images.shape[-2:]
        sparse, dense, maps = None, None, {}
        if self.fusion is not None:
            positions = self.sam.get_image_wide_positional_embeddings()
            fused = self.fuse(images, clips.audio, positions, frame_mask, output_attentions)
            sound, image = (from_clips(each, frame_mask, len(images)) for each in (fused.audio, fused.vision))
            sparse = sound[:, None].expand(-1, 2, -1)
            dense = image.transpose(1, 2).unflatten(-1, size)
            maps = fused.attentions
        prediction = self.sam.decode(images, sparse, dense, multimask=self.config.mask_reduce != "single")
        maps = {name: tuple(weights.unflatten(-1, size) for weights in each) for name, each in maps.items()}
        return self._reduce(prediction), maps

    def fuse(
        self,
        images: torch.Tensor,
        audio: torch.Tensor,
        positions: torch.Tensor,
        frame_mask: torch.Tensor,
        output_attentions: bool = False,
    ) -> Fused:
        """Fuse the embeddings `[N, C, e, e]` of the real frames with the sounds `[B, T, D]`.

        `positions` is SAM's position code `[1, C, e, e]`, `frame_mask` bool `[B, T]` with `N` true entries.
        """
        tokens = to_clips(images.flatten(2).transpose(1, 2), frame_mask)
        code = F.normalize(self.audio_projection(audio.to(images.dtype)), dim=-1)
        asked = {"output_attentions": True} if output_attentions else {}
        return self.fusion(tokens, code, positions.flatten(2)[0].T, frame_mask, **asked)

    def _reduce(self, prediction: MaskPrediction) -> MaskPrediction:
        """One mask for each frame from its candidates."""
        if self.config.mask_reduce == "sum":
            return prediction.choose(None)
        return prediction.choose(prediction.candidate_scores.argmax(-1))

    def mask_losses(
        self, prediction: MaskPrediction, targets: torch.Tensor, weights: torch.Tensor
    ) -> dict[str, torch.Tensor]:
        """Binary cross-entropy (sec. 4.3), and the L1 loss on the predicted IoU where it has a weight."""
        size = targets.shape[-2:]
        logits = self.scale_masks(prediction.masks, size)
        losses = {"bce": weighted_mean(mask_bce(logits, targets), weights)}
        if self.loss_weights["iou"]:
            resized = torch.stack([self.scale_masks(masks, size) for masks in prediction.candidates.unbind(1)], dim=1)
            error = (prediction.candidate_scores - mask_iou(resized, targets[:, None])).abs().mean(1)
            losses["iou"] = weighted_mean(error, weights)
        return losses


# Files of before the projections were layers of their own.
register_checkpoint_conversion_mapping(StBavaConfig.model_type, IN_PROJ_CONVERTERS, overwrite=True)

__all__ = ["StBavaModel", "StBavaOutput", "StBavaPreTrainedModel"]
