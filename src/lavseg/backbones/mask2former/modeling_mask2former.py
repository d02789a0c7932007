"""Mask2Former whose queries a method prompts: Transformers' own, in two steps, without the loss that needs scipy."""

from functools import partial
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import nn
from transformers import Mask2FormerConfig, Mask2FormerModel
from transformers.models.mask2former.modeling_mask2former import (
    Mask2FormerMaskedAttentionDecoder,
    Mask2FormerMaskedAttentionDecoderOutput,
    Mask2FormerPreTrainedModel,
    Mask2FormerTransformerModule,
)
from transformers.models.swin.modeling_swin import SwinDropPath

from ...modeling.encoders import gradient_where_needed
from ...modeling.initialization import init_linear, rebuild
from ..attention import MultiheadAttention, attend
from ..deformable_sampling import DeformableAttention
from .adapters_mask2former import AdaptedProjection
from .configuration_mask2former import check_swin, encoder_width


class PixelFeatures(NamedTuple):
    """What Mask2Former knows of `N` frames before it is asked anything.

    encoder_map: `[N, D, S/32, S/32]`, the coarsest map of the image encoder.
    level32, level16, level8: maps `[N, C, h, w]` of the pixel decoder, at 1/32, 1/16 and 1/8 of the frame.
    mask_features: `[N, C, S/4, S/4]`.
    """

    encoder_map: torch.Tensor
    level32: torch.Tensor
    level16: torch.Tensor
    level8: torch.Tensor
    mask_features: torch.Tensor

    @property
    def levels(self) -> tuple[torch.Tensor, ...]:
        """Maps of the pixel decoder, from coarse to fine."""
        return self.level32, self.level16, self.level8

    @staticmethod
    def shapes(config: Mask2FormerConfig, frame_size: int) -> tuple[tuple[int, ...], ...]:
        """Axes of the five after `N`, for frames `frame_size` high and wide."""
        edges = [frame_size // scale for scale in (32, 32, 16, 8, 4)]
        widths = encoder_width(config), *[config.feature_size] * 3, config.mask_feature_size
        return tuple((width, edge, edge) for width, edge in zip(widths, edges, strict=True))


class QueryPredictions(NamedTuple):
    """What `Q` queries say of each of `N` frames: `class_logits [N, Q, classes + 1]`, the last for no object, and mask
    logits `masks [N, Q, S/4, S/4]`."""

    class_logits: torch.Tensor
    masks: torch.Tensor


class MaskPrior(NamedTuple):
    """What is known of `N` frames before queries look at them.

    masks: `[N, 1, S/4, S/4]`, added to all channels of the mask features.
    keys: for each level of the pixel decoder, from coarse to fine, `[N, C, h, w]`, added to its position codes.
    blocked: bool `[N, h * w]`, positions of the coarsest level that no query attends to in the first layer, instead of
        what its mask before that layer says.
    """

    masks: torch.Tensor
    keys: tuple[torch.Tensor, ...]
    blocked: torch.Tensor


class AdaptedDeformableAttention(DeformableAttention):
    """Deformable attention whose output goes through a bottleneck, without a way around it."""

    def __init__(self, embed_dim: int, num_heads: int, n_levels: int, n_points: int, adapter_size: int):
        super().__init__(embed_dim, num_heads, n_levels, n_points)
        layers = nn.Linear(embed_dim, adapter_size), nn.ReLU(), nn.Linear(adapter_size, embed_dim)
        self.adapter = nn.Sequential(*layers)
        self.register_load_state_dict_pre_hook(_keep_adapter)

    def forward(self, *args, **kwargs) -> tuple[torch.Tensor, torch.Tensor]:
        """As in Transformers."""
        output, weights = super().forward(*args, **kwargs)
        return self.adapter(output), weights


def _sizes(attention: DeformableAttention) -> tuple[int, int, int, int]:
    return attention.d_model, attention.n_heads, attention.n_levels, attention.n_points


def _keep_adapter(module: AdaptedDeformableAttention, state: dict[str, torch.Tensor], prefix: str, *args) -> None:
    """Let `load_state_dict` read that of a published network, which has no adapters: those here stay as they are."""
    for name, value in module.adapter.state_dict(prefix=f"{prefix}adapter.").items():
        state.setdefault(name, value)


class MaskedCrossAttention(MultiheadAttention):
    """The decoder's attention to pixels, through Transformers' switch."""

    def forward(
        self,
        query: torch.Tensor,
        key: torch.Tensor,
        value: torch.Tensor,
        attn_mask: torch.Tensor,
        key_padding_mask: None = None,
    ) -> tuple[torch.Tensor, None]:
        """As PyTorch's: `query [L, N, C]`, `key` and `value [S, N, C]`, and `attn_mask` bool `[N * heads, L, S]`, True
        where a query may not attend; `[L, N, C]`, and no weights."""
        projections = zip((query, key, value), self.in_proj_weight.chunk(3), self.in_proj_bias.chunk(3), strict=True)
        states = (F.linear(given.transpose(0, 1), weight, bias) for given, weight, bias in projections)
        heads = (part.unflatten(-1, (self.num_heads, -1)).transpose(1, 2) for part in states)
        attended, _ = attend(self, *heads, ~attn_mask.unflatten(0, (-1, self.num_heads)), dropout=self.dropout)
        return self.out_proj(attended.flatten(2)).transpose(0, 1), None


class PromptedDecoder(Mask2FormerMaskedAttentionDecoder):
    """Transformers' layers of the decoder of queries, of which the first may be told where to look."""

    def forward(
        self,
        queries: torch.Tensor,
        query_positions: torch.Tensor,
        levels: list[torch.Tensor],
        positions: list[torch.Tensor],
        mask_features: torch.Tensor,
        sizes: list[torch.Size],
        blocked: torch.Tensor | None = None,
        every_mask: bool = False,
    ) -> Mask2FormerMaskedAttentionDecoderOutput:
        """Update `queries [Q, N, C]`.

        Args:
            query_positions: `[Q, N, C]`.
            levels, positions: what queries attend to, each `[L, N, C]`, and its position codes; `sizes` are its edges.
            mask_features: `[N, C, h, w]`.
            blocked: see [`MaskPrior`].
            every_mask: give the masks before the first layer and after each, not those after the last alone.

        Returns:
            `last_hidden_state [N, Q, C]`; normed states and masks as tuples, of which the last is of the last layer.
        """
        # A mask is linear in its features: made smaller first, they say where to attend at a fraction of the cost.
        seen = [mask_features] * len(sizes) if every_mask else [_resized(mask_features, size) for size in sizes]
        hidden, states = queries, [self.layernorm(queries)]
        found, attended = self.mask_predictor(states[0], seen[0], sizes[0])
        masks = [found]
        if blocked is not None:
            attended = blocked[:, None, None].expand(-1, self.config.num_attention_heads, len(queries), -1)
            attended = attended.flatten(0, 1)
        for index, layer in enumerate(self.layers):
            level, following = index % len(sizes), (index + 1) % len(sizes)
            attended = attended & ~attended.all(-1, keepdim=True)
            hidden = layer(hidden, level, None, positions, query_positions, levels, encoder_attention_mask=attended)[0]
            states.append(self.layernorm(hidden))
            last = index == len(self.layers) - 1
            features = mask_features if last else seen[following]
            found, attended = self.mask_predictor(states[-1], features, sizes[following])
            masks.append(found)
        return Mask2FormerMaskedAttentionDecoderOutput(
            last_hidden_state=hidden.transpose(0, 1),
            intermediate_hidden_states=tuple(states if every_mask else states[-1:]),
            masks_queries_logits=tuple(masks if every_mask else masks[-1:]),
        )


def _resized(maps: torch.Tensor, size: torch.Size) -> torch.Tensor:
    return F.interpolate(maps, size, mode="bilinear")


class PromptedTransformerModule(Mask2FormerTransformerModule):
    """The decoder of queries, which are given. Embeddings are called rather than read, so that nothing hangs on where
    their weights lie."""

    def __init__(self, in_features: int, config: Mask2FormerConfig):
        super().__init__(in_features, config)
        self.decoder = PromptedDecoder(config)

    def start(self, device: torch.device) -> torch.Tensor:
        """Features `[Q, C]` that the queries have before anything prompts them."""
        return _all_of(self.queries_features, device)

    def places(self, device: torch.device) -> torch.Tensor:
        """Position codes `[Q, C]` of the queries."""
        return _all_of(self.queries_embedder, device)

    def forward(
        self,
        features: PixelFeatures,
        queries: torch.Tensor,
        prior: MaskPrior | None = None,
        every_mask: bool = False,
    ) -> tuple[tuple[torch.Tensor, ...], tuple[torch.Tensor, ...]]:
        """Normed states `[N, Q, C]` of `queries [N, Q, C]` after the last layer, and their mask logits `[N, Q, h, w]`;
        with `every_mask` those before the first layer and after each."""
        levels, device = features.levels[: self.num_feature_levels], queries.device
        embedded = zip(levels, self.input_projections, _all_of(self.level_embed, device), strict=True)
        values = [project(level) + code[:, None, None] for level, project, code in embedded]
        positions = [self.position_embedder(level.shape, level.device, level.dtype, None) for level in levels]
        mask_features, blocked = features.mask_features, None
        if prior is not None:
            positions = [code + known for code, known in zip(positions, prior.keys, strict=True)]
            mask_features, blocked = mask_features + prior.masks, prior.blocked
        decoded = self.decoder(
            queries.transpose(0, 1),
            self.places(device)[:, None].expand(-1, len(queries), -1),
            [value.flatten(2).permute(2, 0, 1) for value in values],
            [code.flatten(2).permute(2, 0, 1) for code in positions],
            mask_features,
            [level.shape[-2:] for level in levels],
            blocked,
            every_mask,
        )
        return tuple(
            state.transpose(0, 1) for state in decoded.intermediate_hidden_states
        ), decoded.masks_queries_logits


def _mask_embedder(width: int, out: int) -> nn.Sequential:
    """That of Mask2Former, whose own keeps its layers in a list where adapters and quantisation do not find them."""
    hidden = (nn.Sequential(nn.Linear(width, width), nn.ReLU()) for _ in range(2))
    return nn.Sequential(*hidden, nn.Sequential(nn.Linear(width, out), nn.Identity()))


def _all_of(embedding: nn.Embedding, device: torch.device) -> torch.Tensor:
    """On the `device` that computes: weights that a device map left on disk are on none before the call."""
    return embedding(torch.arange(embedding.num_embeddings, device=device))


class PromptedMask2FormerModel(Mask2FormerModel):
    """Transformers' model with a decoder whose queries are given, which the two steps below call part by part.

    The final norm of Swin, which no file has and nothing reads, is left out. Where Swin trains, every block drops its
    attention with one probability, as in the Transformers that released codes stand on; today it rises from block to
    block.
    """

    # The decoder's attention among queries and deformable attention are as they are, whatever is asked for.
    _supports_sdpa = True
    _supports_attention_backend = True

    def __init__(self, config: Mask2FormerConfig):
        super().__init__(config)
        build = partial(PromptedTransformerModule, config.feature_size, config)
        self.transformer_module = rebuild(self.transformer_module, build)
        predictor = self.transformer_module.decoder.mask_predictor
        build = partial(_mask_embedder, config.hidden_dim, config.mask_feature_size)
        predictor.mask_embedder = rebuild(predictor.mask_embedder, build)
        for layer in self.pixel_level_module.decoder.encoder.layers:
            layer.self_attn = rebuild(layer.self_attn, partial(DeformableAttention, *_sizes(layer.self_attn)))
        for layer in self.transformer_module.decoder.layers:
            build = partial(MaskedCrossAttention, config, config.hidden_dim, config.num_attention_heads, config.dropout)
            layer.cross_attn = rebuild(layer.cross_attn, build)
        swin = self.pixel_level_module.encoder.swin
        swin.layernorm = nn.Identity()
        for block in (block for stage in swin.encoder.layers for block in stage.blocks):
            block.drop_path = SwinDropPath(config.backbone_config.drop_path_rate)

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        super()._init_weights(module)
        if isinstance(module, AdaptedProjection):
            module.init_weights()


class PromptedMask2Former(Mask2FormerPreTrainedModel):
    """Mask2Former (Cheng et al., CVPR 2022) in two steps: frames are encoded once by a call, and queries `decode` them
    as often as there is something to ask.

    Parameters are called as in Transformers' `Mask2FormerForUniversalSegmentation`, whose files it reads.

    ```python
    mask2former = PromptedMask2Former.from_pretrained("facebook/mask2former-swin-base-ade-semantic")
    features = mask2former(pixel_values)
    queries = mask2former.start_queries(pixel_values.device).expand(len(pixel_values), -1, -1)
    masks = mask2former.decode(features, queries).masks
    ```
    """

    config: Mask2FormerConfig
    config_class = Mask2FormerConfig
    supports_gradient_checkpointing = True
    _supports_sdpa = True
    _supports_attention_backend = True
    _keys_to_ignore_on_load_unexpected = [r"^criterion\.", r"relative_position_index$"]

    def __init__(self, config: Mask2FormerConfig):
        check_swin(config)
        super().__init__(config)
        self.model = PromptedMask2FormerModel(config)
        self.class_predictor = nn.Linear(config.hidden_dim, config.num_labels + 1)
        self.post_init()

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        super()._init_weights(module)
        if module is self.class_predictor:
            init_linear(module)

    @property
    def stages(self) -> nn.ModuleList:
        """Stages of the image encoder."""
        return self.model.pixel_level_module.encoder.swin.encoder.layers

    @property
    def blocks(self) -> nn.ModuleList:
        """Blocks of the image encoder."""
        return nn.ModuleList(block for stage in self.stages for block in stage.blocks)

    @property
    def decoder_layers(self) -> nn.ModuleList:
        """Layers of the decoder of queries."""
        return self.model.transformer_module.decoder.layers

    def get_input_embeddings(self) -> nn.Module:
        return self.model.pixel_level_module.encoder.get_input_embeddings()

    def add_adapters(self, adapter_size: int) -> None:
        """Put a bottleneck of `adapter_size` channels after each deformable attention of the pixel decoder."""
        for layer in self.model.pixel_level_module.decoder.encoder.layers:
            layer.self_attn = AdaptedDeformableAttention(*_sizes(layer.self_attn), adapter_size)

    def adapters(self) -> list[nn.Module]:
        """Those of `add_adapters`."""
        layers = self.model.pixel_level_module.decoder.encoder.layers
        return [layer.self_attn.adapter for layer in layers if hasattr(layer.self_attn, "adapter")]

    def drop_attention(self, training: bool) -> None:
        """In a model that is `training`, let the blocks of the frozen image encoder drop their attention at random, as
        the released codes do."""
        for block in self.blocks:
            block.drop_path.train(training)

    def checkpoint_what_learns(self, training: bool) -> None:
        """Of a frozen host in a model that is `training`, set which layers with gradient checkpointing do it."""
        # Their blocks are checkpointed; as a whole they would run once more.
        for stage in self.stages:
            stage.training = False
        # Frozen, but the gradient comes through them every time that queries are asked.
        for layer in self.decoder_layers:
            layer.training = training and layer.gradient_checkpointing

    def adapt_projections(self, ratio: int, place: str, in_encoder: bool) -> None:
        """Put bottlenecks `place` ("after" or "instead" of) the output projections of deformable attention in the pixel
        decoder and of attention among queries; and, `in_encoder`, beside those of attention and of the feed-forward
        layers in the image encoder. They have a `ratio`-th of the channels."""
        for layer in self.model.pixel_level_module.decoder.encoder.layers:
            layer.self_attn.output_proj = AdaptedProjection(layer.self_attn.output_proj, ratio, place)
        for layer in self.decoder_layers:
            layer.self_attn.out_proj = AdaptedProjection(layer.self_attn.out_proj, ratio, place, uniform=True)
        for block in self.blocks if in_encoder else ():
            block.attention.o_proj = AdaptedProjection(block.attention.o_proj, ratio, "beside")
            block.mlp.fc2 = AdaptedProjection(block.mlp.fc2, ratio, "beside")

    def adapted_projections(self) -> list[AdaptedProjection]:
        """Those of `adapt_projections`."""
        return [module for module in self.modules() if isinstance(module, AdaptedProjection)]

    def forward(self, pixel_values: torch.Tensor) -> PixelFeatures:
        """Encode frames `[N, 3, S, S]`, where `S` is a multiple of 32."""
        pixels = self.model.pixel_level_module
        with gradient_where_needed(pixels.encoder):
            maps = pixels.encoder(pixel_values).feature_maps
        with gradient_where_needed(pixels):
            decoded = pixels.decoder(maps, output_hidden_states=False)
        return PixelFeatures(maps[-1], *decoded.multi_scale_features, decoded.mask_features)

    def start_queries(self, device: torch.device) -> torch.Tensor:
        """Features `[Q, C]` of the queries, which a method adds to or replaces, on the device that computes."""
        return self.model.transformer_module.start(device)

    def query_places(self, device: torch.device) -> torch.Tensor:
        """Position codes `[Q, C]` of the queries, on the device that computes."""
        return self.model.transformer_module.places(device)

    def decode(
        self, features: PixelFeatures, queries: torch.Tensor, prior: MaskPrior | None = None
    ) -> QueryPredictions:
        """What `queries [N, Q, C]` find in `N` frames, of which a `prior` may be known."""
        [states], [masks] = self.model.transformer_module(features, queries, prior)
        return QueryPredictions(self.class_predictor(states), masks)

    def decode_every_layer(
        self, features: PixelFeatures, queries: torch.Tensor, prior: MaskPrior | None = None
    ) -> list[QueryPredictions]:
        """As `decode`, before the first layer and after each, from which a model learns."""
        found = zip(*self.model.transformer_module(features, queries, prior, every_mask=True), strict=True)
        return [QueryPredictions(self.class_predictor(states), masks) for states, masks in found]


__all__ = ["MaskPrior", "PixelFeatures", "PromptedMask2Former", "QueryPredictions"]
