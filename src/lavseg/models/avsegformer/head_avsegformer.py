"""The parts between AVSegFormer's encoders and its masks."""

from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import nn
from transformers.models.mask2former.modeling_mask2former import Mask2FormerSinePositionEmbedding

from .configuration_avsegformer import AvsegFormerConfig
from .layers_avsegformer import NUM_LEVELS, AvsegFormerAttention, AvsegFormerDecoderLayer, AvsegFormerEncoderLayer

GROUPS = 32


def reference_points(sizes: list[tuple[int, int]], like: torch.Tensor) -> torch.Tensor:
    """Centres of all pixels of maps of the `sizes`, `[1, L, len(sizes), 2]`, (x, y) from 0 to 1, the same for every
    map that they look at; on the device of `like` and of its type, but in single precision at least."""
    points, precise = [], torch.promote_types(like.dtype, torch.float32)
    for height, width in sizes:
        rows, columns = (
            (torch.arange(edge, dtype=precise, device=like.device) + 0.5) / edge for edge in (height, width)
        )
        grid = torch.stack([columns.expand(height, width), rows[:, None].expand(height, width)], dim=-1)
        points.append(grid.flatten(0, 1))
    return torch.cat(points)[None, :, None].expand(-1, -1, len(sizes), -1)


class AvsegFormerPixelDecoder(nn.Module):
    """Maps of a backbone at strides 4 to 32: the three coarse ones through a deformable encoder, of which the finest is
    added to that of stride 4."""

    def __init__(self, config: AvsegFormerConfig, in_channels: list[int]):
        super().__init__()
        width = config.hidden_size
        self.input_projections = nn.ModuleList(
            nn.Sequential(nn.Conv2d(channels, width, 1), nn.GroupNorm(GROUPS, width)) for channels in in_channels
        )
        self.position_embedding = Mask2FormerSinePositionEmbedding(width // 2)
        self.level_embed = nn.Parameter(torch.empty(NUM_LEVELS, width))
        self.layers = nn.ModuleList(AvsegFormerEncoderLayer(config) for _ in range(config.num_encoder_layers))
        self.lateral = nn.Sequential(nn.Conv2d(width, width, 1), nn.GroupNorm(GROUPS, width))
        self.output = nn.Sequential(nn.Conv2d(width, width, 3, padding=1), nn.GroupNorm(GROUPS, width), nn.ReLU())

    def forward(self, maps: list[torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
        """From maps `[N, C_i, h_i, w_i]`, finest first, the memory of all coarse positions `[N, L, C]` and the feature
        of every position of the finest `[N, C, h, w]`."""
        finest, *coarse = (project(x) for project, x in zip(self.input_projections, maps, strict=True))
        sizes = [tuple(level.shape[-2:]) for level in coarse]
        codes = zip(coarse, self.level_embed, strict=True)
        positions = torch.cat([self._positions(level, code) for level, code in codes], dim=1)
        memory = torch.cat([level.flatten(2).mT for level in coarse], dim=1)
        points = reference_points(sizes, memory)
        for layer in self.layers:
            memory = layer(memory, positions, points, sizes)
        height, width = sizes[0]
        fine = memory[:, : height * width].mT.unflatten(-1, sizes[0])
        fine = F.interpolate(fine, finest.shape[-2:], mode="bilinear")
        return memory, self.output(self.lateral(finest) + fine)

    def _positions(self, level: torch.Tensor, code: torch.Tensor) -> torch.Tensor:
        # Half precision rounds the angles of far positions by a tenth of a radian.
        precise = torch.promote_types(level.dtype, torch.float32)
        sine = self.position_embedding((1, *level.shape[1:]), level.device, precise)
        return sine.flatten(2).mT.to(level.dtype) + code


class AvsegFormerQueryGenerator(nn.Module):
    """Learned queries that attend to the sound of a frame. With one token of sound every query takes in the same
    vector; the words of a sentence are further tokens."""

    def __init__(self, config: AvsegFormerConfig):
        super().__init__()
        self.queries = nn.Parameter(torch.empty(config.num_queries, config.hidden_size))
        self.layers = nn.ModuleList(
            AvsegFormerDecoderLayer(config, config.generator_intermediate_size, bias=False, dropout=0.0)
            for _ in range(config.num_generator_layers)
        )

    def forward(self, tokens: torch.Tensor, token_mask: torch.Tensor | None) -> torch.Tensor:
        """Queries `[N, Q, C]` for `tokens [N, S, C]`, those that `token_mask` bool `[N, S]` says are real, or all."""
        queries = self.queries.expand(len(tokens), -1, -1)
        for layer in self.layers:
            queries = layer(queries, tokens, token_mask)
        return queries


class AvsegFormerMixer(nn.Module):
    """The sound attends to all positions of a frame, and what it finds gates the channels there."""

    def __init__(self, config: AvsegFormerConfig):
        super().__init__()
        self.attention = AvsegFormerAttention(config, bias=False)

    def forward(self, features: torch.Tensor, sound: torch.Tensor) -> torch.Tensor:
        """Gate `features [N, C, h, w]` by `sound [N, 1, C]`."""
        gate = self.attention(sound, features.flatten(2).mT).sigmoid()
        return features * gate.mT[..., None]


class AvsegFormerMaskDecoder(nn.Module):
    """Queries read the memory of a frame; their products with its features, squeezed to as many channels, are added
    to these, from which convolutions make the masks."""

    def __init__(self, config: AvsegFormerConfig, num_maps: int):
        super().__init__()
        width, queries, hidden = config.hidden_size, config.num_queries, config.mask_hidden_size
        self.generator = AvsegFormerQueryGenerator(config)
        self.learned_queries = nn.Parameter(torch.empty(queries, width)) if config.use_learned_queries else None
        self.layers = nn.ModuleList(
            AvsegFormerDecoderLayer(config, config.intermediate_size, bias=True, dropout=config.dropout)
            for _ in range(config.num_decoder_layers)
        )
        self.mixer = AvsegFormerMixer(config) if config.use_mixer else None
        sizes = [queries, hidden, hidden, width]
        squeeze = [nn.Conv2d(a, b, 1) for a, b in pairwise(sizes)]
        self.squeeze = nn.Sequential(squeeze[0], nn.ReLU(), squeeze[1], nn.ReLU(), squeeze[2])
        self.predictor = nn.Sequential(
            nn.Conv2d(width, width // 2, 3, padding=1),
            nn.Upsample(scale_factor=4, mode="bilinear"),
            nn.Conv2d(width // 2, 32, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(32, num_maps, 1, bias=False),
        )

    def forward(
        self,
        memory: torch.Tensor,
        features: torch.Tensor,
        sound: torch.Tensor,
        tokens: torch.Tensor,
        token_mask: torch.Tensor | None,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Masks of `N` frames.

        Args:
            memory: `[N, L, C]`; features: `[N, C, h, w]`, both of the pixel decoder.
            sound: `[N, 1, C]`, what the mixer listens to.
            tokens: `[N, S, C]`, what the queries are generated from; token_mask: bool `[N, S]`, all real when None.

        Returns:
            Logits `[N, K, 4h, 4w]`, and the features after the mixer.
        """
        queries = self.generator(tokens, token_mask)
        if self.learned_queries is not None:
            queries = queries + self.learned_queries
        for layer in self.layers:
            queries = layer(queries, memory)
        if self.mixer is not None:
            features = self.mixer(features, sound)
        products = torch.einsum("nqc,nchw->nqhw", queries, features)
        return self.predictor(features + self.squeeze(products)), features


__all__ = ["AvsegFormerMaskDecoder", "AvsegFormerMixer", "AvsegFormerPixelDecoder", "AvsegFormerQueryGenerator"]
