"""AuralSAM2: sound and text fused with SAM2's frame features prompt its mask decoder from within (arXiv 2506.01015)."""

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch
from torch import nn
from transformers import Sam2VideoModel
from transformers import initialization as init

from ...backbones.sam2.encoder_sam2 import encode_images
from ...backbones.sam2.every_frame_tracking import EveryFrameTracker, track_every_frame
from ...backbones.sam2.losses_sam2 import SAM2_LOSS_WEIGHTS
from ...backbones.sam2.modeling_sam2 import Sam2Backbone
from ...backbones.sam2.tracking_sam2 import ImageFeatures, project_features
from ...backbones.sam2.user_prompts import UserPrompt, conditioning_frames, encode_user_prompts
from ...backbones.vggish import VggishModel, load_vggish
from ...losses import mean_terms
from ...modeling.base import AudioVisualPreTrainedModel
from ...modeling.encoders import build_encoder, encode_text, gradient_where_needed, load_encoder, load_host
from ...modeling.initialization import init_linear, rebuild
from ...modeling.inputs import ClipInputs, check_given, check_text, embedding_shapes, prepare_clips
from ...modeling.outputs import NO_MASK_LOGIT, MaskPrediction
from .batch_aural_sam2 import ClipGroup, group_clips
from .clip_losses_aural_sam2 import clip_losses
from .configuration_aural_sam2 import NUM_LEVELS, AuralSam2Config
from .decoder_aural_sam2 import AuralSam2TwoWayTransformer, StagePrompt, frame_decoder
from .fuser_aural_sam2 import AuralSam2Block, AuralSam2CrossFusion, AuralSam2Fuser, AuralSam2Output, FusedLevel


class AuralSam2PreTrainedModel(AudioVisualPreTrainedModel):
    """Configuration and initialisation of AuralSAM2.

    ```python
    model = AuralSam2Model.from_backbones("facebook/sam2-hiera-large", audio="runs/vggish", use_text=False)
    ```
    """

    config: AuralSam2Config
    config_class = AuralSam2Config
    base_model_prefix = "aural_sam2"

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        if isinstance(module, nn.Linear | nn.Conv2d):
            init_linear(module)
        elif isinstance(module, nn.LayerNorm):
            init.ones_(module.weight)
            init.zeros_(module.bias)
        elif isinstance(module, nn.BatchNorm1d):
            init.ones_(module.weight)
            init.ones_(module.running_var)
            for tensor in (module.bias, module.running_mean, module.num_batches_tracked):
                init.zeros_(tensor)
        elif isinstance(module, AuralSam2Block):
            self._init_block(module)
        elif isinstance(module, AuralSam2CrossFusion):  # fusion starts as the identity
            for norm in (module.frame_batch_norm, module.token_batch_norm):
                init.zeros_(norm.weight)

    def _init_block(self, block: AuralSam2Block) -> None:
        for layer in block.modules():
            if isinstance(layer, nn.Linear):
                init.trunc_normal_(layer.weight, std=self.config.initializer_range)
                init.zeros_(layer.bias)
            elif isinstance(layer, nn.Conv2d):
                fan_out = layer.out_channels * math.prod(layer.kernel_size) // layer.groups
                init.normal_(layer.weight, std=math.sqrt(2 / fan_out))
                init.zeros_(layer.bias)


