"""GAVS: the sound of each frame prompts SAM, whose encoder and decoder carry adapters (Wang et al., AAAI 2024)."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn
from transformers import PreTrainedModel, SamConfig

from ...backbones.adapted_sam.heard_clips import HeardClips, from_clips
from ...backbones.adapted_sam.modeling_adapted_sam import AdapterClipModel
from ...backbones.sam.adapters_sam import FRAMES_PER_PASS
from ...backbones.sam2.adapters_sam2 import adapted_mlps
from ...backbones.vggish import VggishModel, without_relu
from ...losses import mask_bce, weighted_mean
from ...modeling.inputs import check_shapes
from ...modeling.outputs import MaskPrediction
from .adapters_gavs import GavsAdapters
from .configuration_gavs import GavsConfig


def cut_padding(logits: torch.Tensor, reshaped_input_sizes: torch.Tensor, image_size: int) -> torch.Tensor:
    """Stretch the part of mask logits that lies over the frame to the whole map.

    The release brings the map to the input's size before it cuts; this differs from it by what one more bilinear
    resampling does (0.02 % of the pixels of masks at most, none for square frames).

    Args:
        logits: `[N, K, h, w]`, over frames that were padded below or on the right to a square of `image_size`.
        reshaped_input_sizes: `[N, 2]`, height and width of each frame in that square.

    Returns:
        `[N, K, h, w]`, which cover the frames as a square resize would.
    """
    shares = reshaped_input_sizes.flip(-1).float() / image_size
    # From output to input coordinates, both from -1 to 1: x -> share x + (share - 1).
    theta = torch.cat([torch.diag_embed(shares), (shares - 1)[..., None]], dim=-1)
    grid = F.affine_grid(theta, list(logits.shape), align_corners=False)
    return F.grid_sample(logits.float(), grid, padding_mode="border", align_corners=False).to(logits.dtype)


class GavsPreTrainedModel(AdapterClipModel):
    """What GAVS has in common with the other adapter baselines, under its configuration.

    ```python
    model = GavsModel.from_backbones("facebook/sam-vit-base", "runs/vggish")
    ```
    """

    config: GavsConfig
    config_class = GavsConfig
    base_model_prefix = "gavs"
    adapters_hear = False
    default_loss_weights = {"bce": 1.0}


class GavsModel(GavsPreTrainedModel):
    """SAM or SAM2 with adapters, prompted by the sound of each frame. The adapters do not take the sound. On SAM every
    frame is segmented by itself; SAM2 tracks, and the prompt takes the place of its not-a-point tokens on every frame.

    ```python
    model, processor = GavsModel(GavsConfig()).eval(), GavsProcessor.from_config(GavsConfig())
    inputs = processor("clip.mp4")
    masks = processor.post_process_masks(model(**inputs), inputs["original_sizes"])
    ```
    """

    def build_adapters(self) -> nn.Module:
        config, decoder, blocks = self.config, self.config.sam_config.mask_decoder_config, self.sam.blocks
        if not 0 <= config.first_adapted_block < len(blocks):
            raise ValueError(
                f"first_adapted_block: {config.first_adapted_block} was given, the host's image encoder "
                f"has blocks 0 to {len(blocks) - 1}"
            )
        return GavsAdapters(
            config,
            [block.layer_norm2.normalized_shape[0] for block in blocks[config.first_adapted_block :]],
            decoder.hidden_size,
            decoder.num_hidden_layers,
            config.adapter_size,
            (config.audio_config.embedding_size, config.prompt_size),
            config.text_config.hidden_size if config.use_text else None,
        )

    @classmethod
    def from_backbones(
        cls,
        sam: str = "facebook/sam-vit-base",
        audio: str | VggishModel | None = None,
        text: str = "distilbert/distilroberta-base",
        **config_overrides,
    ) -> "GavsModel":
        """As the base class says; on SAM the final ReLU of `audio` is left out, see [`GavsConfig`]."""
        return super().from_backbones(sam, audio, text, **config_overrides)

    @classmethod
    def _compose(cls, parts: dict[str, PreTrainedModel], **config_overrides) -> "GavsModel":
        if isinstance(parts["sam"].config, SamConfig):
            config_overrides["audio_config"] = without_relu(config_overrides.get("audio_config"))
        return super()._compose(parts, **config_overrides)

    def freeze(self) -> None:
        super().freeze()
        for block in self.sam.blocks[self.config.first_adapted_block + 1 :]:
            block.layer_norm1.requires_grad_(self.config.train_adapters)
            block.layer_norm2.requires_grad_(self.config.train_adapters)

    def _checkpoint_what_learns(self) -> None:
        super()._checkpoint_what_learns()
        # Under gradient checkpointing they would run again without their adapters.
        for layer in self.sam.mask_decoder.transformer.layers:
            layer.training = False

    def encode(self, pixel_values: torch.Tensor, audio: torch.Tensor | None, *words: torch.Tensor) -> Any:
        if not words or self.tracking_host is not None:
            return self.adapters(self._encode_adapted, pixel_values, *words)
        # SAM encodes a few frames at a time, and their words have to be theirs.
        parts = zip(*(value.split(FRAMES_PER_PASS) for value in (pixel_values, *words)), strict=True)
        return torch.cat([self.adapters(self._encode_adapted, *part) for part in parts])

    def _encode_adapted(self, pixel_values: torch.Tensor, adapters: list[Callable]) -> Any:
        with adapted_mlps(self.sam.blocks[self.config.first_adapted_block :], adapters):
            return self.sam.encode(pixel_values)

    def decode(
        self, run: Callable[[torch.Tensor | None], MaskPrediction], audio: torch.Tensor, *words: torch.Tensor
    ) -> MaskPrediction:
        with adapted_mlps(self.sam.mask_decoder.transformer.layers, self.adapters.of_decoder(*words)):
            return run(self.adapters.audio_prompt(audio))

    def segment(self, clips: HeardClips, output_attentions: bool) -> tuple[MaskPrediction, dict]:
        return super().segment(replace(clips, audio=self.with_noise(clips.audio)), output_attentions)

    def with_noise(self, audio: torch.Tensor) -> torch.Tensor:
        """Embeddings `[B, T, D]` with what `audio_noise` does to them in training."""
        if not self.training or self.config.audio_noise == "none":
            return audio
        noise = audio.std(-1, keepdim=True) * torch.randn_like(audio)
        return noise if self.config.audio_noise == "replace" else audio + 0.1 * noise

    def _fit_to_frames(
        self, prediction: MaskPrediction, real: torch.Tensor, reshaped_input_sizes: torch.Tensor | None
    ) -> MaskPrediction:
        if reshaped_input_sizes is None:
            return prediction
        if self.tracking_host is not None:
            raise ValueError("reshaped_input_sizes: SAM2 takes frames that fill the square, leave it out")
        batch, expressions, length = real.shape
        check_shapes(batch, length, {"reshaped_input_sizes": (reshaped_input_sizes, (batch, length, 2))})
        sizes = reshaped_input_sizes[:, None].expand(-1, expressions, -1, -1)
        sizes = from_clips(sizes, real, len(prediction.candidates))
        candidates = cut_padding(prediction.candidates, sizes, self.image_size)
        return replace(prediction, candidates=candidates)

    def original_losses(
        self, prediction: MaskPrediction, targets: torch.Tensor, weights: torch.Tensor
    ) -> dict[str, torch.Tensor]:
        """Binary cross-entropy."""
        logits = self.scale_masks(prediction.masks, targets.shape[-2:])
        return {"bce": weighted_mean(mask_bce(logits, targets), weights)}


__all__ = ["GavsModel", "GavsPreTrainedModel", "cut_padding"]
