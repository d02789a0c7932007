import pytest
import torch
from tiny.configurations import nano_mask2former_config
from transformers import Mask2FormerModel

from lavseg.backbones.mask2former.adapters_mask2former import AdaptedProjection
from lavseg.backbones.mask2former.modeling_mask2former import MaskPrior, PromptedMask2Former


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


def test_training_a_method_lets_the_frozen_encoder_drop_attention_and_nothing_else():
    model = PromptedMask2Former(nano_mask2former_config()).eval()
    for training in (True, False):
        model.drop_attention(training)
        working = {name for name, module in model.named_modules() if module.training}
        blocks = [name for name, module in model.named_modules() if name.endswith(".drop_path")]
        assert working == ({*blocks} if training else set()) and len(blocks) == len(model.blocks)
        assert {model.get_submodule(name).drop_prob for name in blocks} == {0.1}


def test_only_adapters_cost_a_gradient(prompted):
    model = PromptedMask2Former(nano_mask2former_config()).eval().requires_grad_(False)
    assert not model(torch.randn(1, 3, 64, 64)).mask_features.requires_grad
    model.add_adapters(4)
    features = model(torch.randn(1, 3, 64, 64))
    assert features.mask_features.requires_grad and not features.encoder_map.requires_grad


@torch.no_grad()
def test_every_layer_gives_what_the_stock_model_has_between_them(stock, prompted):
    pixels = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    expected, features = stock(pixels), prompted(pixels)
    queries = prompted.start_queries(torch.device("cpu")).expand(2, -1, -1)
    levels = prompted.decode_every_layer(features, queries)
    for level, masks in zip(levels, expected.masks_queries_logits, strict=True):
        torch.testing.assert_close(level.masks, masks, atol=1e-4, rtol=1e-4)
    last = prompted.decode(features, queries)
    torch.testing.assert_close(levels[-1].class_logits, last.class_logits, atol=1e-4, rtol=1e-4)


@torch.no_grad()
def test_what_is_known_before_changes_masks_keys_and_where_the_first_layer_looks(prompted):
    features = prompted(torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(0)))
    queries = prompted.start_queries(torch.device("cpu")).expand(2, -1, -1)
    nothing = [torch.zeros_like(level) for level in features.levels]
    blocked = torch.tensor([[False, True, True, True], [True] * 4])
    plain = prompted.decode(features, queries)
    layer, seen = prompted.decoder_layers[0], []
    handle = layer.register_forward_pre_hook(lambda *given: seen.append(given[2]), with_kwargs=True)
    looked = prompted.decode(features, queries, MaskPrior(torch.zeros(2, 1, 16, 16), nothing, blocked))
    handle.remove()
    mask = seen[0]["encoder_attention_mask"].unflatten(0, (2, -1))
    # Where all is blocked, nothing is.
    assert torch.equal(mask[0], blocked[0].expand_as(mask[0])) and not mask[1].any()
    assert not torch.allclose(looked.masks[0], plain.masks[0])
    keys = [level + 1 for level in nothing]
    assert not torch.allclose(
        prompted.decode(features, queries, MaskPrior(torch.zeros(2, 1, 16, 16), keys, blocked)).masks, looked.masks
    )
    above = prompted.decode(features, queries, MaskPrior(torch.ones(2, 1, 16, 16), nothing, blocked))
    assert not torch.allclose(above.masks, looked.masks)


def test_adapters_at_projections_stand_in_all_places_and_leave_a_published_host_as_it_is(prompted):
    adapted = PromptedMask2Former(nano_mask2former_config()).eval()
    adapted.adapt_projections(4, "instead", in_encoder=True)
    places = {name.rpartition(".")[2] for name, part in adapted.named_modules() if isinstance(part, AdaptedProjection)}
    assert places == {"output_proj", "out_proj", "o_proj", "fc2"}
    assert len(adapted.adapted_projections()) == 1 + 2 + 2 * 5
    adapted.load_state_dict(prompted.state_dict())
    plain = PromptedMask2Former(nano_mask2former_config())
    plain.adapt_projections(4, "after", in_encoder=False)
    assert len(plain.adapted_projections()) == 1 + 2
    plain.load_state_dict(prompted.state_dict())
    assert torch.equal(
        plain.decoder_layers[1].self_attn.out_proj.projection.weight,
        prompted.decoder_layers[1].self_attn.out_proj.weight,
    )
