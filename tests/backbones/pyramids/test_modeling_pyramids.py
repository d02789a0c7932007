import json

import numpy as np
import pytest
import torch
from transformers import PvtV2Backbone, PvtV2ForImageClassification, SwinForImageClassification, ViTConfig

from conftest import golden_files
from lavseg.backbones.pyramids import PvtV2Pyramid, ResNetPyramid, build_pyramid, convert_pyramids, load_pyramid
from lavseg.backbones.pyramids.configuration_pyramids import pvt_v2_b5_config, resnet50_config, swin_config
from lavseg.backbones.pyramids.convert_pyramids import pvt_v2_keys, resnet_keys, split_pvt_v2
from lavseg.backbones.pyramids.modeling_pyramids import freeze_batch_norm
from lavseg.backbones.sam.convert_sam import rename_keys
from pyramid_reference import assert_near, det_input, released_state

SMALL = {"hidden_sizes": [8, 16, 16, 32], "depths": [1, 1, 2, 1]}
RELEASED = {
    "pvt": (pvt_v2_b5_config, "encoder_backbone.", pvt_v2_keys(r"encoder_backbone\.")),
    "res50": (resnet50_config, "resnet.", resnet_keys(r"resnet\.", stages=("1", "2", "3_1", "4_1"))),
}


def small_pvt(**overrides):
    return pvt_v2_b5_config(**SMALL, num_attention_heads=[1, 1, 2, 2], mlp_ratios=[2, 2, 2, 2], **overrides)