class AuralSam2Model(AuralSam2PreTrainedModel):
    """AuralSAM2. It segments the whole clip, in training too; with `labels` it returns a loss.

    Terms of the loss: `focal`, `dice`, `iou` and `object` of SAM2's own, and `contrastive` unless `contrastive_loss` is
    "none" (supplement 6.1).

    ```python
    config = AuralSam2Config(use_text=False)
    model, processor = AuralSam2Model(config).eval(), AuralSam2Processor.from_config(config)
    inputs = processor("clip.mp4")
    masks = processor.post_process_masks(model(**inputs), inputs["original_sizes"])
    ```
    """

    default_loss_weights = {**SAM2_LOSS_WEIGHTS, "contrastive": 1.0}
    takes_points = True
    gradient_checkpointing = False
    # A checkpoint with a class head holds the whole model of masks.
    _keys_to_ignore_on_load_unexpected = [r"^class_head\."]

    def __init__(self, config: AuralSam2Config):
        super().__init__(config)
        self.sam2 = Sam2Backbone(config.sam2_config)
        decoder = self.sam2.mask_decoder
        decoder.transformer = rebuild(decoder.transformer, lambda: AuralSam2TwoWayTransformer(decoder.config))
        self.audio_encoder = VggishModel(config.audio_config)
        self.text_encoder = build_encoder(config.text_config) if config.use_text else None
        self.fuser = AuralSam2Fuser(config)
        self.freeze()
        self.post_init()

    @classmethod
    def from_backbones(
        cls,
        sam2: str = "facebook/sam2-hiera-large",
        text: str = "distilbert/distilroberta-base",
        audio: str | VggishModel | None = None,
        **config_overrides,
    ) -> "AuralSam2Model":
        """Start training from published encoders.

        Args:
            sam2, text: Hub ids or folders of Transformers checkpoints (`sam2` a SAM2 video model); `text` is not read
                with `use_text=False`.
            audio: a VGGish model, or the folder or Hub id of a converted one. It has no default: an untrained one says
                nothing about the sound.
            config_overrides: fields of [`AuralSam2Config`].

        Raises:
            ValueError: when `audio` is missing, or `sam2` is another model.
        """
        parts = {"audio": load_vggish(audio), "sam2": load_host("sam2", sam2, Sam2VideoModel)}
        if config_overrides.get("use_text", True):
            parts["text"] = load_encoder(text, "text_config")
        return cls._compose(parts, **config_overrides)

    def backbones(self) -> dict[str, nn.Module]:
        found = {"sam2": self.sam2, "audio": self.audio_encoder, "text": self.text_encoder}
        return {name: module for name, module in found.items() if module is not None}

    @property
    def gives_attentions(self) -> bool:
        # The released layout mixes positions and channels, so that no weight belongs to a position.
        return self.config.behavior == "paper"

    @property
    def embedding_inputs(self) -> tuple[str, ...]:
        return ("pixel_values",)

    def embed_frames(self, pixel_values: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """As the base class says: what SAM2's mask decoder reads, and the fuser's patches `[N, P, C]` of each level."""
        with gradient_where_needed(self.sam2.vision_encoder):
            maps = encode_images(self.sam2, pixel_values)
        return (*project_features(self.sam2, maps), *self.fuser.embed_patches(maps))

    def tracking_embeddings(self, image_embeddings: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, ...]:
        return image_embeddings[:3]

    def frozen_modules(self) -> list[nn.Module]:
        trained = {"audio"} if self.config.train_audio_encoder else set()
        return [module for name, module in self.backbones().items() if name not in trained]

    def forward(
        self,
        pixel_values: torch.Tensor | None = None,
        input_features: torch.Tensor | None = None,
        input_ids: torch.Tensor | None = None,
        attention_mask: torch.Tensor | None = None,
        frame_mask: torch.Tensor | None = None,
        audio_mask: torch.Tensor | None = None,
        input_points: torch.Tensor | None = None,
        input_labels: torch.Tensor | None = None,
        input_boxes: torch.Tensor | None = None,
        input_masks: torch.Tensor | None = None,
        prompt_frames: list[int] | None = None,
        labels: torch.Tensor | None = None,
        label_mask: torch.Tensor | None = None,
        class_labels: torch.Tensor | None = None,
        original_sizes: list[tuple[int, int]] | None = None,
        image_embeddings: Sequence[torch.Tensor] | None = None,
        text_embeddings: torch.Tensor | None = None,
        output_attentions: bool = False,
    ) -> AuralSam2Output:
        """Segment `B` clips of up to `T` frames for `E` expressions each (one without text).

        Points, boxes and masks may prompt the model too. Frames with such prompts are segmented first and without
        memory, in place of the conditioning frame.

        Args:
            pixel_values: `[B, T, 3, S, S]`, frames for SAM2.
            input_features: `[B, A, 2, 96, 64]`, log-mel patches of left and right. Patch `t` belongs to frame
                `t`: further ones are left out, and where there are fewer the last one is repeated.
            input_ids: `[B, E, P]`, or `[B, P]` for one expression per clip; none with `use_text=False`.
            attention_mask: as `input_ids`, 1 for real tokens; all real when None.
            frame_mask, audio_mask: bool `[B, T]` and `[B, A]`, True for real frames and patches, which come first.
            input_points: `[B, E, n, 2]` (x, y) in pixels of `pixel_values`, or `[B, E, F, n, 2]` for `F` frames.
            input_labels: `[B, E, n]` or `[B, E, F, n]`: 1 on the object, 0 off it, 2 and 3 for two corners of a
                box, -1 for padding.
            input_boxes: `[B, E, 4]` or `[B, E, F, 4]`, (x1, y1, x2, y2) in pixels of `pixel_values`.
            input_masks: `[B, E, h, w]` or `[B, E, F, h, w]`, mask logits such as `pred_masks` of an earlier call; NaN
                alone where there is no mask of an object on a frame.
            prompt_frames: the `F` frames of these prompts; the conditioning frame when None.
            labels: `[B, E, T, h, w]` or `[B, T, h, w]`, masks of 0 and 1 at any one size; with `use_text=False` any
                number `E`, and the loss is the mean over them.
            label_mask: bool `[B, T]`, True for frames that carry a label; all real frames when None.
            class_labels: integer `[B, T, h, w]`, 0 for background. [`AuralSam2ForSemanticSegmentation`] learns from
                these and not from `labels`; other models leave them aside.
            original_sizes: not used here; processors hand it out for `post_process_masks`.
            image_embeddings: in place of `pixel_values` what `embed_frames` makes of them, each `[B, T, ...]`.
            text_embeddings: `[B, E, P, D]` in place of `input_ids` what `embed_text` makes of them.
            output_attentions: give attention maps; with `behavior="paper"`.

        Returns:
            [`AuralSam2Output`]. Masks are not gated by the object score; padding frames hold -1024.

        Raises:
            ValueError: when an input is missing or not read, or shapes do not fit together.
        """
        check_given("pixel_values", pixel_values, "image_embeddings", image_embeddings)
        check_given("input_features", input_features)
        read = input_ids if text_embeddings is None else text_embeddings
        check_text("input_ids", type(self).__name__, read, self.reads_text)
        class_labels = class_labels if self.names_classes else None
        frames = self._frame_shapes(pixel_values, image_embeddings, class_labels)
        sounds = {"input_features": (input_features, ("patches", 2, 96, 64))}
        texts = (input_ids, frame_mask, audio_mask, labels, label_mask, text_embeddings)
        given = prepare_clips(frames, sounds, *texts)
        groups = group_clips(given.lengths, given.audio_mask, given.labeled)
        if self.fuser.training and not self.reads_text and any(group.length * len(group.clips) < 2 for group in groups):
            raise ValueError("pixel_values: a single clip of one frame is too little to train on (batch normalisation)")

        # First, as some text encoders wait for the device.
        read = () if read is None else encode_text(self.text_encoder, given.input_ids, attention_mask, text_embeddings)
        audio = self._encode_audio(input_features, given.audio_mask, given.batch[2])
        user_prompts = encode_user_prompts(
            self.sam2.prompt_encoder, given.batch[:2], input_points, input_labels, input_boxes, input_masks
        )
        totals, losses = self._nothing_found(audio, given.batch), []
        for group in groups:
            default = self._conditioning_frame(group.length)
            first = conditioning_frames(group.length, default, prompt_frames, user_prompts)
            found, levels = self._segment(
                self._embedded(group, pixel_values, image_embeddings),
                group.pick(audio)[:, : group.length],
                [group.pick(each) for each in read] or (None, None),
                {frame: user and user.map(group.pick) for frame, user in first.items()},
                output_attentions,
            )
            class_logits = self._class_logits(found, levels)
            self._place(totals, group, found, levels, class_logits)
            for clip in group.clips:
                totals["key_frames"][clip] = min(first)
            if labels is not None or class_labels is not None:
                losses.append(self._losses(found, levels, class_logits, group, given, class_labels))

        losses = {name: torch.cat([part[name] for part in losses]).mean() for name in losses[0]} if losses else {}
        return AuralSam2Output(**self.loss_fields(losses), **totals)

    def _frame_shapes(
        self,
        pixel_values: torch.Tensor | None,
        image_embeddings: Sequence[torch.Tensor] | None,
        class_labels: torch.Tensor | None,
    ) -> dict[str, tuple[torch.Tensor | None, tuple[int | str, ...]]]:
        """For `prepare_clips` what is given for each frame, with its axes."""
        edge, features = self.config.sam2_config.image_size, ImageFeatures.shapes(self.sam2)
        patches = (features[-1][1] * features[-1][2], self.config.hidden_size)
        axes = (*features, *[patches] * len(self.config.pyramid_levels))
        return {
            "pixel_values": (pixel_values, (3, edge, edge)),
            "class_labels": (class_labels, ("height", "width")),
            **embedding_shapes(image_embeddings, *axes),
        }

    def _embedded(
        self, group: ClipGroup, pixel_values: torch.Tensor | None, image_embeddings: Sequence[torch.Tensor] | None
    ) -> list[tuple[torch.Tensor, ...]]:
        """What `embed_frames` makes of each frame of some clips.

        One frame at a time: the neck's wide maps need not be held for the whole clip.
        """
        if image_embeddings is None:
            return [self.embed_frames(images) for images in group.pick(pixel_values)[:, : group.length].unbind(1)]
        parts = [group.pick(part) for part in image_embeddings]
        return [tuple(part[:, frame] for part in parts) for frame in range(group.length)]

    def _nothing_found(self, audio: torch.Tensor, batch: tuple[int, int, int]) -> dict[str, torch.Tensor]:
        """Outputs for `batch` clips, expressions and frames, as they are on padding frames."""
        masks = audio.new_full((*batch, *self.sam2.prompt_encoder.mask_input_size), NO_MASK_LOGIT)
        iou_scores = audio.new_zeros(batch)
        return {
            "pred_masks": masks,
            "iou_scores": iou_scores,
            "object_score_logits": torch.full_like(iou_scores, NO_MASK_LOGIT),
            "key_frames": torch.zeros(batch[:2], dtype=torch.long, device=audio.device),
        }

    def _place(
        self,
        totals: dict[str, torch.Tensor | tuple[torch.Tensor, ...]],
        group: ClipGroup,
        found: MaskPrediction,
        levels: list[FusedLevel],
        class_logits: torch.Tensor | None,
    ) -> None:
        """Write what was found in some of the clips to the outputs for all of them."""
        group.place(found.masks, totals["pred_masks"])
        group.place(found.iou_scores, totals["iou_scores"])
        group.place(found.object_score_logits, totals["object_score_logits"])
        batch = totals["pred_masks"].shape[:3]
        if class_logits is not None:
            shape = (batch[0], class_logits.shape[1], batch[2], *class_logits.shape[3:])
            group.place(class_logits, totals.setdefault("class_logits", class_logits.new_zeros(shape)))
        for name, weights in levels[0].attentions.items():
            edge = round(weights.shape[-1] ** 0.5)
            blocks = tuple(weights.new_zeros(*batch, 1, edge, edge) for _ in levels)
            for level, block in zip(levels, totals.setdefault(name, blocks), strict=True):
                group.place(level.attentions[name], block)

    def _class_logits(self, found: MaskPrediction, levels: list[FusedLevel]) -> torch.Tensor | None:
        """Logits `[n, K + 1, T, e, e]` of the classes in some of the clips, of a model that names classes."""
        return None

    def _losses(
        self,
        found: MaskPrediction,
        levels: list[FusedLevel],
        class_logits: torch.Tensor | None,
        group: ClipGroup,
        given: ClipInputs,
        class_labels: torch.Tensor | None,
    ) -> dict[str, torch.Tensor]:
        """Weighted loss terms `[n]` of the `n` objects in some of the clips."""
        counted = group.pick(given.labeled)[:, : group.length]
        truths = (group.pick(truth)[:, :, : group.length].flatten(0, 1) for truth in given.truths)
        known = (self.config, self.loss_weights, self.fuser, found, levels, group)
        return self.weigh(mean_terms([clip_losses(*known, each, counted, self._checkpointed) for each in truths]))

    def _checkpointed(self, function: Callable, *args: Any) -> Any:
        """Call a function; under gradient checkpointing it is called again in the backward pass, for nothing of what
        it computes is kept."""
        if self.gradient_checkpointing and self.training:
            return self._gradient_checkpointing_func(function, *args)
        return function(*args)

    def _checkpoint_what_learns(self) -> None:
        super()._checkpoint_what_learns()
        for layer in self.sam2.mask_decoder.transformer.layers:  # checkpointed with the rest of a frame
            layer.training = False

    def _encode_audio(self, input_features: torch.Tensor, audio_mask: torch.Tensor, num_frames: int) -> torch.Tensor:
        """Embeddings of left and right at each frame, `[B, T, C]`."""
        if not self.config.use_audio:
            return input_features.new_zeros(len(input_features), num_frames, self.config.hidden_size)
        with gradient_where_needed(self.audio_encoder):
            audio = self.audio_encoder(input_features[:, :num_frames]).embeddings.flatten(2)
        last = audio_mask[:, :num_frames].sum(1, keepdim=True) - 1
        patches = torch.arange(num_frames, device=audio.device).minimum(last)
        return audio.gather(1, patches[..., None].expand(-1, -1, audio.shape[-1]))

    def _conditioning_frame(self, length: int) -> int:
        """The frame of clips of `length` that is segmented without memory where a user names none."""
        return 0 if self.config.conditioning_frame == "first" and not self.fuser.training else length // 2

    def _segment(
        self,
        embedded: list[tuple[torch.Tensor, ...]],
        audio: torch.Tensor,
        read: Sequence[torch.Tensor | None],
        user_prompts: dict[int, UserPrompt | None],
        output_attentions: bool,
    ) -> tuple[MaskPrediction, list[FusedLevel]]:
        """Segment the objects of clips that all have `T` frames, `embedded` one by one, from states and mask of what is
        `read` about them: masks `[n, T, h, w]` with scores, and the levels that prompted them."""
        num_clips, num_frames = audio.shape[:2]
        features = [ImageFeatures(*frame[:3]) for frame in embedded]
        patches = [torch.stack(level, dim=1) for level in zip(*(frame[3:] for frame in embedded), strict=True)]
        # Under autocast the residual streams stay in the weights' precision.
        levels = self.fuser(patches, audio.to(self.dtype), *read, output_attentions)
        clips = torch.arange(num_clips, device=audio.device).repeat_interleave(len(levels[0].frames) // num_clips)
        tracker = EveryFrameTracker(self.sam2, num_frames)
        decode = frame_decoder(
            tracker,
            lambda frame: self._stage_prompts(levels, frame),
            user_prompts,
            as_released=self.config.behavior == "release",
        )
        predictions = dict(
            track_every_frame(
                tracker, lambda frame: features[frame].select(clips), decode, user_prompts, self._checkpointed
            )
        )
        ordered = [predictions[frame] for frame in range(num_frames)]
        return MaskPrediction.join(ordered, partial(torch.stack, dim=1)), levels

    def _stage_prompts(self, levels: list[FusedLevel], frame: int) -> list[StagePrompt]:
        """What the decoder's stages are given on `frame`: as released the deepest level comes first."""
        stages = [StagePrompt(None, None)] * NUM_LEVELS
        for level, fused in zip(self.config.pyramid_levels, levels, strict=True):
            stages[level - 1] = StagePrompt(
                fused.frames[:, frame] if self.config.dense_prompts else None,
                fused.tokens[:, frame] if self.config.sparse_prompts else None,
            )
        return stages[::-1] if self.config.behavior == "release" else stages


__all__ = ["AuralSam2Model", "AuralSam2Output", "AuralSam2PreTrainedModel"]
