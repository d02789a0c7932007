"""What the methods on SAM share: encode clips with sound, read their masks, learn from labels."""

from typing import NamedTuple

import torch
from torch import nn
from transformers import PreTrainedConfig, PreTrainedModel, SamModel
from transformers import initialization as init

from ...modeling.base import AudioVisualPreTrainedModel
from ...modeling.encoders import gradient_where_needed, load_host
from ...modeling.initialization import init_attention, init_linear
from ...modeling.inputs import ClipInputs, check_given, check_text, prepare_clips, real_lengths
from ...modeling.outputs import NO_MASK_LOGIT, AudioVisualSegmentationOutput
from ..vggish import VggishModel, load_vggish
from .adapters_sam import SamAudioAdapters, encode_frames


class SamBackbone(SamModel):
    """Transformers' SAM, whose position code starts with SAM's own deviation, 1."""

    @classmethod
    def is_custom_code(cls) -> bool:
        """No, see `AudioVisualPreTrainedModel.is_custom_code`."""
        return False

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        super()._init_weights(module)
        if module is self:  # Transformers draws with half the encoder's width
            init.normal_(self.shared_image_embedding.positional_embedding)


class FramePrediction(NamedTuple):
    """Masks of `N` frames: the one to use `[N, h, w]`, its predicted IoU `[N]` where that means something, all
    candidates of the decoder `[N, K, h, w]`, their predicted IoU `[N, K]` and, on SAM2, the object scores `[N]`."""

    masks: torch.Tensor
    iou_scores: torch.Tensor | None
    candidates: torch.Tensor
    candidate_scores: torch.Tensor
    object_score_logits: torch.Tensor | None = None


