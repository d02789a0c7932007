"""Image encoders with four maps, at strides 4, 8, 16 and 32: Transformers' PVT v2, ResNet and Swin."""

from collections.abc import Collection
from functools import partial
from pathlib import Path

import torch
from torch import nn
from transformers import AutoConfig, PreTrainedConfig, PvtV2Backbone, PvtV2Config, ResNetBackbone, SwinBackbone
from transformers import initialization as init
from transformers.models.deformable_detr.modeling_deformable_detr import (
    DeformableDetrFrozenBatchNorm2d,
    replace_batch_norm,
)
from transformers.models.pvt_v2.modeling_pvt_v2 import PvtV2SelfAttention

from ...modeling.conversion import check_state
from ...modeling.initialization import rebuild
from ..attention import attend
from .configuration_pyramids import STAGES, swin_config
from .convert_pyramids import read_published

# PVT v2 was trained with PyTorch's default in two kinds of norms, Transformers has one setting for all.
_DEFAULT_EPS = 1e-5
_DROP_PATH = 0.1


class _PyramidMixin:
    """Makes a backbone of Transformers give the maps of all its stages, `[N, C, h, w]` each, as `feature_maps`."""

    _supports_sdpa = True
    _supports_attention_backend = True

    def __init__(self, config: PreTrainedConfig):
        config.set_output_features_output_indices(out_features=list(STAGES), out_indices=None)
        super().__init__(config)


class PvtV2PyramidAttention(PvtV2SelfAttention):
    """Transformers' parameters, and its switch between implementations of attention."""

    def __init__(self, config: PvtV2Config, hidden_size: int, num_attention_heads: int, spatial_reduction_ratio: int):
        super().__init__(config, hidden_size, num_attention_heads, spatial_reduction_ratio)
        self.config = config

    def forward(
        self, hidden_states: torch.Tensor, height: int, width: int, output_attentions: bool = False
    ) -> tuple[torch.Tensor, ...]:
        """Tokens `[N, height * width, C]` attend to those of patches of `spatial_reduction_ratio`."""
        reduced = hidden_states
        if self.spatial_reduction_ratio > 1:
            maps = hidden_states.transpose(1, 2).unflatten(-1, (height, width))
            reduced = self.layer_norm(self.spatial_reduction(maps).flatten(2).transpose(1, 2))
        query, key, value = (
            self.transpose_for_scores(states)
            for states in (self.query(hidden_states), self.key(reduced), self.value(reduced))
        )
        attended, weights = attend(
            self, query, key, value, dropout=self.attn_drop.p, output_attentions=output_attentions
        )
        output = self.proj_drop(self.proj(attended.flatten(2)))
        return (output, weights) if output_attentions else (output,)


class PvtV2Pyramid(_PyramidMixin, PvtV2Backbone):
    """PVT v2 with the epsilons that it was trained with: 1e-5 in the norms of the patch embeddings and of the reduced
    keys and values, `layer_norm_eps` in the others. With one for all, maps of dim frames are off by 2e-2.

    ```python
    maps = PvtV2Pyramid(pvt_v2_b5_config())(pixel_values).feature_maps
    ```

    Raises:
        ValueError: for PVT v2 with linear attention, which no method here was published with.
    """

    def __init__(self, config: PvtV2Config):
        if config.linear_attention:
            raise ValueError("linear_attention: has to be False, PVT-v2-B5 has none")
        super().__init__(config)
        for stage, layer in enumerate(self.encoder.layers):
            layer.patch_embedding.layer_norm.eps = _DEFAULT_EPS
            shape = (config.hidden_sizes[stage], config.num_attention_heads[stage], config.sr_ratios[stage])
            for block in layer.blocks:
                block.attention = rebuild(block.attention, partial(PvtV2PyramidAttention, config, *shape))
                if block.attention.spatial_reduction_ratio > 1:
                    block.attention.layer_norm.eps = _DEFAULT_EPS

    def get_input_embeddings(self) -> nn.Module:
        """The first convolution."""
        return self.encoder.layers[0].patch_embedding.proj

    @property
    def blocks(self) -> nn.ModuleList:
        """The transformer blocks of all stages; their states are `[N, h * w, C]`."""
        return nn.ModuleList(block for layer in self.encoder.layers for block in layer.blocks)


class ResNetPyramid(_PyramidMixin, ResNetBackbone):
    """ResNet as Transformers has it.

    ```python
    maps = ResNetPyramid(resnet50_config())(pixel_values).feature_maps
    ```
    """

    def get_input_embeddings(self) -> nn.Module:
        """The first convolution."""
        return self.embedder.embedder.convolution

    @property
    def blocks(self) -> nn.ModuleList:
        """The residual blocks of all stages; their states are `[N, C, h, w]`."""
        return nn.ModuleList(block for stage in self.encoder.stages for block in stage.layers)


