import argparse

import pytest
import torch
from tiny.configurations import tiny_config, tiny_pyramid_config
from transformers import AutoTokenizer

from lavseg.backbones.sam.convert_sam import rename_keys
from lavseg.backbones.vggish import VggishModel
from lavseg.models.referformer import ReferFormerConfig, ReferFormerModel, ReferFormerProcessor
from lavseg.models.referformer.convert_referformer import (
    REFERFORMER_KEYS,
    convert_referformer_checkpoint,
    released_vision_config,
    split_released,
)
from referformer_reference import released_file


@pytest.fixture
def given(request, tmp_path, tokenizer):
    """A released file, the model that it is of, and how its conversion is called."""
    vision = tiny_pyramid_config(getattr(request, "param", "resnet"))
    config = tiny_config(ReferFormerConfig, len(tokenizer), vision_config=vision)
    torch.manual_seed(0)
    model = ReferFormerModel(config)
    tokenizer.save_pretrained(tmp_path / "text")
    path = tmp_path / "checkpoint.pth"
    content = {"model": released_file(model), "epoch": 5, "args": argparse.Namespace(lr=1e-4)}
    torch.save(content, path)
    arguments = {"output_dir": tmp_path / "new" / "out", "text": str(tmp_path / "text"), "config": config}
    return model, {"checkpoint_path": path, **arguments}


def change(arguments, **values):
    content = torch.load(arguments["checkpoint_path"], weights_only=False)
    content["model"] |= {key.replace("__", "."): value for key, value in values.items()}
    content["model"] = {key: value for key, value in content["model"].items() if value is not None}
    torch.save(content, arguments["checkpoint_path"])


@pytest.mark.parametrize("given", ["resnet", "swin"], indirect=True)
def test_every_tensor_lands_in_its_place(given):
    model, arguments = given
    returned, unused = convert_referformer_checkpoint(**arguments)
    loaded = ReferFormerModel.from_pretrained(arguments["output_dir"])
    assert "text_encoder.embeddings.position_ids" in unused
    for converted in (returned, loaded):
        state = converted.state_dict()
        for name, value in model.state_dict().items():
            assert torch.equal(state[name], value), name
    # The sentence encoder is the file's, not a published one.
    assert torch.equal(loaded.text_encoder.pooler.dense.weight, model.text_encoder.pooler.dense.weight)
    assert ReferFormerProcessor.from_pretrained(arguments["output_dir"]).empty_below == 0


@torch.no_grad()
def test_the_absence_classifier_starts_untrained_beside_the_file(given):
    model, arguments = given
    config = tiny_config(ReferFormerConfig, model.config.text_config.vocab_size, absence_classifier=True)
    judging, _ = convert_referformer_checkpoint(**{**arguments, "config": config})
    assert ReferFormerProcessor.from_pretrained(arguments["output_dir"]).empty_below == 0.5
    frames, ids = torch.randn(1, 2, 3, 64, 64), torch.tensor([[5, 6, 7]])
    outputs, expected = judging(frames, ids), model.eval()(frames, ids)
    torch.testing.assert_close(outputs.pred_masks, expected.pred_masks, atol=1e-4, rtol=1e-4)
    assert (outputs.presence_logits > 0).all()


@torch.no_grad()
def test_with_vggish_it_hears_and_starts_as_it_was(given, tmp_path):
    model, arguments = given
    config = tiny_config(ReferFormerConfig, model.config.text_config.vocab_size, use_audio=True)
    vggish = VggishModel(config.audio_config)
    torch.save(vggish.state_dict(), tmp_path / "vggish.pth")
    heard, _ = convert_referformer_checkpoint(**{**arguments, "config": config}, vggish_path=tmp_path / "vggish.pth")
    assert torch.equal(heard.audio_encoder.features[0].weight, vggish.features[0].weight)
    assert ReferFormerProcessor.from_pretrained(arguments["output_dir"]).needs_audio
    frames, ids, sound = torch.randn(1, 2, 3, 64, 64), torch.tensor([[5, 6, 7]]), torch.randn(1, 2, 1, 96, 64)
    expected = model.eval()(frames, ids).pred_masks
    for converted in (heard, ReferFormerModel.from_pretrained(arguments["output_dir"])):
        found = converted(frames, ids, input_features=sound).pred_masks
        torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("controller__layers__2__bias", None, "missing keys: mask_head.controller.layers.2.bias"),
        ("controller__layers__3__bias", torch.zeros(2), "unexpected keys: controller.layers.3.bias"),
        ("query_embed__weight", torch.zeros(2, 32), r"transformer.queries.weight is \[2, 32\] instead of"),
        ("resizer__fc__bias", torch.full((32,), torch.nan), "text_projection.linear.bias holds NaN"),
        ("bbox_embed__0__layers__0__bias", torch.ones(32), "have to be the same layer"),
    ],
)
def test_nothing_is_written_when_the_checkpoint_does_not_fit(given, key, value, message):
    _, arguments = given
    change(arguments, **{key: value})
    with pytest.raises(ValueError, match=message):
        convert_referformer_checkpoint(**arguments)
    assert not arguments["output_dir"].parent.exists()


