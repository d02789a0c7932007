"""ST-BAVA: sound and frames of a clip attend to each other over space and time, then prompt SAM (ICIP 2024)."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import nn
from transformers import initialization as init
from transformers.conversion_mapping import register_checkpoint_conversion_mapping
from transformers.modeling_layers import GradientCheckpointingLayer

from ...backbones.adapted_sam.base_adapted_sam import AdaptedSamModel, HeardClips, from_clips, to_clips
from ...losses import mask_bce, mask_iou, weighted_mean
from ...modeling.conversion import IN_PROJ_CONVERTERS, split_in_proj_hook
from ...modeling.outputs import AudioVisualSegmentationOutput, MaskPrediction
from .configuration_st_bava import StBavaConfig
from .fusion_st_bava import CmranFusion, Fused, HanFusion, JcaFusion, TpaviFusion


@dataclass
class StBavaOutput(AudioVisualSegmentationOutput):
    """[`AudioVisualSegmentationOutput`] with ST-BAVA's spatial attention maps (figure 5), one entry per block.

    Args:
        audio_attentions: `[B, T, heads, e, e]`, weights by which the image updates the sound. 1 everywhere under
            `spatial_mode="release"`, by construction; otherwise they sum to 1 over positions.
        vision_attentions: `[B, T, heads, e, e]`, weights by which the image is updated. Under "release" they say from
            which positions the sound gathered what is added (summing to 1); otherwise how far each position lets the
            sound in (0 to 1).

    ```python
    outputs = model(**inputs, output_attentions=True)
    last_block = outputs.vision_attentions[-1]
    ```
    """

    attention_maps = ("audio_attentions", "vision_attentions")

    audio_attentions: tuple[torch.Tensor, ...] | None = None
    vision_attentions: tuple[torch.Tensor, ...] | None = None


class StBavaMlp(nn.Module):
    """Linear, GELU, Linear, all of one width."""

    def __init__(self, width: int):
        super().__init__()
        self.lin1 = nn.Linear(width, width)
        self.lin2 = nn.Linear(width, width)

    def forward(self, hidden_states: torch.Tensor) -> torch.Tensor:
        """`[..., C]` to the same shape."""
        return self.lin2(F.gelu(self.lin1(hidden_states)))


class StBavaAttention(nn.Module):
    """Projections of a multi-head attention. Queries, keys and values are made apart, so that those of the sound, the
    same at every position, are made once."""

    def __init__(self, width: int, num_heads: int, dropout: float):
        super().__init__()
        self.num_heads = num_heads
        self.scaling = (width // num_heads) ** -0.5
        self.q_proj = nn.Linear(width, width)
        self.k_proj = nn.Linear(width, width)
        self.v_proj = nn.Linear(width, width)
        self.out_proj = nn.Linear(width, width)
        self.dropout = nn.Dropout(dropout)
        self.register_load_state_dict_pre_hook(split_in_proj_hook)

    def query(self, tokens: torch.Tensor) -> torch.Tensor:
        """`[..., C]` to `[..., heads, d]`, scaled."""
        return self.q_proj(tokens).unflatten(-1, (self.num_heads, -1)) * self.scaling

    def key(self, tokens: torch.Tensor) -> torch.Tensor:
        """`[..., C]` to `[..., heads, d]`."""
        return self.k_proj(tokens).unflatten(-1, (self.num_heads, -1))

    def value(self, tokens: torch.Tensor) -> torch.Tensor:
        """`[..., C]` to `[..., heads, d]`."""
        return self.v_proj(tokens).unflatten(-1, (self.num_heads, -1))

    def output(self, attended: torch.Tensor) -> torch.Tensor:
        """`[..., heads, d]` to `[..., C]`."""
        return self.out_proj(attended.flatten(-2))


class StBavaStream(nn.Module):
    """What a block does to one modality beside attention: an MLP before, a norm after each attention, an MLP after."""

    def __init__(self, width: int, temporal: bool, spatial: bool):
        super().__init__()
        self.mlp_in = StBavaMlp(width)
        self.norm_in = nn.LayerNorm(width)
        self.norm_temporal = nn.LayerNorm(width) if temporal else None
        self.norm_spatial = nn.LayerNorm(width) if spatial else None
        self.mlp_out = StBavaMlp(width)
        self.norm_out = nn.LayerNorm(width)

    def enter(self, tokens: torch.Tensor) -> torch.Tensor:
        """What comes before the attentions, `[..., C]` to the same shape."""
        return self.norm_in(tokens + self.mlp_in(tokens))

    def leave(self, tokens: torch.Tensor) -> torch.Tensor:
        """What comes after the attentions, `[..., C]` to the same shape."""
        return self.norm_out(tokens + self.mlp_out(tokens))


class StBavaLayer(GradientCheckpointingLayer):
    """One block: the sound is updated from the image, then the image from the sound; each over time and space (Eq. 1,
    2), post-norm. Axes: `B` clips, `T` frames, `P` positions, `H` heads."""

    def __init__(self, config: StBavaConfig):
        super().__init__()
        width, copies = config.hidden_size, 1 if config.share_directions or not config.bidirectional else 2
        attention = (width, config.num_attention_heads, config.attention_dropout)
        self.gate = config.spatial_mode == "gate"
        self.bidirectional = config.bidirectional
        self.kinds = [kind for kind in ("temporal", "spatial") if kind == "spatial" or config.temporal_attention]
        if config.order == "spatial_first":
            self.kinds.reverse()
        # The first updates the sound and the last the image: the same one where directions share.
        self.temporal = nn.ModuleList(StBavaAttention(*attention) for _ in range(copies * config.temporal_attention))
        self.spatial = nn.ModuleList(StBavaAttention(*attention) for _ in range(copies))
        steered = config.bidirectional
        self.audio = StBavaStream(width, steered and config.temporal_attention, steered)
        self.vision = StBavaStream(width, config.temporal_attention, True)

    def forward(
        self,
        audio: torch.Tensor,
        vision: torch.Tensor,
        audio_code: torch.Tensor,
        positions: torch.Tensor,
        frame_mask: torch.Tensor,
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor | None, torch.Tensor]:
        """Update `audio [B, T, C]` and `vision [B, T, P, C]`.

        Args:
            audio_code: `[B, T, C]`, added to the sound wherever it is a query or key.
            positions: `[P, C]`, likewise for the image.
            frame_mask: bool `[B, T]`; padding frames are attended to by nobody.

        Returns:
            Sound, image, and the spatial maps `[B, T, H, P]` that updated the sound (None where nothing did) and the
            image.
        """
        audio, vision = self.audio.enter(audio), self.vision.enter(vision)
        audio_map = vision_map = None
        if self.bidirectional:
            placed = vision + positions
            for kind in self.kinds:
                coded = audio + audio_code
                if kind == "temporal":
                    audio = self.audio.norm_temporal(audio + self._temporal_audio(audio, coded, placed, frame_mask))
                else:
                    update, audio_map = self._spatial_audio(audio, coded, vision, placed)
                    audio = self.audio.norm_spatial(audio + update)
        audio = self.audio.leave(audio)
        coded = audio + audio_code
        for kind in self.kinds:
            placed = vision + positions
            if kind == "temporal":
                vision = self.vision.norm_temporal(vision + self._temporal_vision(coded, vision, placed, frame_mask))
            else:
                update, vision_map = self._spatial_vision(audio, coded, vision, placed)
                vision = self.vision.norm_spatial(vision + update)
        return audio, self.vision.leave(vision), audio_map, vision_map

    def _temporal_audio(
        self, audio: torch.Tensor, coded: torch.Tensor, placed: torch.Tensor, frame_mask: torch.Tensor
    ) -> torch.Tensor:
        """Every position attends to the sound of all frames; the mean over positions, `[B, T, C]`."""
        attention = self.temporal[0]
        scores = torch.einsum("btphd,bshd->bphts", attention.query(placed), attention.key(coded))
        # Values do not depend on the position: averaging the weights averages the answers.
        weights = attention.dropout(_softmax_over_time(scores, frame_mask)).mean(1)
        return attention.output(torch.einsum("bhts,bshd->bthd", weights, attention.value(audio)))

    def _temporal_vision(
        self, coded: torch.Tensor, vision: torch.Tensor, placed: torch.Tensor, frame_mask: torch.Tensor
    ) -> torch.Tensor:
        """The sound of each frame attends to every position over all frames, `[B, T, P, C]`."""
        attention = self.temporal[-1]
        scores = torch.einsum("bthd,bsphd->bphts", attention.query(coded), attention.key(placed))
        weights = attention.dropout(_softmax_over_time(scores, frame_mask))
        return attention.output(torch.einsum("bphts,bsphd->btphd", weights, attention.value(vision)))

    def _spatial_audio(
        self, audio: torch.Tensor, coded: torch.Tensor, vision: torch.Tensor, placed: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        attention = self.spatial[0]
        if self.gate:
            return _pool_positions(attention, coded, vision, placed)
        # One key: its weight is 1 at every position, and only dropout makes the positions differ.
        ones = audio.new_ones(*vision.shape[:3], attention.num_heads).transpose(-1, -2)
        kept = attention.dropout(ones).mean(-1, keepdim=True)
        return attention.output(kept * attention.value(audio)), ones

    def _spatial_vision(
        self, audio: torch.Tensor, coded: torch.Tensor, vision: torch.Tensor, placed: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        attention = self.spatial[-1]
        if not self.gate:
            update, weights = _pool_positions(attention, coded, vision, placed)
            return update[:, :, None], weights
        gates = torch.einsum("btphd,bthd->btph", attention.query(placed), attention.key(coded)).sigmoid()
        update = attention.dropout(gates)[..., None] * attention.value(audio)[:, :, None]
        return attention.output(update), gates.transpose(-1, -2)


def _pool_positions(
    attention: StBavaAttention, coded: torch.Tensor, vision: torch.Tensor, placed: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """The sound of a frame attends to that frame's positions: the update `[B, T, C]` and the weights `[B, T, H, P]`."""
    weights = torch.einsum("bthd,btphd->bthp", attention.query(coded), attention.key(placed)).softmax(-1)
    pooled = torch.einsum("bthp,btphd->bthd", attention.dropout(weights), attention.value(vision))
    return attention.output(pooled), weights


