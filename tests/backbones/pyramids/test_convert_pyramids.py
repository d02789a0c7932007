import torch

from lavseg.backbones.pyramids import build_pyramid
from lavseg.backbones.pyramids.configuration_pyramids import pvt_v2_b5_config, resnet50_config
from lavseg.backbones.pyramids.convert_pyramids import pvt_v2_keys, resnet_keys, split_pvt_v2
from lavseg.backbones.sam.convert_sam import rename_keys


def test_keys_and_values_come_apart():
    state = {"block1.0.attn.kv.weight": torch.arange(8.0).view(4, 2), "block1.0.attn.q.bias": torch.zeros(2)}
    split = split_pvt_v2(state)
    assert split.keys() == {"block1.0.attn.k.weight", "block1.0.attn.v.weight", "block1.0.attn.q.bias"}
    assert split["block1.0.attn.k.weight"].tolist() == [[0, 1], [2, 3]]


def test_torchvisions_names_are_all_known():
    keys = [
        "conv1.weight",
        "bn1.running_mean",
        "layer1.0.conv3.weight",
        "layer4.2.bn2.bias",
        "layer2.0.downsample.1.bias",
    ]
    names = rename_keys(keys, resnet_keys())
    with torch.device("meta"):
        assert set(names.values()) <= build_pyramid(resnet50_config()).state_dict().keys()


def test_pvts_names_stand_behind_prefixes():
    keys = ["x.patch_embed1.norm.weight", "x.block4.2.attn.v.bias", "x.block1.0.attn.sr.weight", "x.norm3.bias"]
    names = rename_keys(keys, pvt_v2_keys(r"x\.", "vision."))
    with torch.device("meta"):
        known = build_pyramid(pvt_v2_b5_config()).state_dict().keys()
    assert {name.removeprefix("vision.") for name in names.values()} <= known
