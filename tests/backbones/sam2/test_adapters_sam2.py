import pytest
import torch
from tiny.configurations import nano_sam2_config
from torch import nn
from transformers import PreTrainedConfig, Sam2VideoModel

from lavseg.backbones.sam2.adapters_sam2 import Sam2AudioAdapters, SentenceAttention, adapted_mlps, raised_inputs
from lavseg.backbones.sam2.configuration_sam2 import hiera_sam2_config
from lavseg.backbones.sam2.modeling_sam2 import Sam2Backbone


def count(module):
    return sum(parameter.numel() for parameter in module.parameters())


def make_adapters(size, text_size=None):
    with torch.device("meta"):
        config = hiera_sam2_config(size)
        blocks = Sam2VideoModel(config).vision_encoder.backbone.blocks
        return Sam2AudioAdapters(config, [block.dim for block in blocks], 128, 512, text_size)


@pytest.mark.parametrize(("size", "expected"), [("base_plus", 2_446_992), ("large", 4_278_384)])
def test_parameters(size, expected):
    assert count(make_adapters(size)) == expected


def test_parameters_that_read():
    adapters, plain = make_adapters("base_plus", 768), make_adapters("base_plus")
    assert count(adapters.text_projection) == 768 * 512 + 512
    assert count(adapters.sentence) == 4 * (1_050_624 + 2 * 512)
    assert count(adapters) == count(plain) + count(adapters.text_projection) + count(adapters.sentence)


@torch.no_grad()
def test_the_prompt_is_added_to_the_input_of_every_block():
    torch.manual_seed(0)
    sam = Sam2Backbone(nano_sam2_config()).eval()
    blocks, seen = sam.blocks, []
    adapters = sam.audio_adapters(32, 16)
    audio, frames = torch.rand(2, 32), torch.randn(2, 3, 128, 128)
    # Hooks that are there before the adapters' see what enters without them.
    before = [block.register_forward_pre_hook(lambda module, args: seen.append(args[0])) for block in blocks]
    inside = [
        block.layer_norm1.register_forward_pre_hook(lambda module, args: seen.append(args[0])) for block in blocks
    ]
    maps = adapters(sam.encode, frames, audio)
    assert [tuple(level.shape) for level in maps] == [(2, 16, 32, 32), (2, 32, 16, 16), (2, 128, 8, 8)]
    for index, prompt in enumerate(adapters.prompts(audio)):
        entered, taken = seen[2 * index : 2 * index + 2]
        assert prompt.shape == (2, blocks[index].dim)
        torch.testing.assert_close(taken, entered + prompt[:, None, None], atol=1e-6, rtol=0)
    for hook in (*before, *inside):
        hook.remove()
    assert not any(block._forward_pre_hooks for block in blocks)


@torch.no_grad()
def test_hooks_do_not_outlive_an_error():
    layers = nn.ModuleList(nn.Sequential(nn.Linear(4, 4)) for _ in range(2))
    for layer in layers:
        layer.mlp = nn.Linear(4, 4)
    for context in (raised_inputs(layers, [torch.zeros(1, 4)] * 2), adapted_mlps(layers, [lambda x: x] * 2)):
        with pytest.raises(RuntimeError, match="inside"), context:
            raise RuntimeError("inside")
    assert not any(layer._forward_pre_hooks or layer.mlp._forward_hooks for layer in layers)


@torch.no_grad()
def test_an_adapted_mlp_gives_its_output_and_what_the_adapter_makes_of_it():
    layers = nn.ModuleList(nn.Module() for _ in range(2))
    for layer in layers:
        layer.mlp = nn.Linear(4, 4)
    x = torch.randn(3, 4)
    plain = [layer.mlp(x) for layer in layers]
    with adapted_mlps(layers, [torch.square, torch.neg]):
        torch.testing.assert_close(layers[0].mlp(x), plain[0] + plain[0] ** 2)
        torch.testing.assert_close(layers[1].mlp(x), torch.zeros(3, 4))
    assert torch.equal(layers[0].mlp(x), plain[0])


@torch.no_grad()
def test_tokens_of_any_arrangement_read_alike():
    torch.manual_seed(0)
    attention = SentenceAttention(PreTrainedConfig(), 16, 4).eval()
    tokens, text = torch.randn(2, 3, 5, 16), torch.randn(2, 6, 16)
    mask = torch.ones(2, 6, dtype=torch.bool)
    found = attention(tokens, text, mask)
    alone = attention(tokens[:, 1:2, 2], text, mask)
    torch.testing.assert_close(found[:, 1:2, 2], alone)
