"""GAVS: the sound of each frame prompts SAM, whose encoder and decoder carry adapters (Wang et al., AAAI 2024)."""

from contextlib import AbstractContextManager

import torch
import torch.nn.functional as F
from torch import nn

from ...backbones.adapted_sam.modeling_adapted_sam import AdapterClipModel
from ...backbones.sam.modeling_sam import FramePrediction
from ...backbones.vggish import VggishModel
from ...losses import mask_bce, weighted_mean
from .adapters_gavs import GavsAdapters
from .configuration_gavs import GavsConfig


def cut_padding(
    logits: torch.Tensor, original_sizes: list[tuple[int, int]], clips: torch.Tensor, image_size: int
) -> torch.Tensor:
    """Stretch the part of mask logits that lies over the frame to the whole map.

    The release brings the map to the input's size before it cuts; this differs from it by what one more bilinear
    resampling does (0.02 % of the pixels of masks at most, none for square frames).

    Args:
        logits: `[N, K, h, w]`, over frames whose longer edge was brought to `image_size` and which were padded below or
            on the right to a square.
        original_sizes: `(height, width)` of each clip's frames before that; clips: long `[N]`, the clip of each frame.

    Returns:
        `[N, K, h, w]`, which cover the frames as a square resize would.
    """
    shares = []
    for height, width in original_sizes:
        scale = image_size / max(height, width)
        shares.append([int(width * scale + 0.5) / image_size, int(height * scale + 0.5) / image_size])
    shares = torch.tensor(shares, dtype=torch.float32, device=logits.device)[clips]
    # From output to input coordinates, both from -1 to 1: x -> share x + (share - 1).
    theta = torch.cat([torch.diag_embed(shares), (shares - 1)[..., None]], dim=-1)
    grid = F.affine_grid(theta, list(logits.shape), align_corners=False)
    return F.grid_sample(logits.float(), grid, padding_mode="border", align_corners=False).to(logits.dtype)


class GavsPreTrainedModel(AdapterClipModel):
    """What GAVS has in common with the other adapter baselines, under its configuration."""

    config: GavsConfig
    config_class = GavsConfig
    base_model_prefix = "gavs"


class GavsModel(GavsPreTrainedModel):
    """SAM or SAM2 with adapters that do not hear, prompted by the sound of each frame. On SAM every frame is segmented
    by itself; SAM2 tracks, and the prompt takes the place of its not-a-point tokens on every frame.

    ```python
    model, processor = GavsModel(GavsConfig()).eval(), GavsProcessor.from_config(GavsConfig())
    inputs = processor("clip.mp4")
    masks = processor.post_process_masks(model(**inputs), inputs["original_sizes"])
    ```
    """

    def _build_adapters(self) -> nn.Module:
        config, decoder = self.config, self.config.sam_config.mask_decoder_config
        adapted = len(self._blocks) - config.first_adapted_block
        if not 0 < adapted <= len(self._blocks):
            raise ValueError(
                f"first_adapted_block: {config.first_adapted_block} was given, the host's image encoder "
                f"has blocks 0 to {len(self._blocks) - 1}"
            )
        return GavsAdapters(
            [block.layer_norm2.normalized_shape[0] for block in self._blocks[-adapted:]],
            decoder.hidden_size,
            decoder.num_hidden_layers,
            config.adapter_size,
            (config.audio_config.embedding_size, config.prompt_size),
            config.text_config.hidden_size if config.use_text else None,
        )

    @property
    def _blocks(self) -> nn.ModuleList:
        encoder = self.sam.vision_encoder
        return encoder.backbone.blocks if self.config.on_sam2 else encoder.layers

    @classmethod
    def from_backbones(
        cls,
        sam: str = "facebook/sam-vit-base",
        audio: str | VggishModel | None = None,
        text: str = "distilbert/distilroberta-base",
        **config_overrides,
    ) -> "GavsModel":
        return super().from_backbones(sam, audio, text, **config_overrides)

    def freeze(self) -> None:
        super().freeze()
        for block in self._blocks[self.config.first_adapted_block + 1 :]:
            block.layer_norm1.requires_grad_(self.config.train_adapters)
            block.layer_norm2.requires_grad_(self.config.train_adapters)

    def train(self, mode: bool = True) -> "GavsModel":
        super().train(mode)
        # It has no dropout, and under gradient checkpointing its layers would run again without their adapters.
        self.sam.mask_decoder.eval()
        return self

    def _encode_audio(
        self,
        input_features: torch.Tensor | None,
        audio_embeddings: torch.Tensor | None,
        frame_mask: torch.Tensor | None,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        audio, frame_mask = super()._encode_audio(input_features, audio_embeddings, frame_mask)
        if not self.training or self.config.audio_noise == "none":
            return audio, frame_mask
        noise = audio.std(-1, keepdim=True) * torch.randn_like(audio)
        return (noise if self.config.audio_noise == "replace" else audio + 0.1 * noise), frame_mask

    def _encode_images(self, pixel_values: torch.Tensor, audio: torch.Tensor) -> torch.Tensor:
        return self.adapters(self.sam, pixel_values)

    def _encode_maps(
        self,
        pixel_values: torch.Tensor,
        audio: torch.Tensor,
        text: torch.Tensor | None,
        text_mask: torch.Tensor | None,
    ) -> tuple[torch.Tensor, ...]:
        return self.adapters(self.sam, pixel_values, text, text_mask)

    def _prompts(self, audio: torch.Tensor) -> torch.Tensor:
        return self.adapters.audio_prompt(audio)

    def _adapted_decoder(
        self, text: torch.Tensor | None, text_mask: torch.Tensor | None
    ) -> AbstractContextManager[None]:
        return self.adapters.adapted_decoder(self.sam, text, text_mask)

    def _fit_to_frames(
        self, prediction: FramePrediction, frame_mask: torch.Tensor, original_sizes: list[tuple[int, int]] | None
    ) -> FramePrediction:
        if not self.config.pad_frames:
            return prediction
        if original_sizes is None or len(original_sizes) != len(frame_mask):
            raise ValueError(
                f"original_sizes: the {len(frame_mask)} clips' frames are padded (pad_frames), pass (height, width) of "
                f"each as the processor returns them, got {original_sizes}"
            )
        frames = torch.arange(len(frame_mask), device=frame_mask.device)[:, None].expand_as(frame_mask)[frame_mask]
        candidates = cut_padding(prediction.candidates, original_sizes, frames, self.image_size)
        return prediction._replace(masks=candidates[:, 0], candidates=candidates)

    def original_losses(
        self, prediction: FramePrediction, targets: torch.Tensor, weights: torch.Tensor
    ) -> dict[str, torch.Tensor]:
        """Binary cross-entropy."""
        logits = self.scale_masks(prediction.masks, targets.shape[-2:])
        return {"bce": weighted_mean(mask_bce(logits, targets), weights)}


__all__ = ["GavsModel", "GavsPreTrainedModel", "cut_padding"]
