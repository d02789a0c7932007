"""SAM2-LOVE: one token that has seen, heard and read prompts SAM2 (Wang et al., CVPR 2025)."""

import copy
import math

import torch
import torch.nn.functional as F
from torch import nn
from transformers import Sam2VideoModel
from transformers import initialization as init
from transformers.activations import ACT2FN
from transformers.modeling_layers import GradientCheckpointingLayer

from ...backbones.sam2.attention_sam2 import use_lean_blocks
from ...backbones.sam2.encoder_sam2 import share_position_code
from ...backbones.sam2.key_frame_tracking import ClipSegmenter
from ...backbones.sam2.tracking_sam2 import MaskPrediction
from ...backbones.vggish import VggishModel
from ...losses import mask_bce, mask_dice, mask_iou, weighted_mean
from ...modeling.base import AudioVisualPreTrainedModel, init_linear
from ...modeling.encoders import build_encoder, encode_text, load_encoder, load_host, load_vggish
from ...modeling.inputs import check_shapes, real_lengths
from ...modeling.outputs import AudioVisualSegmentationOutput
from .configuration_sam2_love import Sam2LoveConfig


class Sam2LoveMlp(nn.Module):
    """Linear, ReLU, Linear (Eq. 1); also the head that turns [seg] into SAM2's prompt."""

    def __init__(self, in_features: int, hidden_features: int, out_features: int):
        super().__init__()
        self.linear1 = nn.Linear(in_features, hidden_features)
        self.linear2 = nn.Linear(hidden_features, out_features)

    def forward(self, hidden_states: torch.Tensor) -> torch.Tensor:
        return self.linear2(F.relu(self.linear1(hidden_states)))


class Sam2LoveFusionLayer(GradientCheckpointingLayer):
    """Pre-norm transformer block (Eq. 2)."""

    def __init__(self, config: Sam2LoveConfig):
        super().__init__()
        self.num_heads = config.num_attention_heads
        self.norm1 = nn.LayerNorm(config.hidden_size)
        self.query = nn.Linear(config.hidden_size, config.hidden_size)
        self.key_value = nn.Linear(config.hidden_size, 2 * config.hidden_size)
        self.output = nn.Linear(config.hidden_size, config.hidden_size)
        self.norm2 = nn.LayerNorm(config.hidden_size)
        self.linear1 = nn.Linear(config.hidden_size, config.intermediate_size)
        self.linear2 = nn.Linear(config.intermediate_size, config.hidden_size)
        self.activation = ACT2FN[config.hidden_act]

    def forward(self, hidden_states: torch.Tensor, mask: torch.Tensor | None, num_outputs: int | None) -> torch.Tensor:
        """Update the first `num_outputs` of the tokens `[N, L, d]` (all when None); every token is attended to.

        `mask` is bool `[N, 1, 1, L]`, True where a token may be attended to.
        """
        normed = self.norm1(hidden_states)
        kept = hidden_states[:, :num_outputs]
        query = self.query(normed[:, :num_outputs]).unflatten(-1, (self.num_heads, -1)).transpose(1, 2)
        key, value = self.key_value(normed).unflatten(-1, (2, self.num_heads, -1)).permute(2, 0, 3, 1, 4)
        attended = F.scaled_dot_product_attention(query, key, value, attn_mask=mask)
        kept = kept + self.output(attended.transpose(1, 2).flatten(2))
        return kept + self.linear2(self.activation(self.linear1(self.norm2(kept))))


class Sam2LoveFusion(nn.Module):
    """The fusion transformer. It has no positions of its own: the order of its tokens does not matter (sec. 3.2)."""

    def __init__(self, config: Sam2LoveConfig):
        super().__init__()
        self.layers = nn.ModuleList(Sam2LoveFusionLayer(config) for _ in range(config.num_hidden_layers))
        self.norm = nn.LayerNorm(config.hidden_size) if config.final_layer_norm else nn.Identity()

    def forward(
        self, tokens: torch.Tensor, mask: torch.Tensor | None = None, num_outputs: int | None = None
    ) -> torch.Tensor:
        """Fuse `[N, L, d]`; the last block works for the first `num_outputs` tokens only, which are returned."""
        for layer in self.layers[:-1]:
            tokens = layer(tokens, mask, None)
        return self.norm(self.layers[-1](tokens, mask, num_outputs))


