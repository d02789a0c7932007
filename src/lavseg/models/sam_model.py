"""What the methods on SAM share: encode clips with sound, read their masks, learn from labels."""

import math
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import nn
from transformers import PreTrainedConfig, SamModel
from transformers import initialization as init

from .backbones import load_vggish
from .base import AudioVisualPreTrainedModel
from .outputs import AudioVisualSegmentationOutput
from .sam_adapters import SamAudioAdapters, encode_frames
from .vggish import VggishModel

# Logit of the masks on padding frames.
NO_MASK_LOGIT = -1024.0


class FramePrediction(NamedTuple):
    """Masks of `N` frames: the one to use `[N, h, w]`, its predicted IoU `[N]` where that means something, all that
    the decoder offered `[N, K, h, w]` and their predicted IoU `[N, K]`."""

    masks: torch.Tensor
    iou_scores: torch.Tensor | None
    candidates: torch.Tensor
    candidate_scores: torch.Tensor


def scale_masks(logits: torch.Tensor, image_size: int, size: tuple[int, int]) -> torch.Tensor:
    """Bring mask logits `[N, h, w]` to SAM's input size, then to `size`, as the releases do: `[N, *size]`."""
    logits = F.interpolate(logits[:, None], (image_size, image_size), mode="bilinear")
    return F.interpolate(logits, size, mode="bilinear")[:, 0]


