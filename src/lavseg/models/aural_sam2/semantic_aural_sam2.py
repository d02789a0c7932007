"""Classes on top of AuralSAM2's masks, for AVSBench-semantic."""

import torch
import torch.nn.functional as F
from torch import nn
from transformers import initialization as init

from ...backbones.attention import MultiheadAttention
from ...modeling.initialization import init_attention
from ...modeling.inputs import ClipInputs, check_class_config, check_class_labels
from ...modeling.outputs import MaskPrediction
from .batch_aural_sam2 import ClipGroup
from .configuration_aural_sam2 import AuralSam2Config
from .fuser_aural_sam2 import FusedLevel
from .modeling_aural_sam2 import AuralSam2Model


class AuralSam2ClassLayer(nn.TransformerDecoderLayer):
    """PyTorch's, pre-norm, whose attention goes through Transformers' switch."""

    def __init__(self, config: AuralSam2Config):
        width, heads = config.hidden_size, config.num_attention_heads
        super().__init__(width, heads, config.mlp_ratio * width, config.dropout, batch_first=True, norm_first=True)
        self.self_attn = MultiheadAttention(config, width, heads, config.dropout)
        self.multihead_attn = MultiheadAttention(config, width, heads, config.dropout)

    def forward(self, tokens: torch.Tensor, memory: torch.Tensor, memory_mask: torch.Tensor) -> torch.Tensor:
        """Update `tokens [N, K, C]` by `memory [N, L, C]`, as far as `memory_mask` bool `[N, L]` shows it."""
        normed = self.norm1(tokens)
        tokens = tokens + self.dropout1(self.self_attn(normed, normed))
        tokens = tokens + self.dropout2(self.multihead_attn(self.norm2(tokens), memory, memory_mask))
        hidden = self.dropout(F.gelu(self.linear1(self.norm3(tokens))))
        return tokens + self.dropout3(self.linear2(hidden))


class AuralSam2ClassHead(nn.Module):
    """Class tokens that name what the masks show (supplement, sec. 6.1, after Stepping Stones, arXiv 2407.11820).

    On each frame one learned token per class, background first, reads the frame's sound and the positions inside the
    predicted mask; every position is then compared with all tokens. The network that makes the masks does not change.
    The supplement gives neither depth nor features: here these are the fused ones of all levels.
    """

    def __init__(self, config: AuralSam2Config):
        super().__init__()
        width = config.hidden_size
        self.tokens = nn.Parameter(torch.empty(config.num_labels, width))
        self.position_norm = nn.LayerNorm(len(config.pyramid_levels) * width)
        self.position_projection = nn.Linear(len(config.pyramid_levels) * width, width)
        self.layers = nn.ModuleList(AuralSam2ClassLayer(config) for _ in range(config.class_layers))
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
        shown = torch.cat([torch.ones_like(inside[:, :1]), inside], dim=1)
        tokens = self.tokens.expand(len(features), -1, -1)
        for layer in self.layers:
            tokens = layer(tokens, torch.cat([sound, features], dim=1), shown)
        tokens, places = self.token_output(self.token_norm(tokens)), self.position_output(features)
        logits = tokens @ places.transpose(1, 2) / tokens.shape[-1] ** 0.5
        return logits.unflatten(0, (-1, num_frames)).transpose(1, 2).unflatten(-1, (edge, edge))


class AuralSam2ForSemanticSegmentation(AuralSam2Model):
    """AuralSAM2 with a head that names the classes inside its masks. Nothing but the head trains: it is fitted to a
    model whose masks are good, with `class_labels` and one term of the loss, `class`.

    The classes are `config.id2label`, or `config.num_labels` without names; background is the first.

    ```python
    config = AuralSam2Config(use_text=False, num_labels=71)
    model, processor = AuralSam2ForSemanticSegmentation(config).eval(), AuralSam2Processor.from_config(config)
    inputs = processor("clip.mp4")
    classes = processor.post_process_semantic_segmentation(model(**inputs), inputs["original_sizes"])
    ```

    Raises:
        ValueError: for a configuration of a model that reads, or with less than background and one class.
    """

    default_loss_weights = {"class": 1.0}
    names_classes = True

    def __init__(self, config: AuralSam2Config):
        check_class_config(config)
        super().__init__(config)
        self.class_head = AuralSam2ClassHead(config)
        self.post_init()

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        if isinstance(module, AuralSam2ClassHead):
            init.normal_(module.tokens)
        elif isinstance(module, nn.MultiheadAttention):
            init_attention(module)
        else:
            super()._init_weights(module)

    def unreached_modules(self) -> list[str]:
        # Classes depend on the masks through a threshold, and on the tokens of the last level alone.
        parts = ("mask_decoder", "memory_attention", "memory_encoder", "object_pointer_proj")
        token_layers = ("token_query", "frame_key", "frame_value", "token_output")
        levels = range(len(self.fuser.levels) - 1) if self.config.behavior == "paper" else ()
        fusions = [f"fuser.levels.{level}.fusion.{layer}" for level in levels for layer in token_layers]
        return [*(f"sam2.{part}" for part in parts), "fuser.frame_head", "fuser.token_head", *fusions]

    def frozen_modules(self) -> list[nn.Module]:
        return [*self.backbones().values(), self.fuser]

    def _class_logits(self, found: MaskPrediction, levels: list[FusedLevel]) -> torch.Tensor:
        return self.class_head(levels, found.masks)

    def _losses(
        self,
        found: MaskPrediction,
        levels: list[FusedLevel],
        class_logits: torch.Tensor,
        group: ClipGroup,
        given: ClipInputs,
        class_labels: torch.Tensor | None,
    ) -> dict[str, torch.Tensor]:
        check_class_labels(class_labels, self.num_classes + 1)
        counted, truth = (group.pick(part)[:, : group.length] for part in (given.labeled, class_labels))
        return self.weigh({"class": class_losses(class_logits, found.masks, truth, counted)})


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
