"""What the methods share whose host, SAM or SAM2, is given the sound of each frame: clips in, masks and losses out."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn
from transformers import PreTrainedConfig, Sam2VideoConfig, SamModel
from transformers import initialization as init
from transformers.modeling_layers import GradientCheckpointingLayer

from ...modeling.base import AudioVisualPreTrainedModel
from ...modeling.encoders import gradient_where_needed, load_host
from ...modeling.initialization import init_attention, init_linear
from ...modeling.inputs import ClipInputs, check_given, check_text, prepare_clips
from ...modeling.outputs import NO_MASK_LOGIT, AudioVisualSegmentationOutput, MaskPrediction
from ..rows import as_index, frames_of, true_places
from ..sam.adapters_sam import SamAudioAdapters
from ..sam.modeling_sam import SamBackbone
from ..sam2.adapters_sam2 import Sam2AudioAdapters
from ..sam2.modeling_sam2 import Sam2Backbone
from ..sam2.user_prompts import PROMPT_NAMES, UserPrompt, encode_user_prompts
from ..vggish import VggishModel, load_vggish


@dataclass(frozen=True, eq=False)
class HeardClips:
    """`B` clips of up to `T` frames with their sounds, in each of which `E` objects are asked for.

    given: what else was given with them.
    frames: `[B, T, 3, S, S]`, or None where `embeddings [B, T, C, e, e]`, made of them before, take their place.
    audio: `[B, T, D]`.
    words: states `[B E, P, D]` of the sentences and which tokens are real, bool `[B E, P]`; empty without text.
    user_prompts: what a user shows of the `B E` objects, for each of the `prompt_frames`; empty for nothing.
    """

    given: ClipInputs
    frames: torch.Tensor | None
    embeddings: torch.Tensor | None
    audio: torch.Tensor
    words: tuple[torch.Tensor, ...]
    user_prompts: list[UserPrompt] = field(default_factory=list)
    prompt_frames: Sequence[int] | None = None

    @property
    def real(self) -> torch.Tensor:
        """Which frames are no padding, bool `[B, E, T]`."""
        return self.given.frame_mask[:, None].expand(self.given.batch)

    @property
    def lengths(self) -> list[int]:
        """How many real frames there are for each of the `B E` objects."""
        return [length for length in self.given.lengths for _ in range(self.given.batch[1])]

    def encode(self, encode: Callable, objects: Sequence[int], frames: Sequence[int]) -> Any:
        """What `encode` makes of some frames, their sounds and the words about the `objects` looked for on them."""
        clips = self._clips(objects)
        if self.embeddings is not None:
            return _pick(self.embeddings, clips, frames)
        return encode(_pick(self.frames, clips, frames), *self._said(objects, frames))

    def encode_all(self, encode: Callable) -> Any:
        """What `encode` makes of all real frames, which for a method that reads there are for each object."""
        return self.encode(encode, *frames_of(self.lengths))

    def decode(self, decode: Callable, objects: Sequence[int], frames: Sequence[int], run: Callable) -> MaskPrediction:
        """What `decode` makes of the sounds of some frames and the words about the `objects` looked for on them."""
        return decode(run, *self._said(objects, frames))

    def _said(self, objects: Sequence[int], frames: Sequence[int]) -> list[torch.Tensor]:
        return [_pick(self.audio, self._clips(objects), frames), *(_pick(value, objects) for value in self.words)]

    def _clips(self, objects: Sequence[int]) -> list[int]:
        return [number // self.given.batch[1] for number in objects]


def _pick(values: torch.Tensor, *places: Sequence[int]) -> torch.Tensor:
    return values[tuple(as_index(numbers, values.device) for numbers in places)]


class AdaptedSamModel(AudioVisualPreTrainedModel):
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

    def embed_frames(self, pixel_values: torch.Tensor) -> torch.Tensor:
        return self.sam.encode(pixel_values)

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

    def encode(self, pixel_values: torch.Tensor, audio: torch.Tensor, *words: torch.Tensor) -> Any:
        """What the host's decoder reads of frames `[N, 3, S, S]` with sounds `[N, D]` and, on a model that reads, the
        states and mask of the words about them: SAM's embeddings, or SAM2's maps."""
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
        image_embeddings: torch.Tensor | None = None,
        audio_embeddings: torch.Tensor | None = None,
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
            labels: `[B, E, T, h, w]` or `[B, T, h, w]`, masks of 0 and 1 at any one size.
            label_mask: bool `[B, T]`, True for frames that carry a label; all real frames when None.
            original_sizes: not used, it is for the way back; processors hand it out.
            reshaped_input_sizes: long `[B, T, 2]`, height and width that each frame has in `pixel_values`, from
                processors that pad it (GAVS' on SAM): masks then cover the frame, and not the padding.
            image_embeddings: `[B, T, C, e, e]` in place of `pixel_values`: SAM's embeddings, made before. SAM only.
            audio_embeddings: `[B, T, D]` in place of `input_features`: VGGish's embeddings, made before.
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
        given = self._prepare(
            pixel_values,
            image_embeddings,
            input_features,
            audio_embeddings,
            input_ids,
            frame_mask,
            audio_mask,
            labels,
            label_mask,
        )
        words = self._encode_text(given.input_ids, attention_mask)
        audio = self._encode_audio(input_features) if audio_embeddings is None else audio_embeddings.to(self.dtype)
        images = None if image_embeddings is None else image_embeddings.to(self.dtype)
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

    def _encode_audio(self, input_features: torch.Tensor) -> torch.Tensor:
        with gradient_where_needed(self.audio_encoder):
            return self.audio_encoder(input_features).embeddings.squeeze(2)

    def _encode_text(
        self, input_ids: torch.Tensor | None, attention_mask: torch.Tensor | None
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
            targets, weights = (from_clips(each, real, len(values.masks)) for each in (given.labels, labeled))
            losses = self.mask_losses(values, targets.to(precise), weights.to(precise))
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

    def _prepare(
        self,
        pixel_values: torch.Tensor | None,
        image_embeddings: torch.Tensor | None,
        input_features: torch.Tensor | None,
        audio_embeddings: torch.Tensor | None,
        input_ids: torch.Tensor | None,
        frame_mask: torch.Tensor | None,
        audio_mask: torch.Tensor | None,
        labels: torch.Tensor | None,
        label_mask: torch.Tensor | None,
    ) -> ClipInputs:
        if image_embeddings is not None and self.tracking_host is not None:
            raise ValueError("image_embeddings: only models on SAM take them; pass pixel_values")
        check_given("pixel_values", pixel_values, "image_embeddings", image_embeddings)
        check_given("input_features", input_features, "audio_embeddings", audio_embeddings)
        check_text("input_ids", type(self).__name__, input_ids, self.reads_text)
        prompts, size = self.config.sam_config.prompt_encoder_config, self.image_size
        edge = size // prompts.patch_size
        frames = {
            "pixel_values": (pixel_values, (3, size, size)),
            "image_embeddings": (image_embeddings, (prompts.hidden_size, edge, edge)),
        }
        length = (image_embeddings if pixel_values is None else pixel_values).shape[1]
        sounds = {
            "input_features": (input_features, (length, 1, 96, 64)),
            "audio_embeddings": (audio_embeddings, (length, self.config.audio_config.embedding_size)),
        }
        return prepare_clips(frames, sounds, input_ids, frame_mask, audio_mask, labels, label_mask)


def to_clips(values: torch.Tensor, frame_mask: torch.Tensor, fill: float = 0.0) -> torch.Tensor:
    """Values `[N, ...]` of the real frames as `[B, T, ...]`, with `fill` on padding frames; or any other axes that
    `frame_mask` has."""
    clips = values.new_full((frame_mask.numel(), *values.shape[1:]), fill)
    clips[true_places(frame_mask, len(values))] = values
    return clips.unflatten(0, frame_mask.shape)


def from_clips(values: torch.Tensor, frame_mask: torch.Tensor, count: int) -> torch.Tensor:
    """Values `[N, ...]` of the `count` real frames out of `[B, T, ...]`, or any other axes that `frame_mask` has: what
    indexing with the mask gives, which would wait for the device."""
    return values.flatten(0, frame_mask.dim() - 1)[true_places(frame_mask, count)]


__all__ = ["AdaptedSamModel", "HeardClips", "from_clips", "to_clips"]