class Sam2LovePrompter(nn.Module):
    """Compresses sound, sentence and frames into the token that prompts SAM2 (sec. 3.2)."""

    def __init__(self, config: Sam2LoveConfig):
        super().__init__()
        self.config = config
        width = config.hidden_size
        self.audio_projection = Sam2LoveMlp(config.audio_config.embedding_size, config.projection_size, width)
        self.text_projection = Sam2LoveMlp(config.text_config.hidden_size, config.projection_size, width)
        self.vision_projection = Sam2LoveMlp(config.vision_config.hidden_size, config.projection_size, width)
        self.seg_tokens = nn.Parameter(torch.empty(config.num_seg_tokens, width))
        modality_tokens = torch.stack([torch.zeros(width), torch.ones(width)])
        if config.learn_modality_tokens:
            self.modality_tokens = nn.Parameter(modality_tokens)
        else:
            self.register_buffer("modality_tokens", modality_tokens)
        self.fusion = Sam2LoveFusion(config)
        self.projector = Sam2LoveMlp(width, width, config.sam2_config.mask_decoder_config.hidden_size)
        self.time_embedding = nn.Embedding(config.max_frames, width) if config.audio_temporal_embedding else None
        self.readout = nn.Linear(width, 1) if config.seg_readout == "attention" else None
        self.presence = nn.Linear(width, 1) if config.presence_head else None

    def forward(
        self,
        audio: torch.Tensor,
        text: torch.Tensor,
        frames: torch.Tensor,
        audio_mask: torch.Tensor,
        text_mask: torch.Tensor,
        frame_mask: torch.Tensor,
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Fuse `B` clips with `E` expressions each.

        Args:
            audio: `[B, A, Da]`, one row a patch of 0.96 s; audio_mask: bool `[B, A]`.
            text: `[B, E, P, Dt]`; text_mask: bool `[B, E, P]`.
            frames: `[B, T, 1 + hw, Dv]`, class token first; frame_mask: bool `[B, T]`, real frames first.

        Returns:
            The prompts `[B*E, C]` and, with a presence head, the presence logits `[B*E]`.
        """
        expressions = text.shape[1]
        audio = self._with_time(self.audio_projection(audio)).repeat_interleave(expressions, dim=0)
        frames = self._with_time(self.vision_projection(frames))
        text = self.text_projection(text.flatten(0, 1))
        modality = self.modality_tokens.to(audio.dtype).expand(len(text), 2, -1)
        # [aud] and [vis] close the sound and open the frames; between them stands the sentence (Eq. 3).
        fixed = torch.cat([audio, modality[:, :1], text, modality[:, 1:]], dim=1)
        fixed_mask = self._fixed_mask(audio_mask.repeat_interleave(expressions, dim=0), text_mask.flatten(0, 1))
        if self.config.prompt_pooling == "mean":
            state = self._mean_of_all(fixed, fixed_mask, frames, frame_mask, expressions)
        else:
            state = self._propagate(fixed, fixed_mask, frames, frame_mask, expressions)
        presence = None if self.presence is None else self.presence(state)[:, 0]
        return self.projector(state), presence

    def _with_time(self, tokens: torch.Tensor) -> torch.Tensor:
        """Add the time code to `[B, A or T, ..., d]` along axis 1, if there is one."""
        if self.time_embedding is None:
            return tokens
        steps = tokens.shape[1]
        if steps > self.config.max_frames:
            raise ValueError(
                f"the clip has {steps} frames or audio patches, audio_temporal_embedding has codes for "
                f"{self.config.max_frames}: cut the clip, or raise max_frames in the configuration and train anew"
            )
        code = self.time_embedding.weight[:steps]
        return tokens + code.view(1, steps, *[1] * (tokens.dim() - 3), -1)

    def _fixed_mask(self, audio_mask: torch.Tensor, text_mask: torch.Tensor) -> torch.Tensor:
        if not self.config.mask_text_padding:
            text_mask = torch.ones_like(text_mask)
        always = text_mask.new_ones(len(text_mask), 1)
        return torch.cat([audio_mask, always, text_mask, always], dim=1)

    def _propagate(
        self,
        fixed: torch.Tensor,
        fixed_mask: torch.Tensor,
        frames: torch.Tensor,
        frame_mask: torch.Tensor,
        expressions: int,
    ) -> torch.Tensor:
        """Hand [seg] from frame to frame (sec. 3.2, token propagation and accumulation). Returns `[N, d]`."""
        seg = self.seg_tokens.expand(len(fixed), -1, -1)
        states = []
        for step in range(frames.shape[1]):
            first = 0 if self.config.accumulate_history else step
            history = frames[:, first : step + 1, 0]
            visual = torch.cat([history, frames[:, step, 1:]], dim=1).repeat_interleave(expressions, dim=0)
            tokens = torch.cat([seg, fixed, visual], dim=1)
            mask = F.pad(fixed_mask, (seg.shape[1], visual.shape[1]), value=True)
            updated = self.fusion(tokens, _attention_mask(mask), seg.shape[1])
            real = frame_mask[:, step].repeat_interleave(expressions)[:, None, None]
            seg = torch.where(real, updated, seg)
            states.append(seg[:, 0])
        return self._read(torch.stack(states, dim=1), frame_mask.repeat_interleave(expressions, dim=0))

    def _read(self, states: torch.Tensor, frame_mask: torch.Tensor) -> torch.Tensor:
        """Reduce the [seg] states of all frames `[N, T, d]` to `[N, d]`."""
        if self.config.seg_readout == "last":
            return states[:, -1]
        if self.config.seg_readout == "mean":
            weights = frame_mask / frame_mask.sum(1, keepdim=True)
        else:
            weights = self.readout(states)[..., 0].masked_fill(~frame_mask, -math.inf).softmax(-1)
        return torch.einsum("ntd,nt->nd", states, weights.to(states.dtype))

    def _mean_of_all(
        self,
        fixed: torch.Tensor,
        fixed_mask: torch.Tensor,
        frames: torch.Tensor,
        frame_mask: torch.Tensor,
        expressions: int,
    ) -> torch.Tensor:
        """Fuse one sequence of all frames and average it (table 5, "mean"). Returns `[N, d]`."""
        visual_mask = frame_mask[:, :, None].expand(-1, -1, frames.shape[2]).flatten(1)
        mask = torch.cat([fixed_mask, visual_mask.repeat_interleave(expressions, dim=0)], dim=1)
        tokens = torch.cat([fixed, frames.flatten(1, 2).repeat_interleave(expressions, dim=0)], dim=1)
        fused = self.fusion(tokens, _attention_mask(mask))
        weights = mask / mask.sum(1, keepdim=True)
        return torch.einsum("nld,nl->nd", fused, weights.to(fused.dtype))


def _attention_mask(mask: torch.Tensor) -> torch.Tensor | None:
    """Bool `[N, L]` as an attention mask, or None, the faster form, where nothing is hidden."""
    return None if mask.all() else mask[:, None, None, :]


class Sam2LovePreTrainedModel(AudioVisualPreTrainedModel):
    config: Sam2LoveConfig
    config_class = Sam2LoveConfig
    base_model_prefix = "sam2_love"

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        std = self.config.initializer_range
        if isinstance(module, Sam2LoveFusionLayer):
            for linear in (module.query, module.key_value, module.output, module.linear1, module.linear2):
                init.trunc_normal_(linear.weight, std=std)
                init.zeros_(linear.bias)
        elif isinstance(module, Sam2LoveMlp):
            for linear in (module.linear1, module.linear2):
                init_linear(linear)
        elif isinstance(module, Sam2LovePrompter):
            init.trunc_normal_(module.seg_tokens, std=std)
            ones = torch.ones_like(module.modality_tokens[0])
            init.copy_(module.modality_tokens, torch.stack([torch.zeros_like(ones), ones]))
            if module.time_embedding is not None:
                init.zeros_(module.time_embedding.weight)
            if module.presence is not None:  # present until it has learnt what absent objects look like
                init.constant_(module.presence.bias, 2.0)
        elif isinstance(module, Sam2LoveModel):
            share_position_code(module.sam2)
            if module.prompt_decoder is not None:
                for name, parameter in module.prompt_decoder.named_parameters():
                    init.copy_(parameter, module.sam2.mask_decoder.get_parameter(name))
        else:
            super()._init_weights(module)


def build_prompt_decoder(sam2: Sam2VideoModel) -> nn.Module:
    """A twin of the mask decoder of `sam2`; the projections of its image features stay with the original."""
    decoder = copy.deepcopy(sam2.mask_decoder)
    del decoder.conv_s0, decoder.conv_s1
    return decoder


class Sam2LoveModel(Sam2LovePreTrainedModel):
    """SAM2-LOVE. With `labels` it returns a loss; in evaluation mode or without labels it segments the whole clip.

    Terms of the loss: `bce` and `dice` of the key frame's mask (Eq. 5). Not in the paper and off: `object`, the
    cross-entropy of SAM2's object score, target "the key frame shows the object" (the paper's sec. 4.5 names null
    references as a limit), and `iou`, an L1 loss on the predicted IoU, which otherwise drifts. `presence`, the
    cross-entropy of the presence head where there is one.
    """

    default_loss_weights = {"bce": 1.0, "dice": 1.0, "object": 0.0, "iou": 0.0, "presence": 1.0}

    def __init__(self, config: Sam2LoveConfig):
        super().__init__(config)
        if not config.presence_head:
            del self.loss_weights["presence"]
        self.sam2 = Sam2VideoModel(config.sam2_config)
        use_lean_blocks(self.sam2)
        self.vision_encoder = build_encoder(config.vision_config)
        self.text_encoder = build_encoder(config.text_config)
        self.audio_encoder = VggishModel(config.audio_config)
        self.prompter = Sam2LovePrompter(config)
        self.prompt_decoder = build_prompt_decoder(self.sam2) if config.handoff == "mask" else None
        self.freeze()
        self.post_init()

    @classmethod
    def from_backbones(
        cls,
        sam2: str = "facebook/sam2-hiera-large",
        vision: str = "google/vit-base-patch16-224",
        text: str = "distilbert/distilroberta-base",
        audio: str | VggishModel | None = None,
        **config_overrides,
    ) -> "Sam2LoveModel":
        """Start training from published encoders.

        Args:
            sam2, vision, text: Hub ids or folders of Transformers checkpoints (`sam2` a SAM2 video model).
            audio: a VGGish model, or the folder or Hub id of a converted one; an untrained one would hear nothing.
            config_overrides: fields of [`Sam2LoveConfig`].

        Raises:
            ValueError: when `audio` is missing, or `sam2` is another model.
        """
        parts = {
            "audio": load_vggish(audio),
            "sam2": load_host("sam2", sam2, Sam2VideoModel),
            "vision": load_encoder(vision, "vision_config"),
            "text": load_encoder(text, "text_config"),
        }
        return cls._compose(parts, **config_overrides)

    def load_backbones(self, parts: dict[str, nn.Module]) -> None:
        super().load_backbones(parts)
        if self.prompt_decoder is not None:
            self.prompt_decoder.load_state_dict(build_prompt_decoder(self.sam2).state_dict())

    @property
    def _trained_decoder(self) -> nn.Module:
        return self.prompt_decoder or self.sam2.mask_decoder

    def backbones(self) -> dict[str, nn.Module]:
        return {
            "sam2": self.sam2,
            "vision": self.vision_encoder,
            "text": self.text_encoder,
            "audio": self.audio_encoder,
        }

    def frozen_modules(self) -> list[nn.Module]:
        return list(self.backbones().values())

    def freeze(self) -> None:
        super().freeze()
        self._trained_decoder.requires_grad_(self.config.train_mask_decoder)
        shared = self.prompt_decoder is None
        self.sam2.prompt_encoder.requires_grad_(self.config.train_prompt_encoder and shared)

    def train(self, mode: bool = True) -> "Sam2LoveModel":
        super().train(mode)
        self._trained_decoder.train(mode and self.config.train_mask_decoder)
        return self

    def forward(
        self,
        pixel_values: torch.Tensor,
        vit_pixel_values: torch.Tensor,
        input_features: torch.Tensor,
        input_ids: torch.Tensor,
        attention_mask: torch.Tensor | None = None,
        frame_mask: torch.Tensor | None = None,
        audio_mask: torch.Tensor | None = None,
        labels: torch.Tensor | None = None,
        label_mask: torch.Tensor | None = None,
        original_sizes: list[tuple[int, int]] | None = None,
    ) -> AudioVisualSegmentationOutput:
        """Segment `B` clips of up to `T` frames for `E` expressions each, or learn to.

        Args:
            pixel_values: `[B, T, 3, S, S]`, frames for SAM2.
            vit_pixel_values: `[B, T, 3, s, s]`, the same frames for the frame encoder.
            input_features: `[B, A, 1, 96, 64]`, log-mel patches of the mono sound.
            input_ids: `[B, E, P]`, or `[B, P]` for one expression a clip.
            attention_mask: as `input_ids`, 1 for real tokens; all real when None.
            frame_mask, audio_mask: bool `[B, T]` and `[B, A]`, True for real frames and patches, which come first.
            labels: `[B, E, T, h, w]` or `[B, T, h, w]`, masks of 0 and 1 at any one size.
            label_mask: bool `[B, T]`, True for frames that carry a label; all real frames when None.
            original_sizes: not used here; processors hand it out for `post_process_masks`.

        Returns:
            [`AudioVisualSegmentationOutput`]. In training mode with labels, SAM2 sees the key frame only (sec. 3.3) and
            `pred_masks` is `[B, E, 1, h, w]`; otherwise it covers the clip.

        Raises:
            ValueError: when shapes do not fit together.
        """
        if input_ids.dim() == 2:
            input_ids = input_ids[:, None]
        if labels is not None and labels.dim() == 4:
            labels = labels[:, None]
        num_clips, num_frames = pixel_values.shape[:2]
        if frame_mask is None:
            frame_mask = torch.ones(num_clips, num_frames, dtype=torch.bool, device=pixel_values.device)
        if audio_mask is None:
            audio_mask = torch.ones(input_features.shape[:2], dtype=torch.bool, device=pixel_values.device)
        edge = self.config.sam2_config.image_size
        shapes = {
            "pixel_values": (pixel_values, (num_clips, num_frames, 3, edge, edge)),
            "vit_pixel_values": (vit_pixel_values, (num_clips, num_frames, 3, "height", "width")),
            "input_features": (input_features, (num_clips, "patches", 1, 96, 64)),
            "input_ids": (input_ids, (num_clips, "expressions", "tokens")),
            "frame_mask": (frame_mask, (num_clips, num_frames)),
            "audio_mask": (audio_mask, tuple(input_features.shape[:2])),
            "labels": (labels, (num_clips, input_ids.shape[1], num_frames, "height", "width")),
            "label_mask": (label_mask, (num_clips, num_frames)),
        }
        check_shapes(num_clips, num_frames, shapes)
        for name, mask in (("frame_mask", frame_mask), ("audio_mask", audio_mask)):
            real_lengths(name, mask.tolist())

        text, text_mask = encode_text(self.text_encoder, input_ids, attention_mask)
        prompts, presence = self.prompter(
            self._encode_audio(input_features),
            text,
            self._encode_frames(vit_pixel_values),
            audio_mask,
            text_mask,
            frame_mask,
        )
        clips = torch.arange(len(input_ids), device=prompts.device).repeat_interleave(input_ids.shape[1])
        segmenter = ClipSegmenter(
            self.sam2,
            pixel_values,
            frame_mask.sum(1),
            clips,
            prompts[:, None],
            multimask=self.config.mask_selection != "single",
            prompt_decoder=self.prompt_decoder,
        )
        labeled = frame_mask if label_mask is None else label_mask & frame_mask
        learns = self.training and labels is not None
        if learns:
            key_of_clip = self._training_key_frames(labeled)
            key_frames, prediction = key_of_clip[clips], segmenter.prompt(key_of_clip)
        else:
            first = self.config.key_frame == "first"
            key_frames = torch.zeros_like(clips) if first else segmenter.best_key_frames()
            masks, ious, scores, prediction = segmenter.segment(key_frames)

        losses = {}
        if labels is not None:
            rows = torch.arange(len(clips), device=clips.device)
            targets = labels.flatten(0, 1)[rows, key_frames].to(prompts.dtype)
            prediction, losses = self._mask_losses(prediction, targets, labeled[clips, key_frames])
            if presence is not None:
                shown = (labels.flatten(3) > 0).any(-1) & labeled[:, None]
                costs = F.binary_cross_entropy_with_logits(
                    presence, shown.any(-1).flatten().to(presence.dtype), reduction="none"
                )
                # What a clip without labels holds is not known.
                losses["presence"] = weighted_mean(costs, labeled.any(-1)[clips].to(costs.dtype))
            losses = self.weigh(losses)
        if learns:
            masks, ious = prediction.masks[:, None], prediction.iou_scores[:, None]
            scores = prediction.object_score_logits[:, None]

        batch = input_ids.shape[:2]
        return AudioVisualSegmentationOutput(
            loss=sum(losses.values()) if losses else None,
            loss_dict={name: value.detach() for name, value in losses.items()} if losses else None,
            pred_masks=masks.unflatten(0, batch),
            iou_scores=ious.unflatten(0, batch),
            object_score_logits=scores.unflatten(0, batch),
            presence_logits=None if presence is None else presence.unflatten(0, batch),
            prompt_embeddings=prompts.unflatten(0, batch),
            key_frames=key_frames.unflatten(0, batch),
        )

    @torch.no_grad()
    def _encode_audio(self, input_features: torch.Tensor) -> torch.Tensor:
        return self.audio_encoder(input_features).embeddings.squeeze(2)

    @torch.no_grad()
    def _encode_frames(self, vit_pixel_values: torch.Tensor) -> torch.Tensor:
        flat = self.vision_encoder(pixel_values=vit_pixel_values.flatten(0, 1))
        return flat.last_hidden_state.unflatten(0, vit_pixel_values.shape[:2])

    def _training_key_frames(self, labeled: torch.Tensor) -> torch.Tensor:
        """The frame `[B]` that each clip is trained on: the first, or any labelled one."""
        if self.config.key_frame == "first":
            return torch.zeros(len(labeled), dtype=torch.long, device=labeled.device)
        return torch.rand(labeled.shape, device=labeled.device).masked_fill(~labeled, -1).argmax(-1)

    def _mask_losses(
        self, prediction: MaskPrediction, targets: torch.Tensor, labeled: torch.Tensor
    ) -> tuple[MaskPrediction, dict[str, torch.Tensor]]:
        """Loss terms of `N` predictions against `targets [N, h, w]` where `labeled [N]`."""
        config, weights = self.config, labeled.to(targets.dtype)
        if config.loss_size == "label":
            size = targets.shape[-2:]
            resized = F.interpolate(prediction.candidates, size=size, mode="bilinear", align_corners=False)
        else:
            resized = prediction.candidates
            targets = F.interpolate(targets[:, None], size=resized.shape[-2:], mode="nearest")[:, 0]
        every = targets[:, None].expand_as(resized)
        if config.mask_selection == "min_loss":
            costs = self.weigh({"bce": mask_bce(resized, every), "dice": mask_dice(resized, every)})
            prediction = prediction.choose(sum(costs.values()).argmin(-1))
        rows = torch.arange(len(resized), device=resized.device)
        chosen = resized[rows, prediction.choice]
        losses = {
            "bce": weighted_mean(mask_bce(chosen, targets), weights),
            "dice": weighted_mean(mask_dice(chosen, targets), weights),
        }
        if self.loss_weights["object"]:
            shown = (targets > 0).flatten(1).any(-1).to(targets.dtype)
            cost = F.binary_cross_entropy_with_logits(prediction.object_score_logits, shown, reduction="none")
            losses["object"] = weighted_mean(cost, weights)
        if self.loss_weights["iou"]:
            error = (prediction.candidate_scores - mask_iou(resized, every)).abs().mean(-1)
            losses["iou"] = weighted_mean(error, weights)
        return prediction, losses
