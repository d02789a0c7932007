import torch

from lavseg.backbones.pyramids import build_pyramid
from lavseg.backbones.pyramids.configuration_pyramids import pvt_v2_b5_config, resnet50_config
from lavseg.backbones.pyramids.convert_pyramids import pvt_v2_keys, read_published, resnet_keys, split_pvt_v2
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


def test_batches_that_an_old_file_does_not_count_are_none(tmp_path):
    count = "embedder.embedder.normalization.num_batches_tracked"
    state = {"conv1.weight": torch.zeros(64, 3, 7, 7), "bn1.running_mean": torch.zeros(64), "fc.bias": torch.zeros(10)}
    torch.save(state, tmp_path / "old.pth")
    torch.save(state | {"bn1.num_batches_tracked": torch.tensor(7)}, tmp_path / "new.pth")
    old, new = (read_published("vision", tmp_path / name)[1] for name in ("old.pth", "new.pth"))
    assert old.keys() == new.keys() and len(old) == 3 and (old[count], new[count]) == (0, 7)
