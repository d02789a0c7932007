"""Classes on top of AuralSAM2's masks, for AVSBench-semantic."""

import torch
import torch.nn.functional as F
from torch import nn

from .configuration_aural_sam2 import AuralSam2Config
from .fuser_aural_sam2 import FusedLevel


class AuralSam2ClassHead(nn.Module):
    """Class tokens that name what the masks show (supplement, sec. 6.1, after Stepping Stones, arXiv 2407.11820).

    On each frame one learned token per class, background first, reads the frame's sound and the positions inside the
    predicted mask; every position is then compared with all tokens. The network that makes the masks does not change.
    The supplement gives neither depth nor features: here these are the fused ones of all levels.
    """

    def __init__(self, config: AuralSam2Config):
        super().__init__()
        width = config.hidden_size
        self.tokens = nn.Parameter(torch.empty(config.num_classes + 1, width))
        self.position_norm = nn.LayerNorm(len(config.pyramid_levels) * width)
        self.position_projection = nn.Linear(len(config.pyramid_levels) * width, width)
        self.layers = nn.ModuleList(
            nn.TransformerDecoderLayer(
                width,
                config.num_attention_heads,
                config.mlp_ratio * width,
                config.dropout,
                activation="gelu",
                batch_first=True,
                norm_first=True,
            )
            for _ in range(config.class_layers)
        )
        self.token_norm = nn.LayerNorm(width)
        self.token_output, self.position_output = nn.Linear(width, width), nn.Linear(width, width)

    def forward(self, levels: list[FusedLevel], masks: torch.Tensor) -> torch.Tensor:
        """Compare every position of `N` clips with every class.

        Args:
            levels: fused features, `P = e^2` positions per frame.
            masks: logits of the predicted masks, `[N, T, h, w]`.

        Returns:
            Logits `[N, K + 1, T, e, e]`.
        """
        num_frames, positions = levels[0].frames.shape[1:3]
        edge = round(positions**0.5)
        features = torch.cat([level.frames for level in levels], dim=-1).flatten(0, 1)
        features = self.position_projection(self.position_norm(features))
        sound = levels[-1].tokens[:, :num_frames].flatten(0, 1)[:, None]
        inside = (
            F.interpolate(masks.float(), (edge, edge), mode="bilinear", antialias=True).flatten(0, 1).flatten(1) > 0
        )
        hidden = torch.cat([torch.zeros_like(inside[:, :1]), ~inside], dim=1)
        tokens = self.tokens.expand(len(features), -1, -1)
        for layer in self.layers:
            tokens = layer(tokens, torch.cat([sound, features], dim=1), memory_key_padding_mask=hidden)
        tokens, places = self.token_output(self.token_norm(tokens)), self.position_output(features)
        logits = tokens @ places.transpose(1, 2) / tokens.shape[-1] ** 0.5
        return logits.unflatten(0, (-1, num_frames)).transpose(1, 2).unflatten(-1, (edge, edge))


def class_losses(
    class_logits: torch.Tensor, masks: torch.Tensor, class_labels: torch.Tensor, labeled: torch.Tensor
) -> torch.Tensor:
    """Cross-entropy over classes, mean over the pixels of each clip that are in the predicted mask or show a class.

    Args:
        class_logits: `[N, K + 1, T, e, e]`.
        masks: logits of the predicted masks, `[N, T, h, w]`; the loss is computed at their size.
        class_labels: integer `[N, T, H, W]`, 0 for background.
        labeled: bool `[N, T]`, the frames that count.

    Returns:
        `[N]`.
    """
    size = masks.shape[-2:]
    logits = F.interpolate(class_logits.transpose(1, 2).flatten(0, 1).float(), size, mode="bilinear")
    targets = F.interpolate(class_labels.float(), size, mode="nearest").long()
    cost = F.cross_entropy(logits, targets.flatten(0, 1), reduction="none").view_as(masks)
    weight = ((masks > 0) | (targets > 0)) & labeled[..., None, None]
    return (cost * weight).sum((1, 2, 3)) / weight.sum((1, 2, 3)).clamp(min=1)
