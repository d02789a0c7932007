from unittest.mock import patch

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny.configurations import nano_sam2_config
from transformers import Sam2VideoModel

from lavseg.backbones.sam2 import attention_sam2
from lavseg.backbones.sam2.attention_sam2 import streamed_attention
from lavseg.backbones.sam2.configuration_sam2 import hiera_sam2_config
from lavseg.backbones.sam2.encoder_sam2 import encode_images
from lavseg.backbones.sam2.modeling_sam2 import Sam2Backbone


def stock_and_faster(config):
    torch.manual_seed(0)
    stock = Sam2VideoModel(config).eval()
    with torch.no_grad():
        for parameter in stock.parameters():
            parameter.add_(0.02 * torch.randn_like(parameter))
    faster = Sam2Backbone(config).eval()
    faster.load_state_dict(stock.state_dict())
    return stock, faster


@torch.no_grad()
@pytest.mark.parametrize(("band_size", "banded"), [(1, True), (2**14, True), (2**30, False)])
@pytest.mark.parametrize("config", [nano_sam2_config(128), hiera_sam2_config("tiny", 320)], ids=["nano", "tiny"])
def test_image_features_equal_the_stock_encoder(monkeypatch, config, band_size, banded):
    """Windows of 14 and 7 do not fit the tiny host's maps of 20 and 10: the last band is padded, once with pooling."""
    monkeypatch.setattr(attention_sam2, "BAND_SIZE", band_size)
    stock, faster = stock_and_faster(config)
    calls, blocks = [], faster.vision_encoder.backbone.blocks
    for block in blocks:
        block.mlp.register_forward_hook(lambda *args: calls.append(1))
    images = torch.randn(2, 3, config.image_size, config.image_size)
    expected = stock.vision_encoder(images).fpn_hidden_states
    for ours, theirs in zip(encode_images(faster, images), expected, strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-4, rtol=1e-4)
    assert (len(calls) > len(blocks)) is banded


def attend_to_memory(sam, num_objects, num_maps, num_pointers, one_map=False):
    def draw(*shape):
        return torch.randn(shape).to(sam.dtype)

    config = sam.config
    positions, width = config.image_size**2 // 256, config.memory_attention_hidden_size
    torch.manual_seed(1)
    query = draw(positions, 1 if one_map else num_objects, width).requires_grad_()
    memory = draw(num_maps * positions + num_pointers, num_objects, 64)
    attended = sam.memory_attention(
        current_vision_features=query.expand(-1, num_objects, -1),
        current_vision_position_embeddings=draw(positions, 1, width),
        memory=memory,
        memory_posision_embeddings=draw(len(memory), 1, 64),
        num_object_pointer_tokens=num_pointers,
    )
    return query, attended


@pytest.mark.parametrize(("query_block", "key_block"), [(5, 7), (2048, 512)])
@pytest.mark.parametrize("shape", [(1, 1, 0), (2, 3, 6)], ids=str)
def test_memory_attention_equals_the_stock_one(monkeypatch, shape, query_block, key_block):
    monkeypatch.setattr(attention_sam2, "QUERY_BLOCK", query_block)
    monkeypatch.setattr(attention_sam2, "KEY_BLOCK", key_block)
    stock, faster = stock_and_faster(nano_sam2_config())
    asked = []
    streamed = streamed_attention
    monkeypatch.setattr(attention_sam2, "streamed_attention", lambda *args: asked.append(1) or streamed(*args))
    with torch.no_grad():
        expected, found = (attend_to_memory(sam, *shape)[1] for sam in (stock, faster))
    assert len(asked) == shape[0] * len(faster.memory_attention.layers)
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)


