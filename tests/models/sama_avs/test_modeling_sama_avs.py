import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny.configurations import nano_sam_config, tiny_config
from transformers import SamModel

from lavseg.backbones.vggish import VggishConfig, VggishModel
from lavseg.models.sama_avs import SamaAvsConfig, SamaAvsModel
from lavseg.models.sama_avs.modeling_sama_avs import mask_soft_iou
from tiny_clips import away_from_zero, make_inputs


def make_model(seed=0, **overrides):
    torch.manual_seed(seed)
    return away_from_zero(SamaAvsModel(tiny_config(SamaAvsConfig, **overrides)))


def test_parameters_at_the_defaults():
    with torch.device("meta"):
        model = SamaAvsModel(SamaAvsConfig())
    trainable = {name: p.numel() for name, p in model.named_parameters() if p.requires_grad}
    assert sum(n for name, n in trainable.items() if name.startswith("adapters.")) == 2_770_176
    assert sum(n for name, n in trainable.items() if name.startswith("sam.mask_decoder.")) == 4_058_340
    assert trainable["sam.prompt_encoder.no_mask_embed.weight"] == 256
    assert sum(trainable.values()) == 6_828_772


@torch.no_grad()
def test_without_adapters_it_is_sam_without_a_prompt():
    model, inputs = make_model(use_adapters=False), make_inputs()
    images = inputs["pixel_values"][0]
    expected = model.sam(images, multimask_output=False)
    output = model(**inputs)
    torch.testing.assert_close(output.pred_masks[0, 0], expected.pred_masks[:, 0, 0], atol=1e-5, rtol=0)
    torch.testing.assert_close(output.iou_scores[0, 0], expected.iou_scores[:, 0, 0], atol=1e-5, rtol=0)


@pytest.mark.parametrize("part", ["adapters", "mask_decoder"])
def test_each_part_can_be_frozen(part):
    model = make_model(**{f"train_{part}": False})
    assert all(p.requires_grad == (part != "adapters") for p in model.adapters.parameters())
    for module in (model.sam.mask_decoder, model.sam.prompt_encoder.no_mask_embed):
        assert all(p.requires_grad == (part != "mask_decoder") for p in module.parameters())


@given(st.integers(0, 99), st.floats(-4, 4))
@settings(max_examples=30, deadline=None)
def test_soft_iou_is_the_iou_of_probabilities(seed, shift):
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(3, 7, 5, generator=generator, dtype=torch.float64) + shift
    targets = (torch.rand(3, 7, 5, generator=generator) > 0.5).double()
    targets[2] = 0
    p = logits.sigmoid()
    union = p + targets - p * targets
    found = mask_soft_iou(logits, targets)
    torch.testing.assert_close(found, 1 - (p * targets).sum((1, 2)) / union.sum((1, 2)))
    assert found[2] == 1 and ((found >= 0) & (found <= 1)).all()
    assert mask_soft_iou(200 * (targets - 0.5), targets)[0] == pytest.approx(0, abs=1e-9)


def test_attention_maps_are_refused():
    with pytest.raises(ValueError, match="output_attentions"):
        make_model()(**make_inputs(), output_attentions=True)


@pytest.mark.parametrize("random_position_code", [False, True])
def test_from_backbones_takes_sams_position_code_unless_told_otherwise(tmp_path, random_position_code):
    torch.manual_seed(7)
    sam, audio = SamModel(nano_sam_config()), VggishModel(tiny_config(VggishConfig))
    sam.save_pretrained(tmp_path / "sam")
    model = SamaAvsModel.from_backbones(str(tmp_path / "sam"), audio, random_position_code=random_position_code)
    expected = sam.state_dict()
    replaced = {name for name, value in model.sam.state_dict().items() if not torch.equal(value, expected[name])}
    released = {
        "shared_image_embedding.positional_embedding",
        "prompt_encoder.shared_embedding.positional_embedding",
        "prompt_encoder.no_mask_embed.weight",
    }
    assert replaced == (released if random_position_code else set())
    assert model.config.sam_config.mask_decoder_config.layer_norm_eps == 1e-5