class SamClipModel(AudioVisualPreTrainedModel):
    """Base of the methods on SAM. Sub-classes say in `segment` how frames become masks and in `mask_losses` how they
    learn; their configurations hold `sam_config`, `audio_config`, `train_adapters`, `train_mask_decoder` and, where
    `_build_adapters` is the one below, `adapter_size` and `use_adapters`.

    ```python
    class UnpromptedSam(SamClipModel):
        config_class = StBavaConfig
        default_loss_weights = {"bce": 1.0}

        def __init__(self, config):
            super().__init__(config)
            self.freeze()
            self.post_init()

        def segment(self, images, audio, frame_mask, output_attentions):
            sparse, dense = self.sam.prompt_encoder(None, None, None, None)
            code = self.sam.get_image_wide_positional_embeddings()
            masks, scores = self.sam.mask_decoder(images, code, sparse, dense, multimask_output=False)
            return FramePrediction(masks[:, 0, 0], scores[:, 0, 0], masks[:, 0], scores[:, 0]), {}

        def mask_losses(self, prediction, targets, weights):
            logits = self.scale_masks(prediction.masks, targets.shape[-2:])
            return {"bce": weighted_mean(mask_bce(logits, targets), weights)}
    ```
    """

    input_modalities = ("video", "audio")
    output_class = AudioVisualSegmentationOutput

    def __init__(self, config: PreTrainedConfig):
        super().__init__(config)
        self.sam = self._build_host()
        self.audio_encoder = VggishModel(config.audio_config)
        self.adapters = self._build_adapters()

    @property
    def image_size(self) -> int:
        """Edge of the square input."""
        return self.config.sam_config.prompt_encoder_config.image_size

    def _build_host(self) -> PreTrainedModel:
        return SamBackbone(self.config.sam_config)

    def _build_adapters(self) -> nn.Module | None:
        config, vision = self.config, self.config.sam_config.vision_config
        if not config.use_adapters:
            return None
        return SamAudioAdapters(
            vision.num_hidden_layers, config.audio_config.embedding_size, config.adapter_size, vision.hidden_size
        )

    @classmethod
    def from_backbones(
        cls, sam: str = "facebook/sam-vit-huge", audio: str | VggishModel | None = None, **config_overrides
    ) -> "SamClipModel":
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
        return self.sam.vision_encoder if isinstance(self.sam, SamModel) and self.adapters is None else None

    def embed_frames(self, pixel_values: torch.Tensor) -> torch.Tensor:
        return encode_frames(self.sam.vision_encoder, pixel_values)

    def frozen_modules(self) -> list[nn.Module]:
        fixed = self.adapters is not None and not self.config.train_adapters
        return [*self.backbones().values(), *([self.adapters] if fixed else [])]

    def freeze(self) -> None:
        super().freeze()
        self.sam.mask_decoder.requires_grad_(self.config.train_mask_decoder)

    def train(self, mode: bool = True) -> "SamClipModel":
        super().train(mode)
        self.sam.mask_decoder.train(mode and self.config.train_mask_decoder)
        if isinstance(self.adapters, SamAudioAdapters):
            # Blocks without dropout behave the same either way, but only those in training mode checkpoint gradients.
            self.sam.vision_encoder.layers.train(mode)
        return self

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        if isinstance(module, SamAudioAdapters):
            for linear in (*module.audio_layers, module.shared):
                init.trunc_normal_(linear.weight, std=0.02)
                init.zeros_(linear.bias)
        elif isinstance(module, nn.Linear):
            init_linear(module)
        elif isinstance(module, nn.MultiheadAttention):
            init_attention(module)
        else:
            super()._init_weights(module)

    def segment(
        self, images: torch.Tensor, audio: torch.Tensor, frame_mask: torch.Tensor, output_attentions: bool
    ) -> tuple[FramePrediction, dict]:
        """Masks of the `N` real frames of `B` clips, and what else belongs into the output.

        Args:
            images: `[N, C, e, e]`, image embeddings of the real frames.
            audio: `[B, T, D]`, audio embeddings of all frames.
            frame_mask: bool `[B, T]` with `N` true entries.
            output_attentions: whether attention maps are asked for.

        Returns:
            Masks `[N, h, w]` and scores of the real frames, and further fields of `output_class` by name.
        """
        raise NotImplementedError

    def mask_losses(
        self, prediction: FramePrediction, targets: torch.Tensor, weights: torch.Tensor
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
        output_attentions: bool = False,
    ) -> AudioVisualSegmentationOutput:
        """Segment `B` clips of up to `T` frames, or learn to.

        Args:
            pixel_values: `[B, T, 3, S, S]`, frames for SAM.
            input_features: `[B, T, 1, 96, 64]`, one log-mel patch of the mono sound for each frame.
            input_ids, attention_mask: refused, the method reads no text.
            frame_mask: bool `[B, T]`, True for real frames, which come first; all real when None.
            audio_mask: bool `[B, T]`, not used: every frame has its patch.
            labels: `[B, T, h, w]` or `[B, 1, T, h, w]`, masks of 0 and 1 at any one size.
            label_mask: bool `[B, T]`, True for frames that carry a label; all real frames when None.
            original_sizes: not used, it is for the way back; processors hand it out.
            reshaped_input_sizes: long `[B, T, 2]`, height and width that each frame has in `pixel_values`, from
                processors that pad it (GAVS'): masks then cover the frame, and not the padding.
            image_embeddings: `[B, T, C, e, e]` in place of `pixel_values`: SAM's embeddings, made before.
            audio_embeddings: `[B, T, D]` in place of `input_features`: VGGish's embeddings, made before.
            output_attentions: return attention maps, where the method has them.

        Returns:
            [`AudioVisualSegmentationOutput`] with `E = 1`; masks are -1024 on padding frames.

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
        audio, frame_mask = self._encode_audio(input_features, audio_embeddings, given.frame_mask)
        if image_embeddings is None:
            images = self._encode_images(pixel_values[frame_mask], audio[frame_mask])
        else:
            images = image_embeddings[frame_mask]
        prediction, extra = self.segment(images, audio, frame_mask, output_attentions)
        prediction = self._fit_to_frames(prediction, frame_mask, reshaped_input_sizes)
        return self._output(prediction, frame_mask[:, None], given, extra)

    def _fit_to_frames(
        self, prediction: FramePrediction, frame_mask: torch.Tensor, reshaped_input_sizes: torch.Tensor | None
    ) -> FramePrediction:
        """Masks that cover the frames and nothing else; they do where frames fill SAM's input."""
        if reshaped_input_sizes is not None:
            raise ValueError("reshaped_input_sizes: this method was made for frames that fill the square; leave it out")
        return prediction

    def _encode_audio(
        self,
        input_features: torch.Tensor | None,
        audio_embeddings: torch.Tensor | None,
        frame_mask: torch.Tensor | None,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Embeddings `[B, T, D]` of the sound, made here unless given, and the mask of real frames `[B, T]`."""
        if audio_embeddings is None:
            with gradient_where_needed(self.audio_encoder):
                audio_embeddings = self.audio_encoder(input_features).embeddings.squeeze(2)
        if frame_mask is None:
            frame_mask = torch.ones(audio_embeddings.shape[:2], dtype=torch.bool, device=audio_embeddings.device)
        return audio_embeddings, frame_mask

    def _output(
        self,
        prediction: FramePrediction,
        real: torch.Tensor,
        given: ClipInputs,
        extra: dict,
    ) -> AudioVisualSegmentationOutput:
        """What `forward` returns, from the masks of the frames that are `real`, bool `[B, E, T]`."""
        losses = {}
        if given.labels is not None:
            precise = torch.promote_types(prediction.masks.dtype, torch.float32)
            values = FramePrediction(*(None if value is None else value.to(precise) for value in prediction))
            labeled = given.labeled[:, None].expand_as(real)
            losses = self.mask_losses(values, given.labels[real].to(precise), labeled[real].to(precise))
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

    def _encode_images(self, pixel_values: torch.Tensor, audio: torch.Tensor) -> torch.Tensor:
        """Embeddings `[N, C, e, e]` of frames `[N, 3, S, S]` with their sounds `[N, D]`."""
        return encode_frames(
            self.sam.vision_encoder, pixel_values, None if self.adapters is None else self.adapters(audio)
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
        given = prepare_clips(frames, sounds, input_ids, frame_mask, audio_mask, labels, label_mask)
        if frame_mask is not None:
            real_lengths("frame_mask", frame_mask.tolist())
        return given


def to_clips(values: torch.Tensor, frame_mask: torch.Tensor, fill: float = 0.0) -> torch.Tensor:
    """Values `[N, ...]` of the real frames as `[B, T, ...]`, with `fill` on padding frames; or any other axes that
    `frame_mask` has."""
    clips = values.new_full((*frame_mask.shape, *values.shape[1:]), fill)
    clips[frame_mask] = values
    return clips


__all__ = ["FramePrediction", "SamBackbone", "SamClipModel", "to_clips"]
