import pytest
import torch
from tiny.configurations import tiny_config
from torch import nn

from lavseg.models.st_bava import StBavaConfig
from lavseg.models.st_bava.blocks_st_bava import StBavaLayer

WIDTH = 32


def make_layer(seed=0, **overrides):
    """A block in float64 with norms that are not the identity, and inputs: sound, image, code, positions, mask."""
    torch.manual_seed(seed)
    config = tiny_config(StBavaConfig, **overrides)
    config._attn_implementation = "sdpa"  # eager attention computes its softmax in single precision
    layer = StBavaLayer(config).double().eval()
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    audio, vision, code = torch.randn(2, 3, WIDTH), torch.randn(2, 3, 12, WIDTH), torch.randn(2, 3, WIDTH)
    parts = [audio, vision, code, torch.randn(12, WIDTH)]
    return layer, [*(part.double() for part in parts), torch.ones(2, 3, dtype=torch.bool)]


def naive_attention(attention, query, key, value):
    """torch's own attention `[N, L, C]` with the weights of ours."""
    reference = nn.MultiheadAttention(WIDTH, attention.num_heads, batch_first=True).double()
    projections = (attention.q_proj, attention.k_proj, attention.v_proj)
    joined = {f"in_proj_{kind}": torch.cat([getattr(p, kind) for p in projections]) for kind in ("weight", "bias")}
    reference.load_state_dict({f"out_proj.{name}": p for name, p in attention.out_proj.named_parameters()} | joined)
    return reference(query, key, value, need_weights=False)[0]


def over_time(tokens):
    return tokens.permute(0, 2, 1, 3).flatten(0, 1)


@torch.no_grad()
def reference_block(layer, audio, vision, code, positions, spatial_audio, spatial_vision):
    """Eq. 1 and 2 written out: the sound is repeated at every position."""
    clips, _frames, count, _ = vision.shape

    def repeat(tokens):
        return tokens[:, :, None].expand_as(vision)

    def per_position(attention, query, key, value):
        answer = naive_attention(attention, over_time(query), over_time(key), over_time(value))
        return answer.unflatten(0, (clips, count)).transpose(1, 2)

    audio, vision = layer.audio.enter(audio), layer.vision.enter(vision)
    answer = per_position(layer.temporal[0], vision + positions, repeat(audio + code), repeat(audio))
    audio = layer.audio.norm_temporal(audio + answer.mean(2))
    audio = layer.audio.norm_spatial(audio + spatial_audio(audio, vision))
    audio = layer.audio.leave(audio)
    answer = per_position(layer.temporal[-1], repeat(audio + code), vision + positions, vision)
    vision = layer.vision.norm_temporal(vision + answer)
    vision = layer.vision.norm_spatial(vision + spatial_vision(audio, vision))
    return audio, layer.vision.leave(vision)


@pytest.mark.parametrize("share_directions", [True, False])
@torch.no_grad()
def test_the_cheap_block_is_the_one_that_repeats_the_sound(share_directions):
    layer, inputs = make_layer(share_directions=share_directions)
    audio, vision, code, positions, _mask = inputs

    def flat(tokens):
        return tokens.flatten(0, 1)

    def spatial_audio(audio, vision):
        keys, values = flat(audio + code)[:, None], flat(audio)[:, None]
        answer = naive_attention(layer.spatial[0], flat(vision + positions), keys, values)
        return answer.mean(1).unflatten(0, audio.shape[:2])

    def spatial_vision(audio, vision):
        queries = flat(audio + code)[:, None]
        answer = naive_attention(layer.spatial[-1], queries, flat(vision + positions), flat(vision))
        return answer.unflatten(0, audio.shape[:2])

    expected = reference_block(layer, audio, vision, code, positions, spatial_audio, spatial_vision)
    for found, wanted in zip(layer(*inputs)[:2], expected, strict=True):
        torch.testing.assert_close(found, wanted, atol=1e-12, rtol=0)


@torch.no_grad()
def test_the_gated_block_attends_where_the_release_cannot():
    layer, inputs = make_layer(spatial_mode="gate")
    audio, vision, code, positions, _mask = inputs
    attention = layer.spatial[0]

    def spatial_audio(audio, vision):
        queries = (audio + code).flatten(0, 1)[:, None]
        answer = naive_attention(attention, queries, (vision + positions).flatten(0, 1), vision.flatten(0, 1))
        return answer[:, 0].unflatten(0, audio.shape[:2])

    def spatial_vision(audio, vision):
        heads = (attention.num_heads, -1)
        query, key, value = (
            attention.q_proj(vision + positions).unflatten(-1, heads),
            attention.k_proj(audio + code).unflatten(-1, heads),
            attention.v_proj(audio).unflatten(-1, heads),
        )
        agreement = (query * key[:, :, None]).sum(-1) / query.shape[-1] ** 0.5
        return attention.out_proj((agreement.sigmoid()[..., None] * value[:, :, None]).flatten(-2))

    expected = reference_block(layer, audio, vision, code, positions, spatial_audio, spatial_vision)
    found = layer(*inputs)
    for value, wanted in zip(found[:2], expected, strict=True):
        torch.testing.assert_close(value, wanted, atol=1e-12, rtol=0)
    audio_map, vision_map = layer(*inputs, output_attentions=True)[2:]
    assert audio_map.std(-1).min() > 1e-4 and vision_map.std(-1).min() > 1e-4


@torch.no_grad()
def test_in_the_release_the_spatial_attention_does_not_show_the_sound_the_image():
    layer, inputs = make_layer(temporal_attention=False)
    other = [inputs[0], torch.randn_like(inputs[1]), *inputs[2:]]
    assert torch.equal(layer(*inputs)[0], layer(*other)[0])
    layer, inputs = make_layer(temporal_attention=False, spatial_mode="gate")
    assert (layer(*inputs)[0] - layer(*other)[0]).abs().max() > 1e-2


@torch.no_grad()
def test_dropout_of_the_single_weight_is_the_mean_of_every_positions_own():
    layer, (audio, vision, _code, _positions, _mask) = make_layer(attention_dropout=0.5)
    vision = vision[:, :, :1].expand(-1, -1, 4096, -1)
    layer.train()
    layer.spatial[0].out_proj = nn.Identity()
    update, _ = layer._spatial_audio(audio, audio, vision, vision, False)
    ratio = (update / layer.spatial[0].value(audio).flatten(-2)).unflatten(-1, (4, -1))
    assert ratio.std(-1).max() < 1e-9  # one draw a head
    noise = ratio[..., 0].flatten() - 1
    assert 0.3 / 64 < noise.std() < 3 / 64  # sqrt(p / (1 - p) / positions) = 1 / 64


@pytest.mark.parametrize("overrides", [{}, {"spatial_mode": "gate"}, {"order": "spatial_first"}])
@torch.no_grad()
def test_the_order_of_frames_does_not_matter(overrides):
    layer, inputs = make_layer(**overrides)
    order = torch.tensor([2, 0, 1])
    shuffled = [part[:, order] for part in inputs[:3]] + inputs[3:]
    for maps, tolerance in ((False, 1e-12), (True, 1e-6)):
        for found, wanted in zip(layer(*shuffled, maps), layer(*inputs, maps), strict=True):
            if wanted is not None:
                torch.testing.assert_close(found, wanted[:, order], atol=tolerance, rtol=0)