@pytest.mark.parametrize("config", [small_pvt(), resnet50_config(**SMALL, embedding_size=8)], ids=["pvt", "resnet"])
@torch.no_grad()
def test_maps_of_four_strides(config):
    model = build_pyramid(config).eval()
    maps = model(torch.randn(2, 3, 64, 96)).feature_maps
    assert [value.shape for value in maps] == [
        (2, width, 64 // stride, 96 // stride)
        for width, stride in zip(SMALL["hidden_sizes"], (4, 8, 16, 32), strict=True)
    ]
    assert len(model.blocks) == sum(SMALL["depths"])
    assert model.get_input_embeddings().in_channels == 3


@torch.no_grad()
def test_pvt_differs_from_transformers_in_two_epsilons_alone():
    torch.manual_seed(0)
    model, stock = PvtV2Pyramid(small_pvt()).eval(), PvtV2Backbone(small_pvt()).eval()
    stock.load_state_dict(model.state_dict())
    frames = 0.01 * torch.randn(1, 3, 64, 64)
    pairs = list(zip(model(frames).feature_maps, stock(frames).feature_maps, strict=True))
    assert max((ours - theirs).abs().max() for ours, theirs in pairs) > 1e-4
    for name, module in stock.named_modules():
        if name.endswith(("patch_embedding.layer_norm", "attention.layer_norm")):
            module.eps = 1e-5
    for ours, theirs in zip(model(frames).feature_maps, stock(frames).feature_maps, strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-5)


def test_a_classifier_is_loaded_as_a_pyramid(tmp_path):
    PvtV2ForImageClassification(small_pvt(drop_path_rate=0.3)).save_pretrained(tmp_path)
    model = load_pyramid("vision", tmp_path)
    assert type(model) is PvtV2Pyramid and model.out_features == ["stage1", "stage2", "stage3", "stage4"]
    assert model.encoder.layers[0].patch_embedding.layer_norm.eps == 1e-5
    assert model.encoder.layers[3].blocks[0].drop_path.drop_prob == pytest.approx(0.1)
    ResNetPyramid(resnet50_config(**SMALL, embedding_size=8)).save_pretrained(tmp_path / "resnet")
    assert type(load_pyramid("vision", tmp_path / "resnet")) is ResNetPyramid


def test_torchvisions_file_is_read(tmp_path, monkeypatch):
    small = resnet50_config(hidden_sizes=[8, 16, 16, 32], depths=[1, 1, 1, 1], embedding_size=8)
    monkeypatch.setattr(convert_pyramids, "resnet50_config", lambda: small)
    expected, kinds = ResNetPyramid(small), {"convolution": "conv", "normalization": "bn"}
    state = {"fc.bias": torch.zeros(1000)}
    for name, value in expected.state_dict().items():
        *path, kind, tensor = name.split(".")
        if path[0] == "embedder":
            key = f"{kinds[kind]}1"
        else:
            part = (
                f"downsample.{list(kinds).index(kind)}"
                if path[-1] == "shortcut"
                else f"{kinds[kind]}{int(path[-1]) + 1}"
            )
            key = f"layer{int(path[2]) + 1}.{path[4]}.{part}"
        state[f"{key}.{tensor}"] = value
    torch.save(state, tmp_path / "resnet.pth")
    found = load_pyramid("vision", tmp_path / "resnet.pth").state_dict()
    assert all(torch.equal(found[name], value) for name, value in expected.state_dict().items())
    del state["bn1.weight"]
    torch.save(state, tmp_path / "resnet.pth")
    with pytest.raises(ValueError, match=r"\(vision\); missing keys: embedder.embedder.normalization.weight"):
        load_pyramid("vision", tmp_path / "resnet.pth")
    torch.save({"layers.0.weight": torch.zeros(1)}, tmp_path / "resnet.pth")
    with pytest.raises(ValueError, match=r"^vision: .* is no PVT v2 and no ResNet, it has layers.0.weight"):
        load_pyramid("vision", tmp_path / "resnet.pth")


def test_other_networks_are_refused():
    with pytest.raises(ValueError, match=r"^vision_config: is a 'vit', 'pvt_v2' or 'resnet' is needed"):
        build_pyramid(ViTConfig())
    with pytest.raises(ValueError, match=r"^vision_config: has to have 4 stages"):
        build_pyramid(resnet50_config(hidden_sizes=[8] * 5, depths=[1] * 5))
    with pytest.raises(ValueError, match=r"^linear_attention"):
        build_pyramid(small_pvt(linear_attention=True))


@pytest.mark.parity
@pytest.mark.parametrize("file", golden_files("tpavi/backbone_*.npz", quick=1))
@torch.no_grad()
def test_maps_are_those_of_the_release(file):
    golden, case = np.load(file), json.loads(file.with_suffix(".json").read_text())
    config, prefix, rules = RELEASED[case["backbone"]]
    unused = ("resnet.layer3_2", "resnet.layer4_2")
    state = split_pvt_v2(
        released_state(
            f"tpavi/keys_{case['backbone']}_bin.json", lambda key: key.startswith(prefix) and not key.startswith(unused)
        )
    )
    model = build_pyramid(config()).eval()
    names = rename_keys(state, rules)
    model.load_state_dict({names[key]: value for key, value in state.items()})
    frames = det_input("imgs", case["seed"], (2, 3, *case["hw"])) * case["input_scale"]
    maps = model(frames).feature_maps
    for stage, value in enumerate(maps, 1):
        assert_near(value[:, ::2] if stage < 4 else value, golden[f"x{stage}"])


@torch.no_grad()
def test_swin_has_a_norm_on_each_map_and_none_at_the_end(tmp_path):
    small = {"depths": [1, 1, 2, 1], "num_heads": [1, 1, 2, 4], "window_size": 2}
    torch.manual_seed(0)
    model = build_pyramid(swin_config(8, **small), ("swin",)).eval()
    assert not list(model.swin.layernorm.parameters())
    maps = model(torch.randn(1, 3, 65, 70)).feature_maps
    assert [tuple(value.shape) for value in maps] == [(1, 8, 17, 18), (1, 16, 9, 9), (1, 32, 5, 5), (1, 64, 3, 3)]
    assert len(model.blocks) == 5 and model.get_input_embeddings().in_channels == 3
    SwinForImageClassification(swin_config(8, **small, drop_path_rate=0.1)).save_pretrained(tmp_path)
    loaded = load_pyramid("vision", tmp_path, ("resnet", "swin"))
    # Norms of the maps, which a classifier lacks, start anew; how paths are dropped is the methods'.
    assert loaded.hidden_states_norms.stage1.weight.eq(1).all()
    assert loaded.config.drop_path_rate == 0.3
    with pytest.raises(ValueError, match=r"^vision: is a 'swin', 'pvt_v2' or 'resnet' is needed"):
        load_pyramid("vision", tmp_path)


@torch.no_grad()
def test_frozen_batch_norms_are_constants():
    torch.manual_seed(0)
    model = build_pyramid(resnet50_config(**SMALL, embedding_size=8))
    for name, value in model.named_buffers():
        if "running" in name:
            value.uniform_(0.5, 1.5)
    frames = torch.randn(2, 3, 64, 64)
    expected = model.eval()(frames).feature_maps
    freeze_batch_norm(model)
    state = {name: value.clone() for name, value in model.state_dict().items()}
    for found, value in zip(model.train()(frames).feature_maps, expected, strict=True):
        torch.testing.assert_close(found, value, atol=1e-4, rtol=1e-4)
    assert all(torch.equal(value, state[name]) for name, value in model.state_dict().items())
    assert not any("normalization" in name for name, _ in model.named_parameters())
