import json
import warnings

import pytest
from tiny.configurations import tiny_config
from transformers import AutoConfig, AutoModel

from lavseg.modeling.configuration import differing_fields
from lavseg.models.sam2_love import Sam2LoveConfig
from tiny_methods import EVERY_METHOD

# What older files hold, and the loss weights it stands for; of TPAVI there are none.
FORMER = {
    "aural_sam2": (
        {"focal_weight": 2.0, "contrastive_weight": 0.5, "max_text_length": 12},
        {"focal": 2.0, "contrastive": 0.5},
    ),
    "gavs": ({"max_text_length": 12, "bgr_frames": True, "pad_frames": False}, {}),
    "sam2_love": (
        {"bce_weight": 2.0, "object_loss_weight": 0.5, "max_text_length": 12},
        {"bce": 2.0, "object": 0.5},
    ),
    "sama_avs": ({"max_text_length": 12}, {}),
    "st_bava": ({"iou_loss_weight": 0.5}, {"iou": 0.5}),
}


def told(caught):
    return [str(warning.message) for warning in caught if issubclass(warning.category, DeprecationWarning)]


@pytest.mark.parametrize("classes", [method for method in EVERY_METHOD if method.id in FORMER])
def test_an_older_file_is_read_with_one_warning_and_written_without_its_fields(classes, tmp_path):
    config_class, model_class, _ = classes
    former, weights = FORMER[config_class.model_type]
    config = tiny_config(config_class)
    config.save_pretrained(tmp_path / "new")
    stored = json.loads((tmp_path / "new" / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({**stored, **former}))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", DeprecationWarning)
        config = AutoConfig.from_pretrained(tmp_path)
    (message,) = told(caught)
    assert all(name in message for name in former) and f"no longer fields of {config_class.__name__}" in message
    assert not weights or f"loss_weights={weights}" in message

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", DeprecationWarning)
        model = AutoModel.from_config(config)
        model.save_pretrained(tmp_path / "model")
        again = AutoModel.from_pretrained(tmp_path / "model")
    assert not told(caught)
    assert again.loss_weights.items() <= model_class.default_loss_weights.items()
    assert model.loss_weights == {**again.loss_weights, **weights}
    written = json.loads((tmp_path / "model" / "config.json").read_text())
    assert not written.keys() & {*former, "former_loss_weights"} and stored.keys() <= written.keys()


def test_a_notice_is_written_where_there_is_one_and_is_one_line(tmp_path):
    config_class = EVERY_METHOD[0].values[0][0]
    assert "notice" not in tiny_config(config_class).to_dict()
    tiny_config(config_class, notice="a toy").save_pretrained(tmp_path)
    assert AutoConfig.from_pretrained(tmp_path).notice == "a toy"
    for wrong in ("two\nlines", "\x1b[31mred", "x" * 301):
        with pytest.raises(ValueError, match="notice: has to be one line"):
            tiny_config(config_class, notice=wrong)


def test_fields_that_differ_are_named_with_both_values():
    config = tiny_config(Sam2LoveConfig)
    same = {"hidden_size": 96, "text_config": {"hidden_size": config.text_config.hidden_size}}
    assert differing_fields(config, same) == []
    other = {"num_hidden_layers": 6, "vision_config": {"num_hidden_layers": 1, "hidden_size": 96}}
    assert differing_fields(config, other) == [
        "num_hidden_layers=6 (3 there)",
        "vision_config.num_hidden_layers=1 (3 there)",
    ]


@pytest.mark.parametrize("classes", EVERY_METHOD)
def test_a_new_configuration_is_made_without_a_warning(classes):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", DeprecationWarning)
        config = tiny_config(classes[0])
    assert not told(caught) and config.former_loss_weights == {}


@pytest.mark.parametrize("heads", [0, -4])
@pytest.mark.parametrize("classes", [m for m in EVERY_METHOD if hasattr(m.values[0][0], "num_attention_heads")])
def test_there_is_a_head_or_more(classes, heads):
    with pytest.raises(ValueError, match=f"^num_attention_heads: {heads} was given, it has to be 1 or more"):
        tiny_config(classes[0], num_attention_heads=heads)
