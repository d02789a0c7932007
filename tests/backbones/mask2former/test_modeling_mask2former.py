import pytest
import torch
from tiny.configurations import nano_mask2former_config
from transformers import Mask2FormerModel

from lavseg.backbones.mask2former.modeling_mask2former import PromptedMask2Former


@pytest.fixture(scope="module")
def stock():
    torch.manual_seed(0)
    model = Mask2FormerModel(nano_mask2former_config()).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    return model


@pytest.fixture(scope="module")
def prompted(stock):
    model = PromptedMask2Former(nano_mask2former_config()).eval()
    state = {f"model.{name}": value for name, value in stock.state_dict().items() if "swin.layernorm" not in name}
    missing, unexpected = model.load_state_dict(state, strict=False)
    assert unexpected == [] and {name.split(".")[0] for name in missing} == {"class_predictor"}
    return model


@torch.no_grad()
@pytest.mark.parametrize("kind", ["eager", "sdpa"])
def test_without_a_prompt_it_is_the_stock_model(stock, prompted, kind):
    pixels = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    prompted.set_attn_implementation(kind)
    expected, features = stock(pixels), prompted(pixels)
    found = prompted.decode(features, prompted.start_queries(torch.device("cpu")).expand(2, -1, -1))
    torch.testing.assert_close(features.encoder_map, expected.encoder_last_hidden_state, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(features.mask_features, expected.pixel_decoder_last_hidden_state, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(found.masks, expected.masks_queries_logits[-1], atol=1e-4, rtol=1e-4)
    states = stock.transformer_module.decoder.layernorm(expected.transformer_decoder_last_hidden_state)
    torch.testing.assert_close(found.class_logits, prompted.class_predictor(states), atol=1e-4, rtol=1e-4)


@torch.no_grad()
def test_an_adapter_takes_the_place_of_the_output_and_published_weights_leave_it_alone(prompted):
    adapted = PromptedMask2Former(nano_mask2former_config()).eval()
    adapted.add_adapters(4)
    kept = [value.clone() for adapter in adapted.adapters() for value in adapter.parameters()]
    adapted.load_state_dict(prompted.state_dict())
    assert len(kept) == 4
    assert all(
        torch.equal(value, parameter)
        for value, parameter in zip(
            kept, (value for adapter in adapted.adapters() for value in adapter.parameters()), strict=True
        )
    )
    outputs = []
    attention = adapted.model.pixel_level_module.decoder.encoder.layers[0].self_attn
    attention.output_proj.register_forward_hook(lambda module, args, output: outputs.append(output))
    attention.register_forward_hook(lambda module, args, output: outputs.append(output[0]))
    adapted(torch.randn(1, 3, 64, 64))
    torch.testing.assert_close(outputs[1], attention.adapter(outputs[0]))


def test_only_adapters_cost_a_gradient(prompted):
    model = PromptedMask2Former(nano_mask2former_config()).eval().requires_grad_(False)
    assert not model(torch.randn(1, 3, 64, 64)).mask_features.requires_grad
    model.add_adapters(4)
    features = model(torch.randn(1, 3, 64, 64))
    assert features.mask_features.requires_grad and not features.encoder_map.requires_grad