def test_objects_of_one_frame_look_at_it_once():
    stock, faster = stock_and_faster(nano_sam2_config())
    seen = []
    for layer in faster.memory_attention.layers:
        layer.self_attn.register_forward_hook(
            lambda module, args, kwargs, output: seen.append(len(kwargs["query"])), with_kwargs=True
        )
    for gradient in (False, True):
        with torch.set_grad_enabled(gradient):
            expected, found = (attend_to_memory(sam, 3, 2, 4, one_map=True)[1] for sam in (stock, faster))
        torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)
    others = len(faster.memory_attention.layers) - 1
    # One object after the other where nothing is learnt.
    assert seen == [1, *[1] * 3 * others, 1, *[3] * others]


@pytest.mark.parametrize("one_map", [False, True])
def test_memory_attention_has_the_stock_gradient(one_map):
    gradients = []
    for sam in stock_and_faster(nano_sam2_config()):
        query, attended = attend_to_memory(sam, 2, 3, 6, one_map)
        attended.square().sum().backward()
        gradients.append(query.grad)
    torch.testing.assert_close(*gradients)


def test_memory_attention_has_shapes_without_data():
    _, faster = stock_and_faster(nano_sam2_config())
    with torch.no_grad(), torch.device("meta"):
        assert attend_to_memory(faster.to("meta"), 2, 3, 6)[1].shape == (1, 2, 64, 128)


@torch.no_grad()
@pytest.mark.parametrize("autocast", [False, True])
def test_memory_attention_in_bfloat16_is_as_close_to_float32_as_the_stock_one(monkeypatch, autocast):
    """In weights of that type, and under autocast; it is in pieces there, too, as it would be slower at once."""
    monkeypatch.setattr(attention_sam2, "KEY_BLOCK", 50)
    stock, faster = stock_and_faster(nano_sam2_config())
    precise = attend_to_memory(faster, 2, 3, 6)[1]
    asked, streamed = [], streamed_attention
    monkeypatch.setattr(attention_sam2, "streamed_attention", lambda *args: asked.append(1) or streamed(*args))
    if not autocast:
        stock, faster = stock.bfloat16(), faster.bfloat16()
    with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
        expected, found = (attend_to_memory(sam, 2, 3, 6)[1] for sam in (stock, faster))
    assert len(asked) == 2 * len(faster.memory_attention.layers)
    assert found.dtype == expected.dtype
    assert (found - precise).square().mean() <= 1.5 * (expected - precise).square().mean()


@settings(deadline=None, max_examples=50)
@given(
    st.integers(1, 3),
    st.integers(1, 40),
    st.lists(st.integers(1, 30), min_size=1, max_size=5),
    st.integers(1, 9),
    st.floats(0.1, 1000),
    st.integers(1, 50),
    st.integers(0, 2**31),
)
def test_streamed_attention_is_attention(num_objects, num_queries, sizes, width, scale, query_block, seed):
    """Also where scores are so large that their exponentials overflow."""
    torch.manual_seed(seed)
    query = torch.randn(num_objects, num_queries, 8) * scale
    keys, values = torch.randn(num_objects, sum(sizes), 8), torch.randn(num_objects, sum(sizes), width)
    with patch.object(attention_sam2, "QUERY_BLOCK", query_block):
        found = streamed_attention(query, zip(keys.split(sizes, 1), values.split(sizes, 1), strict=True))
    expected = (query.double() @ keys.double().mT).softmax(-1) @ values.double()
    torch.testing.assert_close(found, expected.float(), atol=1e-5 * (1 + scale), rtol=1e-4)


def test_streamed_attention_in_bfloat16_loses_no_more_than_rounding():
    """Scores are many times as far from zero as from the highest of them."""
    torch.manual_seed(0)
    query, keys, values = (torch.randn(2, rows, 32) for rows in (20, 90, 90))
    query, keys, values = (query / 2).bfloat16(), (keys + 16).bfloat16(), values.bfloat16()
    expected = (query.double() @ keys.double().mT).softmax(-1) @ values.double()
    found = streamed_attention(query, zip(keys.split(30, 1), values.split(30, 1), strict=True))
    assert found.dtype == torch.bfloat16
    torch.testing.assert_close(found.double(), expected, atol=0.03, rtol=0)