def _softmax_over_time(scores: torch.Tensor, frame_mask: torch.Tensor) -> torch.Tensor:
    """Softmax of `[B, P, H, T, T]` over the real frames of the last axis."""
    return scores.masked_fill(~frame_mask[:, None, None, None], -torch.inf).softmax(-1)


class StBavaFusion(nn.Module):
    """The stack of blocks. The aligned sound is its own position code in every block and is added once more at the
    end. Nothing in it depends on the number or the order of frames."""

    def __init__(self, config: StBavaConfig):
        super().__init__()
        self.layers = nn.ModuleList(StBavaLayer(config) for _ in range(config.num_fusion_layers))

    def forward(
        self, vision: torch.Tensor, audio: torch.Tensor, positions: torch.Tensor, frame_mask: torch.Tensor
    ) -> Fused:
        """Fuse `vision [B, T, P, C]` with `audio [B, T, C]`; `positions [P, C]`, `frame_mask` bool `[B, T]`."""
        code, maps = audio, []
        for layer in self.layers:
            audio, vision, *layer_maps = layer(audio, vision, code, positions, frame_mask)
            maps.append(layer_maps)
        audio_maps, vision_maps = zip(*maps, strict=True)
        return Fused(vision, audio + code, audio_maps if self.layers[0].bidirectional else None, vision_maps)


