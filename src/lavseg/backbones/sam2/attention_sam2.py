"""SAM2's blocks with less work and less memory traffic: stock parameters, and the stock outputs up to rounding."""

from collections.abc import Iterable, Iterator
from functools import partial

import torch
from torch import nn
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS
from transformers.models.sam2.modeling_sam2 import (
    Sam2HieraDetConfig,
    Sam2MultiScaleAttention,
    Sam2MultiScaleBlock,
    do_pool,
    eager_attention_forward,
)
from transformers.models.sam2_video.configuration_sam2_video import Sam2VideoConfig
from transformers.models.sam2_video.modeling_sam2_video import (
    Sam2VideoMemoryAttention,
    Sam2VideoMemoryAttentionLayer,
    Sam2VideoRoPEAttention,
    rotate_pairwise,
)

from ...modeling.initialization import rebuild

# What fits the caches of current CPUs: elements of a block's input, and queries (of all objects) and keys at a time.
BAND_SIZE = 2**19
QUERY_BLOCK, KEY_BLOCK = 2048, 512


class FasterMultiScaleAttention(Sam2MultiScaleAttention):
    """Hiera's attention without a softmax that the stock module discards."""

    def forward(self, hidden_states: torch.Tensor, **kwargs) -> torch.Tensor:
        """Tokens `[N, H, W, C]` to `[N, H/s, W/s, D]`, where `s` is the query stride, 1 in most blocks."""
        batch_size, height, width, _ = hidden_states.shape
        qkv = self.qkv(hidden_states).reshape(batch_size, height * width, 3, self.num_attention_heads, -1)
        query, key, value = qkv.unbind(2)
        if self.query_stride:
            query = do_pool(query.reshape(batch_size, height, width, -1), self.query_stride)
            height, width = query.shape[1:3]
            query = query.reshape(batch_size, height * width, self.num_attention_heads, -1)
        attend = ALL_ATTENTION_FUNCTIONS.get_interface(self.config._attn_implementation, eager_attention_forward)
        output, _ = attend(
            self,
            query.transpose(1, 2),
            key.transpose(1, 2),
            value.transpose(1, 2),
            attention_mask=None,
            is_causal=False,
            scaling=self.scale,
            **kwargs,
        )
        return self.proj(output.reshape(batch_size, height, width, -1))