class SamClipModel(AudioVisualPreTrainedModel):
    """Base of the methods on SAM. Sub-classes say in `segment` how frames become masks and in `mask_losses` how they
    learn; their configurations hold `sam_config`, `audio_config`, `adapter_size`, `use_adapters`, `train_adapters` and
    `train_mask_decoder`."""

    input_modalities = ("video", "audio")
    _supports_flash_attn = False
    _supports_attention_backend = False
    _no_split_modules = ["SamVisionLayer"]
    output_class = AudioVisualSegmentationOutput

    def __init__(self, config: PreTrainedConfig):
        super().__init__(config)
        vision = config.sam_config.vision_config
        self.sam = SamModel(config.sam_config)
        self.audio_encoder = VggishModel(config.audio_config)
        self.adapters = None
        if config.use_adapters:
            self.adapters = SamAudioAdapters(
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
            ValueError: when `audio` is missing.
        """
        parts = {
            "audio": load_vggish(audio),
            "sam": SamModel.from_pretrained(sam),
        }
        return cls._compose(parts, **config_overrides)

    def backbones(self) -> dict[str, nn.Module]:
        return {"sam": self.sam, "audio": self.audio_encoder}

    def frozen_modules(self) -> list[nn.Module]:
        sam = self.sam
        frozen = [sam.vision_encoder, sam.prompt_encoder, sam.shared_image_embedding, self.audio_encoder]
        if not self.config.train_mask_decoder:
            frozen.append(sam.mask_decoder)
        if self.adapters is not None and not self.config.train_adapters:
            frozen.append(self.adapters)
        return frozen

    def train(self, mode: bool = True) -> "SamClipModel":
        super().train(mode)
        # Blocks without dropout behave the same either way, but only those in training mode checkpoint gradients.
        self.sam.vision_encoder.layers.train(mode and self.adapters is not None)
        return self

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        if isinstance(module, SamAudioAdapters):
            for linear in (*module.audio_layers, module.shared):
                init.trunc_normal_(linear.weight, std=0.02)
                init.zeros_(linear.bias)
        elif isinstance(module, nn.Linear):
            init.kaiming_uniform_(module.weight, a=math.sqrt(5))
            if module.bias is not None:
                init.uniform_(module.bias, -1 / math.sqrt(module.in_features), 1 / math.sqrt(module.in_features))
        elif isinstance(module, SamClipModel):
            # SAM's own deviation; Transformers draws with half the encoder's width.
            init.normal_(module.sam.shared_image_embedding.positional_embedding)
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
        """
        raise NotImplementedError

    def mask_losses(
        self, prediction: FramePrediction, targets: torch.Tensor, weights: torch.Tensor
    ) -> dict[str, torch.Tensor]:
        """Weighted loss terms against `targets [N, h, w]`, of the frames where `weights [N]` is 1."""
        raise NotImplementedError

    def forward(
        self,
        pixel_values: torch.Tensor | None = None,
        input_features: torch.Tensor | None = None,
        frame_mask: torch.Tensor | None = None,
        audio_mask: torch.Tensor | None = None,
        labels: torch.Tensor | None = None,
        label_mask: torch.Tensor | None = None,
        original_sizes: list[tuple[int, int]] | None = None,
        image_embeddings: torch.Tensor | None = None,
        audio_embeddings: torch.Tensor | None = None,
        output_attentions: bool = False,
    ) -> AudioVisualSegmentationOutput:
        """Segment `B` clips of up to `T` frames, or learn to.

        Args:
            pixel_values: `[B, T, 3, S, S]`, frames for SAM.
            input_features: `[B, T, 1, 96, 64]`, one log-mel patch of the mono sound a frame.
            frame_mask: bool `[B, T]`, True for real frames; all real when None.
            audio_mask: not used, every frame has its patch; processors hand it out.
            labels: `[B, T, h, w]` or `[B, 1, T, h, w]`, masks of 0 and 1 at any one size.
            label_mask: bool `[B, T]`, True for frames that carry a label; all real frames when None.
            original_sizes: not used here; processors hand it out for `post_process_masks`.
            image_embeddings: `[B, T, C, e, e]` in place of `pixel_values`: SAM's embeddings, made before.
            audio_embeddings: `[B, T, D]` in place of `input_features`: VGGish's embeddings, made before.
            output_attentions: return attention maps, where the method has them.

        Returns:
            [`AudioVisualSegmentationOutput`] with `E = 1`; masks are -1024 on padding frames.

        Raises:
            ValueError: when an input is missing or given twice, or when shapes do not fit together.
        """
        if labels is not None and labels.dim() == 4:
            labels = labels[:, None]
        self._check_inputs(pixel_values, image_embeddings, input_features, audio_embeddings, frame_mask, labels)
        audio = self._encode_audio(input_features) if audio_embeddings is None else audio_embeddings
        if frame_mask is None:
            frame_mask = torch.ones(audio.shape[:2], dtype=torch.bool, device=audio.device)
        if image_embeddings is None:
            images = self._encode_images(pixel_values[frame_mask], audio[frame_mask])
        else:
            images = image_embeddings[frame_mask]
        prediction, extra = self.segment(images, audio, frame_mask, output_attentions)

        losses = {}
        if labels is not None:
            targets = labels[:, 0][frame_mask].to(prediction.masks.dtype)
            labeled = frame_mask if label_mask is None else label_mask & frame_mask
            losses = self.mask_losses(prediction, targets, labeled[frame_mask].to(targets.dtype))
        scores = prediction.iou_scores
        return self.output_class(
            loss=sum(losses.values()) if losses else None,
            losses={name: value.detach() for name, value in losses.items()} if losses else None,
            pred_masks=to_clips(prediction.masks, frame_mask, NO_MASK_LOGIT)[:, None],
            iou_scores=None if scores is None else to_clips(scores, frame_mask)[:, None],
            **extra,
        )

    @torch.no_grad()
    def _encode_audio(self, input_features: torch.Tensor) -> torch.Tensor:
        return self.audio_encoder(input_features).embeddings.squeeze(2)

    def _encode_images(self, pixel_values: torch.Tensor, audio: torch.Tensor) -> torch.Tensor:
        """Embeddings `[N, C, e, e]` of frames `[N, 3, S, S]` with their sounds `[N, D]`."""
        return encode_frames(
            self.sam.vision_encoder, pixel_values, None if self.adapters is None else self.adapters(audio)
        )

    def scale_to(self, logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """Mask logits `[N, h, w]` at the size of `targets [N, H, W]`."""
        return scale_masks(logits, self.config.sam_config.vision_config.image_size, targets.shape[-2:])

    def _check_inputs(
        self,
        pixel_values: torch.Tensor | None,
        image_embeddings: torch.Tensor | None,
        input_features: torch.Tensor | None,
        audio_embeddings: torch.Tensor | None,
        frame_mask: torch.Tensor | None,
        labels: torch.Tensor | None,
    ) -> None:
        if (pixel_values is None) == (image_embeddings is None):
            raise ValueError("pixel_values: pass the frames [clips, frames, 3, S, S], or else image_embeddings")
        if (input_features is None) == (audio_embeddings is None):
            raise ValueError("input_features: pass the sound [clips, frames, 1, 96, 64], or else audio_embeddings")
        vision, audio_size = self.config.sam_config.vision_config, self.config.audio_config.embedding_size
        edge = vision.image_size // vision.patch_size
        clips = (image_embeddings if pixel_values is None else pixel_values).shape[:2]
        expected = {
            "pixel_values": (pixel_values, (*clips, 3, vision.image_size, vision.image_size)),
            "image_embeddings": (image_embeddings, (*clips, vision.output_channels, edge, edge)),
            "input_features": (input_features, (*clips, 1, 96, 64)),
            "audio_embeddings": (audio_embeddings, (*clips, audio_size)),
            "frame_mask": (frame_mask, tuple(clips)),
        }
        if labels is not None:
            expected["labels"] = (labels, (clips[0], 1, clips[1], *labels.shape[-2:]))
        for name, (given, wanted) in expected.items():
            if given is not None and tuple(given.shape) != wanted:
                raise ValueError(
                    f"{name}: has to be {list(wanted)} for {clips[0]} clips of {clips[1]} frames, "
                    f"got {list(given.shape)}"
                )
        if frame_mask is not None and not frame_mask.any(1).all():
            raise ValueError("frame_mask: every clip needs at least one real frame")


def to_clips(values: torch.Tensor, frame_mask: torch.Tensor, fill: float = 0.0) -> torch.Tensor:
    """Values `[N, ...]` of the real frames as `[B, T, ...]`, with `fill` on padding frames."""
    clips = values.new_full((*frame_mask.shape, *values.shape[1:]), fill)
    clips[frame_mask] = values
    return clips