_FUSIONS = {
    "st_bava": StBavaFusion,
    "tpavi": TpaviFusion,
    "han": HanFusion,
    "cmran": CmranFusion,
    "jca": JcaFusion,
}


class StBavaPreTrainedModel(AdaptedSamModel):
    """What ST-BAVA has in common with the other methods on SAM, under its configuration."""

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
        if output_attentions and self.config.fusion != "st_bava":
            raise ValueError(
                f"output_attentions: only fusion='st_bava' has attention maps, this is {self.config.fusion!r}"
            )
        frame_mask, images = clips.given.frame_mask, clips.encode_all(self.encode)
        size = images.shape[-2:]
        sparse, dense, maps = None, None, {}
        if self.fusion is not None:
            positions = self.sam.get_image_wide_positional_embeddings()
            fused = self.fuse(images, clips.audio, positions, frame_mask)
            sound, image = (from_clips(each, frame_mask, len(images)) for each in (fused.audio, fused.vision))
            sparse = sound[:, None].expand(-1, 2, -1)
            dense = image.transpose(1, 2).unflatten(-1, size)
            maps = {"audio_attentions": fused.audio_maps, "vision_attentions": fused.vision_maps}
        prediction = self.sam.decode(images, sparse, dense, multimask=self.config.mask_reduce != "single")
        maps = {name: tuple(m.unflatten(-1, size) for m in each) for name, each in maps.items() if each is not None}
        return self._reduce(prediction), maps if output_attentions else {}

    def fuse(
        self, images: torch.Tensor, audio: torch.Tensor, positions: torch.Tensor, frame_mask: torch.Tensor
    ) -> Fused:
        """Fuse the embeddings `[N, C, e, e]` of the real frames with the sounds `[B, T, D]`.

        `positions` is SAM's position code `[1, C, e, e]`, `frame_mask` bool `[B, T]` with `N` true entries.
        """
        tokens = to_clips(images.flatten(2).transpose(1, 2), frame_mask)
        code = F.normalize(self.audio_projection(audio.to(images.dtype)), dim=-1)
        return self.fusion(tokens, code, positions.flatten(2)[0].T, frame_mask)

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

__all__ = [
    "StBavaAttention",
    "StBavaFusion",
    "StBavaLayer",
    "StBavaMlp",
    "StBavaModel",
    "StBavaOutput",
    "StBavaPreTrainedModel",
    "StBavaStream",
]
