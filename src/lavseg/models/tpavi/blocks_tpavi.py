"""Modules of TPAVI behind its encoder: dilated convolutions, the mixing of sound and frames, and the decoder."""

import torch
import torch.nn.functional as F
from torch import nn
from transformers.modeling_layers import GradientCheckpointingLayer

from ...backbones.attention import MultiheadAttention
from .configuration_tpavi import NUM_STAGES, TpaviConfig

_DILATIONS = (3, 6, 12, 18)


class TpaviDilatedConvolutions(nn.Module):
    """Sum of four 3x3 convolutions that look at different distances (sec. 4.1, "ASPP")."""

    def __init__(self, in_channels: int, width: int):
        super().__init__()
        self.convolutions = nn.ModuleList(
            nn.Conv2d(in_channels, width, kernel_size=3, padding=dilation, dilation=dilation) for dilation in _DILATIONS
        )

    def forward(self, maps: torch.Tensor) -> torch.Tensor:
        """`[N, in_channels, h, w]` to `[N, width, h, w]`."""
        return sum(convolution(maps) for convolution in self.convolutions)


def mean_of_groups(values: torch.Tensor, frame_mask: torch.Tensor, size: int) -> torch.Tensor:
    """For each frame the mean over the real frames of its group; a group without a real frame counts whole.

    Args:
        values: `[B, T, ...]`.
        frame_mask: bool `[B, T]`.
        size: frames of a group; the last one of a clip may have fewer.
    """
    means = []
    for part, real in zip(values.split(size, dim=1), frame_mask.split(size, dim=1), strict=True):
        counted = (real | ~real.any(1, keepdim=True)).to(part.dtype)
        shares = (counted / counted.sum(1, keepdim=True)).reshape(*real.shape, *[1] * (part.dim() - 2))
        means.append((shares * part).sum(1, keepdim=True).expand_as(part))
    return torch.cat(means, dim=1)


class TpaviBlock(nn.Module):
    """Temporal pixel-wise audio-visual interaction (Eq. 1): every position reads the sound of all frames of its group.

    As there is no softmax, the product of all positions of five frames with each other, 15,680 x 15,680 at stride 4,
    never has to be made: `(theta phi^T) g = theta (phi^T g)`, where the second product is `fusion_size` squared. `phi`
    is the same at all positions of a frame, so that of `g`, a linear map, the mean over positions is enough.
    """

    def __init__(self, config: TpaviConfig):
        super().__init__()
        self.config = config
        width, inner = config.hidden_size, config.fusion_size
        self.audio_projection = nn.Linear(config.audio_config.embedding_size, width, bias=config.audio_projection_bias)
        self.theta, self.phi, self.g = (nn.Linear(width, inner) for _ in range(3))
        self.output = nn.Linear(inner, width)
        self.batch_norm = nn.BatchNorm1d(width)
        self.norm = nn.LayerNorm(width)

    def forward(
        self, vision: torch.Tensor, audio: torch.Tensor, frame_mask: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Update `P` positions of each frame.

        Args:
            vision: `[B, T, P, C]`.
            audio: `[B, T, D]`, an embedding of the sound for each frame.
            frame_mask: bool `[B, T]`.

        Returns:
            `[B, T, P, C]`, and the sounds as wide as the frames, `[B, T, C]`.
        """
        sound, query = self.audio_projection(audio), self.theta(vision)
        results = []
        if self.config.attend_to_vision:
            relation = self.phi(vision).transpose(-2, -1) @ self.g(vision) / vision.shape[2]
            results.append(self._read(vision, query, relation, frame_mask))
        if self.config.attend_to_audio:
            relation = self.phi(sound)[..., None] * self.g(vision.mean(2))[..., None, :]
            results.append(self._read(vision, query, relation, frame_mask))
        return sum(results) / len(results), sound

    def _read(
        self, vision: torch.Tensor, query: torch.Tensor, relation: torch.Tensor, frame_mask: torch.Tensor
    ) -> torch.Tensor:
        """What positions `query [B, T, P, c]` read of `relation [B, T, c, c]`, which each frame says for itself."""
        read = self.output(query @ mean_of_groups(relation, frame_mask, self.config.frames_per_group))
        return self.norm(self.batch_norm(read.flatten(0, 2)).view_as(vision) + vision)


class TpaviWords(nn.Module):
    """Every position attends to the words about the clip; this package's own way to read."""

    def __init__(self, config: TpaviConfig):
        super().__init__()
        width = config.hidden_size
        self.projection = nn.Linear(config.text_config.hidden_size, width)
        self.attention = MultiheadAttention(config, width, config.num_attention_heads)

    def forward(self, vision: torch.Tensor, words: torch.Tensor, word_mask: torch.Tensor) -> torch.Tensor:
        """Update `vision [B, T, P, C]` by the states `words [B, W, D]` that `word_mask`, bool `[B, W]`, shows."""
        read = self.attention(vision.flatten(1, 2), self.projection(words), word_mask)
        return vision + read.view_as(vision)


class TpaviResidualUnit(nn.Module):
    """Two convolutions around which the rectified input is led, as in the release, whose first ReLU is in place."""

    def __init__(self, width: int):
        super().__init__()
        self.conv1, self.conv2 = (nn.Conv2d(width, width, kernel_size=3, padding=1) for _ in range(2))

    def forward(self, maps: torch.Tensor) -> torch.Tensor:
        """`[N, C, h, w]` to the same shape."""
        maps = F.relu(maps)
        return self.conv2(F.relu(self.conv1(maps))) + maps


class TpaviPath(GradientCheckpointingLayer):
    """Adds the maps of a stage to those from below, and doubles their size."""

    def __init__(self, width: int, deepest: bool):
        super().__init__()
        self.skip = None if deepest else TpaviResidualUnit(width)
        self.unit = TpaviResidualUnit(width)

    def forward(self, maps: torch.Tensor, below: torch.Tensor | None) -> torch.Tensor:
        """`maps` and `below`, `[N, C, h, w]` both, to `[N, C, 2h, 2w]`."""
        if below is not None:
            maps = below + self.skip(maps)
        return F.interpolate(self.unit(maps), scale_factor=2, mode="bilinear", align_corners=True)


class TpaviDecoder(nn.Module):
    """From the deepest stage upwards to logits at the size of the frames."""

    def __init__(self, width: int, outputs: int):
        super().__init__()
        self.paths = nn.ModuleList(TpaviPath(width, stage == NUM_STAGES) for stage in range(1, NUM_STAGES + 1))
        self.conv1 = nn.Conv2d(width, width // 2, kernel_size=3, padding=1)
        self.conv2 = nn.Conv2d(width // 2, 32, kernel_size=3, padding=1)
        self.conv3 = nn.Conv2d(32, outputs, kernel_size=1)

    def forward(self, stages: list[torch.Tensor]) -> torch.Tensor:
        """Maps `[N, C, h, w]` at strides 4 to 32 to `[N, outputs, H, W]`."""
        found = None
        for path, maps in zip(reversed(self.paths), reversed(stages), strict=True):
            found = path(maps, found)
        found = F.interpolate(self.conv1(found), scale_factor=2, mode="bilinear")
        return self.conv3(F.relu(self.conv2(found)))
