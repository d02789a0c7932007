"""What the methods share whose host, SAM or SAM2, is given the sound of each frame: clips in, masks and losses out."""

from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from torch import nn
from transformers import PreTrainedConfig, Sam2VideoConfig, SamModel
from transformers import initialization as init
from transformers.modeling_layers import GradientCheckpointingLayer

from ...losses import mean_terms
from ...modeling.encoders import load_host
from ...modeling.initialization import init_attention, init_linear
from ...modeling.inputs import ClipInputs, embedding_shapes
from ...modeling.outputs import NO_MASK_LOGIT, AudioVisualSegmentationOutput, MaskPrediction
from ..rows import frames_of
from ..sam.adapters_sam import SamAudioAdapters
from ..sam.modeling_sam import SamBackbone
from ..sam2.adapters_sam2 import Sam2AudioAdapters
from ..sam2.modeling_sam2 import Sam2Backbone
from ..sam2.tracking_sam2 import ImageFeatures
from ..sam2.user_prompts import PROMPT_NAMES, UserPrompt, encode_user_prompts
from ..vggish import VggishModel, load_vggish
from ..vggish.base_sound_per_frame import SoundPerFrameModel
from .heard_clips import HeardClips, from_clips, pick, to_clips


class AdaptedSamModel(SoundPerFrameModel):
    """Base of the methods on SAM or SAM2. Sub-classes say in `segment` how clips become masks and in `mask_losses` how
    they learn; their configurations hold `sam_config`, `audio_config`, `train_adapters`, `train_mask_decoder` and,
    where `build_adapters` is the one below, `adapter_size` and `use_adapters`.

    ```python
    class UnpromptedSam(AdaptedSamModel):
        config_class = StBavaConfig
        default_loss_weights = {"bce": 1.0}

        def __init__(self, config):
            super().__init__(config)
            self.freeze()
            self.post_init()

        def segment(self, clips, output_attentions):
            return self.sam.decode(clips.encode_all(self.encode)), {}

        def mask_losses(self, prediction, targets, weights):
            logits = self.scale_masks(prediction.masks, targets.shape[-2:])
            return {"bce": weighted_mean(mask_bce(logits, targets), weights)}
    ```
    """

    input_modalities = ("video", "audio")
    # Whether adapters of the image encoder take the sound.
    adapters_hear: ClassVar[bool] = True
    output_class = AudioVisualSegmentationOutput

    def __init__(self, config: PreTrainedConfig):
        super().__init__(config)
        host = Sam2Backbone if isinstance(config.sam_config, Sam2VideoConfig) else SamBackbone
        self.sam = host(config.sam_config)
        self.audio_encoder = VggishModel(config.audio_config)
        self.adapters = self.build_adapters()

    @property
    def image_size(self) -> int:
        """Edge of the square input."""
        return self.config.sam_config.prompt_encoder_config.image_size

    def build_adapters(self) -> nn.Module | None:
        """What is added to the host; None for nothing."""
        config = self.config
        if not config.use_adapters:
            return None
        return self.sam.audio_adapters(config.audio_config.embedding_size, config.adapter_size)

    @classmethod
    def from_backbones(
        cls, sam: str = "facebook/sam-vit-huge", audio: str | VggishModel | None = None, **config_overrides
    ) -> "AdaptedSamModel":
        """Start training from published encoders.

        Args:
            sam: Hub id or folder of a Transformers SAM checkpoint.
            audio: a VGGish model, or the folder or Hub id of a converted one; an untrained one would hear nothing.
            config_overrides: fields of the method's configuration.

        Raises:
            ValueError: when `audio` is missing, or `sam` is another model.
        """
        parts = {"audio": load_vggish(audio), "sam": load_host("sam", sam, SamModel)}
        return cls._compose(parts, **config_overrides)

    def backbones(self) -> dict[str, nn.Module]:
        return {"sam": self.sam, "audio": self.audio_encoder}

    @property
    def frame_encoder(self) -> nn.Module | None:
        return self.sam.vision_encoder if self.tracking_host is None and self.adapters is None else None

    @property
    def embedding_inputs(self) -> tuple[str, ...]:
        names = ["pixel_values"]
        if self.adapters is not None:
            names += ["audio_embeddings"] if self.adapters_hear else []
            names += ["text_embeddings", "attention_mask"] if self.reads_text else []
        return tuple(names)

    def embed_frames(
        self,
        pixel_values: torch.Tensor,
        audio_embeddings: torch.Tensor | None = None,
        text_embeddings: torch.Tensor | None = None,
        attention_mask: torch.Tensor | None = None,
    ) -> torch.Tensor | tuple[torch.Tensor, ...]:
        if text_embeddings is None:
            return self.encode(pixel_values, audio_embeddings)
        count, words = len(pixel_values), self._encode_text(None, attention_mask, text_embeddings[None])
        frames, objects = frames_of([len(text_embeddings)] * count)
        heard = None if audio_embeddings is None else pick(audio_embeddings, frames)
        embedded = self.encode(pick(pixel_values, frames), heard, *(pick(value, objects) for value in words))
        if torch.is_tensor(embedded):
            return embedded.unflatten(0, (count, -1))
        return tuple(part.unflatten(0, (count, -1)) for part in embedded)

    def tracking_embeddings(
        self, image_embeddings: torch.Tensor | tuple[torch.Tensor, ...]
    ) -> tuple[torch.Tensor, ...] | None:
        return image_embeddings if self.tracking_host is not None and self.adapters is None else None

    def frozen_modules(self) -> list[nn.Module]:
        fixed = self.adapters is not None and not self.config.train_adapters
        return super().frozen_modules() + ([self.adapters] if fixed else [])

    def freeze(self) -> None:
        super().freeze()
        self.sam.mask_decoder.requires_grad_(self.config.train_mask_decoder)

    def train(self, mode: bool = True) -> "AdaptedSamModel":
        super().train(mode)
        if self.config.train_mask_decoder:
            self.sam.mask_decoder.train(mode)
        self._checkpoint_what_learns()
        return self

    def _checkpoint_what_learns(self) -> None:
        super()._checkpoint_what_learns()
        if self.adapters is not None:
            # Gradients go through all blocks. Adapters that are a layer themselves checkpoint the blocks with them.
            alone = not isinstance(self.adapters, GradientCheckpointingLayer)
            for block in self.sam.blocks:
                block.training = self.training and alone

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        if isinstance(module, SamAudioAdapters | Sam2AudioAdapters):
            for linear in module.linears:
                init.trunc_normal_(linear.weight, std=0.02)
                init.zeros_(linear.bias)
        elif isinstance(module, nn.Linear):
            init_linear(module)
        elif isinstance(module, nn.MultiheadAttention):
            init_attention(module)
        else:
            super()._init_weights(module)

    def encode(self, pixel_values: torch.Tensor, audio: torch.Tensor | None, *words: torch.Tensor) -> Any:
        """What the host's decoder reads of frames `[N, 3, S, S]` with sounds `[N, D]`, where adapters hear, and on a
        model that reads the states and mask of the words about them: SAM's embeddings, or SAM2's features."""
        if self.adapters is None:
            return self.sam.encode(pixel_values)
        return self.adapters(self.sam.encode, pixel_values, audio, *words)

    def segment(self, clips: HeardClips, output_attentions: bool) -> tuple[MaskPrediction, dict]:
        """Masks of the real frames, and what else belongs into the output, further fields of `output_class` by name."""
        raise NotImplementedError

    def mask_losses(
        self, prediction: MaskPrediction, targets: torch.Tensor, weights: torch.Tensor
    ) -> dict[str, torch.Tensor]:
        """Loss terms, without their weights, against `targets [N, h, w]` where `weights [N]` is 1."""
        raise NotImplementedError

    def forward(
        self,
        pixel_values: torch.Tensor | None = None,
        input_features: torch.Tensor | None = None,
        input_ids: torch.Tensor | None = None,
        attention_mask: torch.Tensor | None = None,
        frame_mask: torch.Tensor | None = None,
        audio_mask: torch.Tensor | None = None,
        labels: torch.Tensor | None = None,
        label_mask: torch.Tensor | None = None,
        original_sizes: list[tuple[int, int]] | None = None,
        reshaped_input_sizes: torch.Tensor | None = None,
        image_embeddings: torch.Tensor | Sequence[torch.Tensor] | None = None,
        audio_embeddings: torch.Tensor | None = None,
        text_embeddings: torch.Tensor | None = None,
        input_points: torch.Tensor | None = None,
        input_labels: torch.Tensor | None = None,
        input_boxes: torch.Tensor | None = None,
        input_masks: torch.Tensor | None = None,
        prompt_frames: list[int] | None = None,
        output_attentions: bool = False,
    ) -> AudioVisualSegmentationOutput:
        """Segment `B` clips of up to `T` frames, or learn to; for `E` expressions each where the model reads, else one.

        Args:
            pixel_values: `[B, T, 3, S, S]`, frames for the host.
            input_features: `[B, T, 1, 96, 64]`, one log-mel patch of the mono sound for each frame.
            input_ids: `[B, E, P]`, or `[B, P]` for one expression per clip; refused where the model does not read. As
                the expression changes what the encoder sees, each costs an encoding of the clip.
            attention_mask: as `input_ids`, 1 for real tokens; all real when None.
            frame_mask: bool `[B, T]`, True for real frames, which come first; all real when None.
            audio_mask: bool `[B, T]`, not used: every frame has its patch.
            labels: `[B, E, T, h, w]` or `[B, T, h, w]`, masks of 0 and 1 at any one size; of a model that does not
                read any number `E`, and the loss is the mean over them.
            label_mask: bool `[B, T]`, True for frames that carry a label; all real frames when None.
            original_sizes: not used, it is for the way back; processors hand it out.
            reshaped_input_sizes: long `[B, T, 2]`, height and width that each frame has in `pixel_values`, from
                processors that pad it (GAVS' on SAM): masks then cover the frame, and not the padding.
            image_embeddings: in place of `pixel_values` what `embed_frames` makes of them: SAM's `[B, T, C, e, e]`, or
                SAM2's three tensors `[B, T, ...]`; with an axis `E` after `T` on a model that reads.
            audio_embeddings: `[B, T, D]` in place of `input_features`: VGGish's embeddings, made before.
            text_embeddings: `[B, E, P, D]` in place of `input_ids` what `embed_text` makes of them.
            input_points: `[B, E, n, 2]` (x, y) in pixels of `pixel_values`, or `[B, E, F, n, 2]` for `F` frames; this
                and a user's other prompts where the model `takes_points`. Frames with prompts are segmented first and
                without memory, in place of the conditioning frame.
            input_labels: `[B, E, n]` or `[B, E, F, n]`: 1 on the object, 0 off it, 2 and 3 for two corners of a
                box, -1 for padding.
            input_boxes: `[B, E, 4]` or `[B, E, F, 4]`, (x1, y1, x2, y2) in pixels of `pixel_values`.
            input_masks: `[B, E, h, w]` or `[B, E, F, h, w]`, mask logits such as `pred_masks` of an earlier call; NaN
                alone where there is no mask of an object on a frame.
            prompt_frames: the `F` frames of these prompts; the conditioning frame when None.
            output_attentions: return attention maps, where the method has them.

        Returns:
            [`AudioVisualSegmentationOutput`]; masks are -1024 on padding frames, and not gated by SAM2's object score.

        Raises:
            ValueError: when an input is missing or given twice, or when shapes do not fit together.
        """
        given = self.prepare(
            pixel_values,
            image_embeddings,
            input_features,
            audio_embeddings,
            input_ids,
            text_embeddings,
            frame_mask,
            audio_mask,
            labels,
            label_mask,
        )
        words = self._encode_text(given.input_ids, attention_mask, text_embeddings)
        audio = self.embed_audio(input_features) if audio_embeddings is None else audio_embeddings.to(self.dtype)
        images = image_embeddings.to(self.dtype) if torch.is_tensor(image_embeddings) else image_embeddings
        shown = self._encode_user_prompts(given, prompt_frames, input_points, input_labels, input_boxes, input_masks)
        clips = HeardClips(given, pixel_values, images, audio, words, shown, prompt_frames)
        prediction, extra = self.segment(clips, output_attentions)
        prediction = self._fit_to_frames(prediction, clips.real, reshaped_input_sizes)
        return self._output(prediction, clips.real, given, extra)

    def _fit_to_frames(
        self, prediction: MaskPrediction, real: torch.Tensor, reshaped_input_sizes: torch.Tensor | None
    ) -> MaskPrediction:
        """Masks that cover the frames and nothing else; they do where frames fill the host's input. Of the frames of
        all objects, `real`, bool `[B, E, T]`, have one."""
        if reshaped_input_sizes is not None:
            raise ValueError("reshaped_input_sizes: this method was made for frames that fill the square; leave it out")
        return prediction

    def _encode_text(
        self,
        input_ids: torch.Tensor | None,
        attention_mask: torch.Tensor | None,
        text_embeddings: torch.Tensor | None = None,
    ) -> tuple[torch.Tensor, ...]:
        """States and mask of the words about each object; none on a model that does not read."""
        return ()

    def _encode_user_prompts(
        self, given: ClipInputs, prompt_frames: Sequence[int] | None, *prompts: torch.Tensor | None
    ) -> list[UserPrompt]:
        """What a user shows of each object, for each prompted frame."""
        named = dict(zip((*PROMPT_NAMES, "prompt_frames"), (*prompts, prompt_frames), strict=True))
        shown = [name for name, value in named.items() if value is not None]
        if shown and not self.takes_points:
            raise ValueError(f"{shown[0]}: {type(self).__name__} takes no prompts of a user on this host")
        return encode_user_prompts(self.sam.prompt_encoder, given.batch[:2], *prompts)

    def _output(
        self,
        prediction: MaskPrediction,
        real: torch.Tensor,
        given: ClipInputs,
        extra: dict,
    ) -> AudioVisualSegmentationOutput:
        """What `forward` returns, from the masks of the frames that are `real`, bool `[B, E, T]`."""
        losses = {}
        if given.labels is not None:
            precise = torch.promote_types(prediction.masks.dtype, torch.float32)
            values = prediction.map(lambda value: value.to(precise) if value.is_floating_point() else value)
            labeled = given.labeled[:, None].expand_as(real)
            weights = from_clips(labeled, real, len(values.masks)).to(precise)
            targets = (from_clips(truth, real, len(values.masks)).to(precise) for truth in given.truths)
            losses = mean_terms([self.mask_losses(values, each, weights) for each in targets])
        iou_scores, object_score_logits = prediction.iou_scores, prediction.object_score_logits
        return self.output_class(
            **self.loss_fields(self.weigh(losses)),
            pred_masks=to_clips(prediction.masks, real, NO_MASK_LOGIT),
            iou_scores=None if iou_scores is None else to_clips(iou_scores, real),
            object_score_logits=None
            if object_score_logits is None
            else to_clips(object_score_logits, real, NO_MASK_LOGIT),
            **extra,
        )

    def scale_masks(self, masks: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
        """As the base class, by way of the input's size, as the releases do."""
        return super().scale_masks(super().scale_masks(masks, (self.image_size, self.image_size)), size)

    def frame_inputs(
        self,
        pixel_values: torch.Tensor | None,
        image_embeddings: torch.Tensor | Sequence[torch.Tensor] | None,
        class_labels: torch.Tensor | None,
    ) -> dict[str, tuple[torch.Tensor | None, tuple[int | str, ...]]]:
        size = self.image_size
        return {"pixel_values": (pixel_values, (3, size, size)), **self._embedding_shapes(image_embeddings)}

    def _embedding_shapes(
        self, image_embeddings: torch.Tensor | Sequence[torch.Tensor] | None
    ) -> dict[str, tuple[torch.Tensor, tuple[int | str, ...]]]:
        """For `prepare_clips` what was made of the frames before, with its axes."""
        if image_embeddings is None:
            return {}
        said = ("expressions",) if self.reads_text else ()
        if self.tracking_host is not None:
            if torch.is_tensor(image_embeddings):
                raise ValueError("image_embeddings: a model on SAM2 takes three tensors, see embed_frames; got one")
            return embedding_shapes(image_embeddings, *((*said, *axes) for axes in ImageFeatures.shapes(self.sam)))
        prompts = self.config.sam_config.prompt_encoder_config
        edge = self.image_size // prompts.patch_size
        return {"image_embeddings": (image_embeddings, (*said, prompts.hidden_size, edge, edge))}


__all__ = ["AdaptedSamModel"]
