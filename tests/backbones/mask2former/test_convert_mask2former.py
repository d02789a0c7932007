import re

from lavseg.backbones.mask2former.convert_mask2former import MASK2FORMER_KEYS, UNUSED_MASK2FORMER_KEYS, renamed

BLOCK = "host.pixel_level_module.encoder.encoder.layers.2.blocks.5."
NEW = "host.pixel_level_module.encoder.swin.encoder.layers.2.blocks.5."


def test_parts_get_the_names_of_today():
    named = {
        f"{BLOCK}attention.self.value.bias": f"{NEW}attention.v_proj.bias",
        f"{BLOCK}attention.output.dense.weight": f"{NEW}attention.o_proj.weight",
        f"{BLOCK}intermediate.dense.bias": f"{NEW}mlp.fc1.bias",
        f"{BLOCK}output.dense.bias": f"{NEW}mlp.fc2.bias",
        "host.pixel_level_module.decoder.encoder.layers.0.fc2.bias": (
            "host.pixel_level_module.decoder.encoder.layers.0.fc2.bias"
        ),
    }
    assert {key: renamed(key, MASK2FORMER_KEYS) for key in named} == named


def test_indices_and_weights_of_the_loss_are_of_no_use():
    unused = [f"{BLOCK}attention.self.relative_position_index", "model.criterion.empty_weight"]
    assert all(re.search(UNUSED_MASK2FORMER_KEYS, key) for key in unused)
    assert not re.search(UNUSED_MASK2FORMER_KEYS, f"{BLOCK}output.dense.bias")
