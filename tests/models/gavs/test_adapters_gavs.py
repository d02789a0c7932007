import torch
import torch.nn.functional as F
from tiny.configurations import tiny_config
from torch import nn
from transformers import PreTrainedConfig

from lavseg.models.gavs import GavsConfig, GavsModel
from lavseg.models.gavs.adapters_gavs import GavsAdapter, GavsAudioPrompt
from tiny_clips import away_from_zero, make_inputs


def make_model():
    torch.manual_seed(0)
    return away_from_zero(GavsModel(tiny_config(GavsConfig)))


@torch.no_grad()
def test_the_adapter_is_added_to_the_output_of_the_mlp():
    model, frames = make_model(), make_inputs(frames=3)["pixel_values"][0]
    encoder, seen = model.sam.vision_encoder, []
    for index in (0, 1, 2):
        encoder.layers[index].mlp.register_forward_hook(lambda module, args, output: seen.append(output))
    adapted = model.encode(frames, None)
    hidden = encoder.patch_embed(frames) + encoder.pos_embed
    for index, layer in enumerate(encoder.layers):
        plain = layer(hidden)
        if index >= 1:
            adapter, given = model.adapters.blocks[index - 1], layer.mlp(layer.layer_norm2(_before_mlp(layer, hidden)))
            plain = plain + adapter.up(F.relu(adapter.down(given)))
        hidden = plain
    torch.testing.assert_close(adapted, encoder.neck(hidden), atol=1e-4, rtol=1e-4)
    assert (adapted - model.sam.get_image_embeddings(frames)).abs().max() > 1e-4


def _before_mlp(layer, hidden):
    kept = []
    hook = layer.layer_norm2.register_forward_pre_hook(lambda module, args: kept.append(args[0]))
    layer(hidden)
    hook.remove()
    return kept[0]


def test_the_bottleneck_activations_are_those_of_the_release():
    adapters = make_model().adapters
    assert all(isinstance(adapter.activation, nn.ReLU) for adapter in adapters.blocks)
    assert all(isinstance(adapter.activation, nn.GELU) for adapter in adapters.decoder)


@torch.no_grad()
def test_the_bottleneck_reads_only_real_words():
    torch.manual_seed(0)
    adapter = GavsAdapter(PreTrainedConfig(), 12, 8, nn.ReLU(), reads=True)
    hidden, text = torch.randn(2, 5, 7, 12), torch.randn(2, 6, 8)
    mask = torch.arange(6) < torch.tensor([[6], [4]])
    found = adapter(hidden, text, mask)
    assert found.shape == hidden.shape
    other = text.clone()
    other[1, 4:] += 3
    torch.testing.assert_close(adapter(hidden, other, mask), found)
    other[1, 0] += 3
    changed = (adapter(hidden, other, mask) - found).abs().amax((1, 2, 3))
    assert changed[0] == 0 and changed[1] > 1e-4


@torch.no_grad()
def test_the_sound_becomes_one_token_a_frame():
    torch.manual_seed(0)
    prompt, audio = GavsAudioPrompt(12, 20, 8), torch.randn(5, 12)
    token = prompt(audio)
    assert token.shape == (5, 1, 8)
    hidden = (audio @ prompt.linear1.weight.T + prompt.linear1.bias).clamp(min=0)
    torch.testing.assert_close(token[:, 0], hidden @ prompt.linear2.weight.T + prompt.linear2.bias)


@torch.no_grad()
def test_outside_of_its_use_the_decoder_has_no_adapters():
    model = make_model()
    mlp = model.sam.mask_decoder.transformer.layers[0].mlp
    hidden = torch.randn(1, 1, 4, next(mlp.parameters()).shape[1])
    plain = mlp(hidden)
    adapted = model.decode(lambda prompts: mlp(hidden), torch.rand(1, 32))
    torch.testing.assert_close(adapted, plain + model.adapters.decoder[0](plain, None, None))
    assert torch.equal(mlp(hidden), plain) and (adapted - plain).abs().max() > 1e-4