class FasterMultiScaleBlock(Sam2MultiScaleBlock):
    """Hiera's block; on a CPU bands of the image follow each other where they are independent.

    Windows do not see each other, and of blocks without windows the MLP does not see other tokens.
    """

    def __init__(self, config: Sam2HieraDetConfig, stage_idx: int, block_idx: int, total_block_idx: int):
        super().__init__(config, stage_idx, block_idx, total_block_idx)
        heads = config.num_attention_heads_per_stage[stage_idx]
        self.attn = FasterMultiScaleAttention(config, self.dim, self.dim_out, heads, self.query_stride)

    def forward(self, hidden_states: torch.Tensor, **kwargs) -> torch.Tensor:
        """Tokens `[N, H, W, C]` to `[N, H/s, W/s, D]`, where `s` is the query stride, 1 in most blocks."""
        height, unit = hidden_states.shape[1], max(self.window_size, 1)
        rows = max(BAND_SIZE // (hidden_states[:, :1].numel() * unit), 1) * unit
        changes_shape = self.query_stride is not None or self.dim != self.dim_out
        if hidden_states.device.type != "cpu" or rows >= height or (self.window_size == 0 and changes_shape):
            return super().forward(hidden_states, **kwargs)
        if self.window_size > 0:
            bands = [
                super(FasterMultiScaleBlock, self).forward(band, **kwargs) for band in hidden_states.split(rows, 1)
            ]
        else:
            attended = hidden_states + self.attn(self.layer_norm1(hidden_states), **kwargs)
            bands = [band + self.mlp(self.layer_norm2(band)) for band in attended.split(rows, 1)]
        return torch.cat(bands, dim=1)


class FasterMemoryAttention(Sam2VideoRoPEAttention):
    """Attention to the memory; on a CPU without gradient, in float32 and bfloat16, it is computed piece by piece.

    Weights are then applied to the memory itself, which is narrower than the projected values: they sum to one, so the
    projection may come after. Keys are projected and rotated as they are needed.
    """

    def forward(
        self,
        query: torch.Tensor,
        key: torch.Tensor,
        value: torch.Tensor,
        position_embeddings: tuple[torch.Tensor, torch.Tensor],
        num_k_exclude_rope: int = 0,
        **kwargs,
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Attend from the current frame to the memory.

        Args:
            query: `[N, 1, Q, C]`, tokens of the current frame of `N` objects.
            key, value: `[N, 1, K, D]`, tokens of the memory; the object pointers come last.
            position_embeddings: cosines and sines of the rotary code.
            num_k_exclude_rope: number of object pointer tokens, which are not rotated.

        Returns:
            `[N, 1, Q, C]`, and the attention weights where the stock module gives them.
        """
        if not self._in_pieces(query):
            return self._at_once(query, key, value, position_embeddings, num_k_exclude_rope, **kwargs)
        rotation = [code.flatten(0, -2) for code in position_embeddings]
        pieces = self._pieces(key.flatten(0, 1), value.flatten(0, 1), rotation, num_k_exclude_rope)
        asked = rotate_precisely(self.q_proj(query.flatten(0, 1)), *rotation) * self.scaling
        remembered = streamed_attention(asked, pieces)
        return self.o_proj(self.v_proj(remembered)).unflatten(0, query.shape[:2]), None

    def _at_once(
        self,
        query: torch.Tensor,
        key: torch.Tensor,
        value: torch.Tensor,
        position_embeddings: tuple[torch.Tensor, torch.Tensor],
        num_pointers: int,
        **kwargs,
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        """As the stock module, but one compiled program serves any number of maps: a single one is no case apart."""
        batch, num_keys = query.shape[:2], key.shape[-2] - num_pointers
        query, key, value = (
            project(tokens.flatten(0, 1)).unflatten(-1, (self.num_attention_heads, -1)).transpose(1, 2)
            for project, tokens in ((self.q_proj, query), (self.k_proj, key), (self.v_proj, value))
        )
        maps = key[..., :num_keys, :].unflatten(-2, (-1, query.shape[-2]))
        cos, sin = (code.flatten(0, -3) for code in position_embeddings)
        maps = rotate_precisely(maps, cos, sin).flatten(-3, -2)
        attend = ALL_ATTENTION_FUNCTIONS.get_interface(self.config._attn_implementation, eager_attention_forward)
        output, weights = attend(
            self,
            rotate_precisely(query, cos, sin),
            torch.cat([maps, key[..., num_keys:, :]], dim=-2),
            value,
            attention_mask=None,
            dropout=self.dropout_p if self.training else 0.0,
            scaling=self.scaling,
            is_causal=self.is_causal,
            **kwargs,
        )
        return self.o_proj(output.flatten(2)).unflatten(0, batch), weights

    def _in_pieces(self, query: torch.Tensor) -> bool:
        # A compiler would unroll the pieces.
        inference = not (self.training or torch.is_grad_enabled() or torch.compiler.is_compiling())
        precision = torch.get_autocast_dtype("cpu") if torch.is_autocast_enabled("cpu") else query.dtype
        on_cpu = query.device.type == "cpu" and precision in (torch.float32, torch.bfloat16)
        return inference and on_cpu and self.config._attn_implementation == "sdpa" and self.num_attention_heads == 1

    def _pieces(
        self, keys: torch.Tensor, values: torch.Tensor, rotation: list[torch.Tensor], num_pointers: int
    ) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        """Projected keys of remembered maps, rotated, then those of object pointers, as they are; with their values."""
        num_maps = (keys.shape[1] - num_pointers) // len(rotation[0])
        codes = list(zip(*(code.split(KEY_BLOCK) for code in rotation), strict=True)) * num_maps
        sizes = [len(cos) for cos, _ in codes] + [num_pointers] * (num_pointers > 0)
        pieces = zip(keys.split(sizes, dim=1), values.split(sizes, dim=1), strict=True)
        for index, (key, value) in enumerate(pieces):
            key = self.k_proj(key)
            yield (rotate_precisely(key, *codes[index]) if index < len(codes) else key), value


class FasterMemoryLayer(Sam2VideoMemoryAttentionLayer):
    """A layer that attends to the memory, of the parts of a stock one; the frame may come once for several objects.

    On a CPU without gradient one object follows the other, as its maps then stay in memory that is at hand.
    """

    def __init__(self, stock: Sam2VideoMemoryAttentionLayer, config: Sam2VideoConfig):
        nn.Module.__init__(self)
        # The parts themselves, as Transformers draws the weights of new ones a second time, in another way.
        for name, part in stock.named_children():
            self.add_module(name, part)
        recall = stock.cross_attn_image
        build = partial(FasterMemoryAttention, config, recall.kv_in_dim, recall.rope_k_repeat)
        self.cross_attn_image = rebuild(recall, build)
        if isinstance(self.activation, nn.ReLU):
            self.activation.inplace = True

    def forward(
        self,
        queries: torch.Tensor,
        keys: torch.Tensor,
        key_point_embedding: torch.Tensor,
        rope_position_embeddings: tuple[torch.Tensor, torch.Tensor],
        num_k_exclude_rope: int = 0,
    ) -> torch.Tensor:
        """Attend from the current frame to the memory.

        Args:
            queries: `[N, 1, Q, C]`, tokens of the current frame for `N` objects, or `[1, 1, Q, C]` for all of them.
            keys: `[N, 1, K, D]`, tokens of the memory.
            key_point_embedding: their position codes, `[N, 1, K, D]` or `[1, 1, K, D]`.
            rope_position_embeddings: cosines and sines of the rotary code.
            num_k_exclude_rope: number of object pointer tokens, the last of the memory.

        Returns:
            `[N, 1, Q, C]`.
        """
        rotation, count = rope_position_embeddings, keys.shape[0]
        if keys.device.type != "cpu" or torch.is_grad_enabled() or torch.compiler.is_compiling():
            looked = self._look(queries, rotation).expand(count, -1, -1, -1)
            return self._recall(looked, keys, key_point_embedding, rotation, num_k_exclude_rope)
        looked = torch.cat([self._look(each, rotation) for each in queries.split(1)])
        parts = (part.expand(count, -1, -1, -1).split(1) for part in (looked, keys, key_point_embedding))
        return torch.cat([self._recall(*each, rotation, num_k_exclude_rope) for each in zip(*parts, strict=True)])

    def _look(self, queries: torch.Tensor, rotation: tuple[torch.Tensor, torch.Tensor]) -> torch.Tensor:
        """The tokens of the frame attend to each other."""
        query = self.layer_norm1(queries)
        query, _ = self.self_attn(query=query, key=query, value=query, position_embeddings=rotation)
        return queries + self.dropout1(query)

    def _recall(
        self,
        queries: torch.Tensor,
        keys: torch.Tensor,
        codes: torch.Tensor,
        rotation: tuple[torch.Tensor, torch.Tensor],
        num_pointers: int,
    ) -> torch.Tensor:
        """They attend to the memory, and the MLP follows."""
        query = self.layer_norm2(queries)
        query, _ = self.cross_attn_image(
            query=query,
            key=keys + codes,
            value=keys,
            position_embeddings=rotation,
            num_k_exclude_rope=num_pointers,
        )
        queries = queries + self.dropout2(query)
        query = self.linear2(self.dropout(self.activation(self.linear1(self.layer_norm3(queries)))))
        return queries + self.dropout3(query)


class FasterMemoryLayers(Sam2VideoMemoryAttention):
    """The layers that attend to the memory, of the parts of a stock module; the first one looks once at a frame that
    is the same for all objects."""

    def __init__(self, stock: Sam2VideoMemoryAttention):
        nn.Module.__init__(self)
        self.config = stock.config
        self.layers = nn.ModuleList(FasterMemoryLayer(layer, stock.config) for layer in stock.layers)
        self.layer_norm, self.rotary_emb = stock.layer_norm, stock.rotary_emb
        self.position_ids = nn.Buffer(stock.position_ids, persistent=False)

    def forward(self, current_vision_features: torch.Tensor, *args, **kwargs) -> torch.Tensor:
        """As the stock module; a map `[Q, N, C]` that is the same for all `N` objects comes expanded."""
        if current_vision_features.stride(1) == 0:
            current_vision_features = current_vision_features[:, :1]
        return super().forward(current_vision_features, *args, **kwargs)


def rotate_precisely(states: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor) -> torch.Tensor:
    """Rotary position code of `states [..., L, C]` by `cos` and `sin` `[L, C]`, in float32 as the original."""
    precise = states.float()
    return (precise * cos + rotate_pairwise(precise) * sin).to(states.dtype)


def streamed_attention(query: torch.Tensor, pieces: Iterable[tuple[torch.Tensor, torch.Tensor]]) -> torch.Tensor:
    """`softmax(query keys^T) values` without a map of all queries by all keys (online softmax).

    In bfloat16 a score is rounded as its distance from the highest one of the first piece, so that those that count
    are exact; sums are in float32.

    Args:
        query: `[N, Q, C]`, scaled, in float32 or bfloat16.
        pieces: keys `[N, K, C]` and values `[N, K, D]`, of `K` that may vary, each read once.

    Returns:
        `[N, Q, D]`.
    """
    blocks, origins = query.split(max(QUERY_BLOCK // len(query), 1), dim=1), None
    states = [(block.new_full((*block.shape[:2], 1), -torch.inf, dtype=torch.float32), 0.0, 0.0) for block in blocks]
    for keys, values in pieces:
        if origins is None and query.dtype == torch.bfloat16:
            origins = [-(block @ keys.mT).amax(-1, keepdim=True) for block in blocks]
        for index, (block, (highest, norm, total)) in enumerate(zip(blocks, states, strict=True)):
            scores = block @ keys.mT if origins is None else torch.baddbmm(origins[index], block, keys.mT).float()
            higher = torch.maximum(highest, scores.amax(-1, keepdim=True))
            weights, faded = scores.sub_(higher).exp_(), (highest - higher).exp()
            seen = weights.to(query.dtype) @ values.to(query.dtype)
            states[index] = (higher, norm * faded + weights.sum(-1, keepdim=True), total * faded + seen)
    return torch.cat([total / norm for _, norm, total in states], dim=1).to(query.dtype)