class SwinPyramid(_PyramidMixin, SwinBackbone):
    """Swin as Transformers has it, with a norm on each map. The final norm, which no file has and nothing reads, is
    left out.

    ```python
    maps = SwinPyramid(swin_config(96))(pixel_values).feature_maps
    ```
    """

    def __init__(self, config: PreTrainedConfig):
        super().__init__(config)
        self.swin.layernorm = nn.Identity()

    def get_input_embeddings(self) -> nn.Module:
        """The first convolution."""
        return self.swin.embeddings.patch_embeddings.projection

    @property
    def blocks(self) -> nn.ModuleList:
        """The transformer blocks of all stages; their states are `[N, h * w, C]`."""
        return nn.ModuleList(block for stage in self.stages for block in stage.blocks)

    @property
    def stages(self) -> nn.ModuleList:
        """The stages that the blocks are in."""
        return self.swin.encoder.layers


_PYRAMIDS = {"pvt_v2": PvtV2Pyramid, "resnet": ResNetPyramid, "swin": SwinPyramid}
Pyramid = PvtV2Pyramid | ResNetPyramid | SwinPyramid


@torch.no_grad()
def freeze_batch_norm(model: nn.Module) -> None:
    """Turn batch norms into constants, which neither train nor follow the batches."""
    replace_batch_norm(model)


def init_frozen_batch_norm(module: DeformableDetrFrozenBatchNorm2d) -> None:
    """For the `_init_weights` of methods with such norms: they change nothing."""
    for one, zero in ((module.weight, module.bias), (module.running_var, module.running_mean)):
        init.ones_(one)
        init.zeros_(zero)


def build_pyramid(config: PreTrainedConfig, accepted: Collection[str] = ("pvt_v2", "resnet")) -> Pyramid:
    """An untrained encoder.

    Args:
        config: of the network.
        accepted: types of networks that a method takes.

    Raises:
        ValueError: for a configuration of another network, or of another number of stages.
    """
    kind = _pyramid_class("vision_config", config, accepted)
    if len(config.depths) != len(STAGES):
        raise ValueError(f"vision_config: has to have {len(STAGES)} stages, depths are {list(config.depths)}")
    return kind(config)


def load_pyramid(argument: str, name_or_path: str | Path, accepted: Collection[str] = ("pvt_v2", "resnet")) -> Pyramid:
    """A published PVT v2, ResNet or Swin. The drop path of PVT v2 is set to 0.1, that of Swin to 0.2, or 0.3 from the
    base on, as they train in the methods here. A classifier has no norms for the maps of Swin; they start anew.

    Args:
        argument: name under which it was given, for error messages.
        name_or_path: Hub id or folder of a Transformers checkpoint, a classifier's or a backbone's; or the file with
            ImageNet weights of the authors of PVT v2 (B5) or of torchvision (ResNet-50).
        accepted: types of networks that a method takes.

    Raises:
        ValueError: when it is another network, or weights are missing or do not fit.
    """
    if Path(name_or_path).is_file():
        config, state = read_published(argument, name_or_path)
        _pyramid_class(argument, config, accepted)
        model = build_pyramid(config)
        check_state(state, model.state_dict(), f"a whole {type(model).__name__} ({argument})")
        model.load_state_dict(state)
        return model
    config = AutoConfig.from_pretrained(name_or_path)
    kind = _pyramid_class(argument, config, accepted)
    trained = {"drop_path_rate": _drop_path(config)} if kind is not ResNetPyramid else {}
    model, report = kind.from_pretrained(name_or_path, output_loading_info=True, **trained)
    if missing := sorted(key for key in report["missing_keys"] if not key.startswith("hidden_states_norms.")):
        raise ValueError(f"{argument}: {name_or_path} lacks weights: {', '.join(missing)}")
    return model


def _drop_path(config: PreTrainedConfig) -> float:
    return swin_config(config.embed_dim).drop_path_rate if config.model_type == "swin" else _DROP_PATH


def _pyramid_class(argument: str, config: PreTrainedConfig, accepted: Collection[str]) -> type[Pyramid]:
    if config.model_type not in accepted:
        names = " or ".join(map(repr, accepted))
        raise ValueError(f"{argument}: is a {config.model_type!r}, {names} is needed")
    return _PYRAMIDS[config.model_type]


__all__ = [
    "PvtV2Pyramid",
    "PvtV2PyramidAttention",
    "ResNetPyramid",
    "SwinPyramid",
    "build_pyramid",
    "freeze_batch_norm",
    "init_frozen_batch_norm",
    "load_pyramid",
]