def test_a_tokenizer_of_another_text_encoder_is_refused(given):
    _, arguments = given
    vocab = len(AutoTokenizer.from_pretrained(arguments["text"]))
    arguments["config"].text_config.vocab_size = vocab + 3
    with pytest.raises(ValueError, match=rf"^text: the tokenizer of .* has {vocab} tokens, .* knows {vocab + 3}; take"):
        convert_referformer_checkpoint(**arguments)
    assert not arguments["output_dir"].parent.exists()


def test_no_other_class_is_unpickled(given):
    _, arguments = given
    content = torch.load(arguments["checkpoint_path"], weights_only=False)
    torch.save({**content, "args": pytest.approx(1)}, arguments["checkpoint_path"])
    with pytest.raises(ValueError, match=r"^checkpoint_path: .* is not a PyTorch file of plain tensors"):
        convert_referformer_checkpoint(**arguments)


BODY = "backbone.0.body."


@pytest.mark.parametrize(
    ("shapes", "expected"),
    [
        ({"conv1.weight": (64, 3, 7, 7)}, {"model_type": "resnet", "depths": [3, 4, 6, 3]}),
        ({"conv1.weight": (1,), "layer3.22.conv1.weight": (1,)}, {"model_type": "resnet", "depths": [3, 4, 23, 3]}),
        ({"patch_embed.proj.weight": (96, 3, 4, 4)}, {"depths": [2, 2, 6, 2], "drop_path_rate": 0.2}),
        (
            {"patch_embed.proj.weight": (96, 3, 4, 4), "layers.2.blocks.17.norm1.weight": (1,)},
            {"depths": [2, 2, 18, 2], "drop_path_rate": 0.2},
        ),
        ({"patch_embed.proj.weight": (128, 3, 4, 4)}, {"num_heads": [4, 8, 16, 32], "drop_path_rate": 0.3}),
        ({"patch_embed.proj.weight": (192, 3, 4, 4)}, {"num_heads": [6, 12, 24, 48], "depths": [2, 2, 18, 2]}),
    ],
)
def test_the_file_says_its_image_encoder(shapes, expected):
    config = released_vision_config({f"{BODY}{key}": torch.empty(shape) for key, shape in shapes.items()})
    assert {name: getattr(config, name) for name in expected} == expected


@pytest.mark.parametrize(
    ("shapes", "message"),
    [
        ({f"{BODY}patch_embed.proj.weight": (96, 3, 1, 4, 4)}, "Video-Swin, which is not supported"),
        ({f"{BODY}patch_embed.proj.weight": (64, 3, 4, 4)}, "96, 128 or 192 channels, this one 64"),
        ({"head.weight": (1,)}, "no image encoder of ReferFormer, .* but head.weight"),
    ],
)
def test_files_on_other_encoders_are_refused(shapes, message):
    with pytest.raises(ValueError, match=rf"^checkpoint_path: .*{message}"):
        released_vision_config({key: torch.empty(shape) for key, shape in shapes.items()})


def test_the_norms_of_the_decoder_are_numbered_otherwise():
    keys = [f"transformer.decoder.layers.1.norm{number}.weight" for number in (1, 2, 3)]
    here = ["encoder_attn_layer_norm", "self_attn_layer_norm", "final_layer_norm"]
    names = rename_keys(keys, REFERFORMER_KEYS)
    assert list(names.values()) == [f"transformer.decoder_layers.1.{name}.weight" for name in here]
    split = split_released({"transformer.decoder.layers.1.self_attn.in_proj_bias": torch.arange(6.0)})
    assert split["transformer.decoder.layers.1.self_attn.v_proj.bias"].tolist() == [4, 5]
