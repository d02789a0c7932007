"""SAM2-LOVE: one token that compresses frames, sound and sentence prompts SAM2 (Wang et al., CVPR 2025)."""

import copy
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import nn
from transformers import Sam2VideoModel
from transformers import initialization as init

from ...backbones.sam2.key_frame_tracking import KeyFrameTracker
from ...backbones.sam2.modeling_sam2 import Sam2Backbone
from ...backbones.sam2.tracking_sam2 import ImageFeatures
from ...backbones.vggish import VggishModel, load_vggish
from ...losses import weighted_mean
from ...modeling.base import AudioVisualPreTrainedModel
from ...modeling.encoders import build_encoder, encode_text, gradient_where_needed, load_encoder, load_host
from ...modeling.initialization import init_linear
from ...modeling.inputs import (
    ClipInputs,
    check_given,
    check_ids,
    check_shapes,
    check_text,
    embedding_shapes,
    prepare_clips,
    real_lengths,
)
from ...modeling.outputs import MaskPrediction
from .configuration_sam2_love import Sam2LoveConfig
from .loss_sam2_love import mask_losses
from .prompter_sam2_love import Sam2LoveFusionLayer, Sam2LoveMlp, Sam2LoveOutput, Sam2LovePrompter


class Sam2LovePreTrainedModel(AudioVisualPreTrainedModel):
    """Configuration and initialisation of SAM2-LOVE.

    ```python
    model = Sam2LoveModel.from_backbones(audio="runs/vggish")
    ```
    """

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

    ```python
    model, processor = load_checkpoint("examples/sam2-love-tiny")
    inputs = processor("clip.mp4", text="the object making the loudest sound")
    masks = processor.post_process_masks(model(**inputs), inputs["original_sizes"])
    ```
    """

    default_loss_weights = {"bce": 1.0, "dice": 1.0, "object": 0.0, "iou": 0.0, "presence": 1.0}
    # Device maps give no place to the buffer of a module that they divide.
    _no_split_modules = [Sam2LovePrompter.__name__]

    def __init__(self, config: Sam2LoveConfig):
        super().__init__(config)
        if not config.presence_head:
            del self.loss_weights["presence"]
        self.sam2 = Sam2Backbone(config.sam2_config)
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
            audio: a VGGish model, or the folder or Hub id of a converted one. It has no default: an untrained one says
                nothing about the sound.
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

    @property
    def gives_attentions(self) -> bool:
        return True

    @property
    def embedding_inputs(self) -> tuple[str, ...]:
        return ("pixel_values", "vit_pixel_values")

    def embed_frames(self, pixel_values: torch.Tensor, vit_pixel_values: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """As the base class says: what SAM2's mask decoder reads, and the frame encoder's states `[N, 1 + hw, D]`."""
        return (*self.sam2.encode(pixel_values), self._encode_frames(vit_pixel_values[None])[0])

    def tracking_embeddings(self, image_embeddings: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, ...]:
        return image_embeddings[:3]

    @property
    def clip_length(self) -> int:
        return self.config.max_frames

    def unreached_modules(self) -> list[str]:
        # Trained on the key frame alone, it does not track.
        names = ["memory_attention", "memory_encoder", "object_pointer_proj", "mask_downsample"]
        names.append("temporal_positional_encoding_projection_layer")
        if self.prompt_decoder is not None:
            names += [f"mask_decoder.{part}" for part, _ in self.prompt_decoder.named_children()]
        return [f"sam2.{name}" for name in names]

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
        pixel_values: torch.Tensor | None = None,
        vit_pixel_values: torch.Tensor | None = None,
        input_features: torch.Tensor | None = None,
        input_ids: torch.Tensor | None = None,
        attention_mask: torch.Tensor | None = None,
        frame_mask: torch.Tensor | None = None,
        audio_mask: torch.Tensor | None = None,
        labels: torch.Tensor | None = None,
        label_mask: torch.Tensor | None = None,
        original_sizes: list[tuple[int, int]] | None = None,
        image_embeddings: Sequence[torch.Tensor] | None = None,
        text_embeddings: torch.Tensor | None = None,
        output_attentions: bool = False,
        key_frames: torch.Tensor | None = None,
    ) -> Sam2LoveOutput:
        """Segment `B` clips of up to `T` frames for `E` expressions each, or learn to.

        Args:
            pixel_values: `[B, T, 3, S, S]`, frames for SAM2.
            vit_pixel_values: `[B, T, 3, s, s]`, the same frames for the frame encoder.
            input_features: `[B, A, 1, 96, 64]`, log-mel patches of the mono sound.
            input_ids: `[B, E, P]`, or `[B, P]` for one expression per clip.
            attention_mask: as `input_ids`, 1 for real tokens; all real when None.
            frame_mask, audio_mask: bool `[B, T]` and `[B, A]`, True for real frames and patches, which come first.
            labels: `[B, E, T, h, w]` or `[B, T, h, w]`, masks of 0 and 1 at any one size.
            label_mask: bool `[B, T]`, True for frames that carry a label; all real frames when None.
            original_sizes: not used here; processors hand it out for `post_process_masks`.
            image_embeddings: in place of both forms of frames what `embed_frames` makes of them, each `[B, T, ...]`.
            text_embeddings: `[B, E, P, D]` in place of `input_ids` what `embed_text` makes of them.
            output_attentions: give attention maps.
            key_frames: `[B]`, in training with labels the frame of each clip to learn on, which `pixel_values` then
                shows alone, `[B, 1, 3, S, S]`; chosen here when None.

        Returns:
            [`Sam2LoveOutput`]. In training mode with labels, SAM2 sees the key frame only (sec. 3.3) and
            `pred_masks` is `[B, E, 1, h, w]`; otherwise it covers the clip.

        Raises:
            ValueError: when an input is missing, or shapes do not fit together.
        """
        check_given("input_features", input_features)
        read = input_ids if text_embeddings is None else text_embeddings
        check_text("input_ids", type(self).__name__, read, self.reads_text)
        learns = self.training and labels is not None
        frames, single = self._frame_shapes(pixel_values, vit_pixel_values, image_embeddings, key_frames, learns)
        whole = {"input_features": (input_features, ("patches", 1, 96, 64)), **single}
        texts = (input_ids, frame_mask, audio_mask, labels, label_mask, text_embeddings)
        given = prepare_clips(frames, whole, *texts)
        seen = (vit_pixel_values, image_embeddings)
        prompts, presence, maps = self._prompts(given, *seen, input_features, attention_mask, output_attentions)
        batch = given.batch[:2]
        clips = torch.arange(batch[0], device=prompts.device).repeat_interleave(batch[1])
        segmenter = self._tracker(given, pixel_values, image_embeddings, prompts)
        if learns:
            key_of_clip = self._training_key_frames(given.labeled) if key_frames is None else key_frames
            shown = key_of_clip if key_frames is None else torch.zeros_like(key_frames)
            key_frames, prediction = key_of_clip[clips], segmenter.prompt(shown)
        else:
            first = self.config.key_frame == "first"
            key_frames = torch.zeros_like(clips) if first else segmenter.best_key_frames()
            masks, ious, scores, prediction = segmenter.segment([0] * len(clips) if first else key_frames)

        losses = {}
        if labels is not None:
            rows = torch.arange(len(clips), device=clips.device)
            targets = given.labels.flatten(0, 1)[rows, key_frames].to(prompts.dtype)
            prediction, losses = self._losses(prediction, targets, presence, given, clips, key_frames)
        if learns:
            masks, ious = prediction.masks[:, None], prediction.iou_scores[:, None]
            scores = prediction.object_score_logits[:, None]
        return Sam2LoveOutput(
            **self.loss_fields(losses),
            pred_masks=masks.unflatten(0, batch),
            iou_scores=ious.unflatten(0, batch),
            object_score_logits=scores.unflatten(0, batch),
            presence_logits=None if presence is None else presence.unflatten(0, batch),
            prompt_embeddings=prompts.unflatten(0, batch),
            key_frames=key_frames.unflatten(0, batch),
            **{name: tuple(each.unflatten(0, batch) for each in blocks) for name, blocks in maps.items()},
        )

    def _frame_shapes(
        self,
        pixel_values: torch.Tensor | None,
        vit_pixel_values: torch.Tensor | None,
        image_embeddings: Sequence[torch.Tensor] | None,
        key_frames: torch.Tensor | None,
        learns: bool,
    ) -> tuple[dict, dict]:
        """For `prepare_clips` what is given for each frame, and what of one frame for each clip, with the axes."""
        check_given("pixel_values", pixel_values, "image_embeddings", image_embeddings)
        check_given("vit_pixel_values", vit_pixel_values, "image_embeddings", image_embeddings)
        edge, states = self.config.sam2_config.image_size, ("positions", self.config.vision_config.hidden_size)
        frames = {
            "pixel_values": (pixel_values, (3, edge, edge)),
            "vit_pixel_values": (vit_pixel_values, (3, "height", "width")),
            **embedding_shapes(image_embeddings, *ImageFeatures.shapes(self.sam2), states),
        }
        if key_frames is None:
            return frames, {}
        if not learns or image_embeddings is not None:
            raise ValueError("key_frames: are for training with labels; leave them out and give all frames")
        clips, length = vit_pixel_values.shape[:2]
        check_shapes(clips, length, {"key_frames": (key_frames, (clips,))})
        check_ids("key_frames", key_frames, length)
        del frames["pixel_values"]
        return frames, {"pixel_values": (pixel_values, (1, 3, edge, edge))}

    def _tracker(
        self,
        given: ClipInputs,
        pixel_values: torch.Tensor | None,
        image_embeddings: Sequence[torch.Tensor] | None,
        prompts: torch.Tensor,
    ) -> KeyFrameTracker:
        clip_of_object = [clip for clip in range(given.batch[0]) for _ in range(given.batch[1])]
        multimask = self.config.mask_selection != "single"
        objects = (given.lengths, clip_of_object, prompts[:, None], multimask, self.prompt_decoder)
        features = None if image_embeddings is None else ImageFeatures(*image_embeddings[:3])
        return KeyFrameTracker(self.sam2, pixel_values, *objects, features)

    def _prompts(
        self,
        given: ClipInputs,
        vit_pixel_values: torch.Tensor | None,
        image_embeddings: Sequence[torch.Tensor] | None,
        input_features: torch.Tensor,
        attention_mask: torch.Tensor | None,
        output_attentions: bool,
    ) -> tuple[torch.Tensor, torch.Tensor | None, dict[str, tuple[torch.Tensor, ...]]]:
        """Prompt tokens `[N, C]` of all objects, with a presence head its logits `[N]`, and attention maps."""
        num_patches = real_lengths("audio_mask", given.audio_mask.tolist())
        all_real = min(given.lengths) == given.batch[2] and min(num_patches) == given.audio_mask.shape[1]
        all_real = all_real and (attention_mask is None or bool(attention_mask.all()))
        text, text_mask = encode_text(self.text_encoder, given.input_ids, attention_mask, given.text_embeddings)
        frames = self._encode_frames(vit_pixel_values) if image_embeddings is None else image_embeddings[3]
        prompts, presence, maps = self.prompter(
            self._encode_audio(input_features),
            text,
            frames,
            given.audio_mask,
            text_mask,
            given.frame_mask,
            all_real,
            output_attentions,
        )
        if maps:
            patch, size = self.config.vision_config.patch_size, self.config.vision_config.image_size
            seen = (size, size) if vit_pixel_values is None else vit_pixel_values.shape[-2:]
            grid = tuple(edge // patch for edge in seen)
            maps["vision_attentions"] = tuple(each.unflatten(-1, grid) for each in maps["vision_attentions"])
        return prompts, presence, maps

    def _encode_audio(self, input_features: torch.Tensor) -> torch.Tensor:
        with gradient_where_needed(self.audio_encoder):
            return self.audio_encoder(input_features).embeddings.squeeze(2)

    def _encode_frames(self, vit_pixel_values: torch.Tensor) -> torch.Tensor:
        with gradient_where_needed(self.vision_encoder):
            flat = self.vision_encoder(pixel_values=vit_pixel_values.flatten(0, 1))
        return flat.last_hidden_state.unflatten(0, vit_pixel_values.shape[:2])

    @property
    def training_key_frame(self) -> str:
        return "first" if self.config.key_frame == "first" else "random"

    def _training_key_frames(self, labeled: torch.Tensor) -> torch.Tensor:
        """The frame `[B]` that each clip is trained on: the first, or any labelled one."""
        if self.config.key_frame == "first":
            return torch.zeros(len(labeled), dtype=torch.long, device=labeled.device)
        return torch.rand(labeled.shape, device=labeled.device).masked_fill(~labeled, -1).argmax(-1)

    def _losses(
        self,
        prediction: MaskPrediction,
        targets: torch.Tensor,
        presence: torch.Tensor | None,
        given: ClipInputs,
        clips: torch.Tensor,
        key_frames: torch.Tensor,
    ) -> tuple[MaskPrediction, dict[str, torch.Tensor]]:
        """What is learnt from: masks on the key frames, and weighted terms of the loss.

        Args:
            prediction, targets: what is predicted for `N` objects on their `key_frames [N]`, and the truth `[N, h, w]`.
            presence: logits `[N]` of the presence head.
            given: the clips, with labels.
            clips: long `[N]`, the clip of each object.
        """
        labeled = given.labeled
        known = (self.config, self.loss_weights, self.weigh)
        prediction, losses = mask_losses(*known, prediction, targets, labeled[clips, key_frames])
        if presence is not None:
            visible = (given.labels.flatten(3) > 0).any(-1) & labeled[:, None]
            costs = F.binary_cross_entropy_with_logits(
                presence, visible.any(-1).flatten().to(presence.dtype), reduction="none"
            )
            # What a clip without labels holds is not known.
            losses["presence"] = weighted_mean(costs, labeled.any(-1)[clips].to(costs.dtype))
        return prediction, self.weigh(losses)


__all__ = ["Sam2LoveModel", "Sam2LoveOutput", "Sam2LovePreTrainedModel", "build_prompt_decoder"]
