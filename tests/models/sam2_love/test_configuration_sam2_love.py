import pytest
from tiny.configurations import tiny_config

from lavseg.models.sam2_love import Sam2LoveConfig


def test_the_defaults_are_the_papers():
    config = Sam2LoveConfig()
    assert (config.hidden_size, config.num_hidden_layers, config.num_seg_tokens) == (1024, 6, 1)
    assert (config.key_frame, config.handoff, config.prompt_pooling, config.presence_head) == (
        *("first", "memory", "seg"),
        False,
    )
    kinds = [config.sam2_config, config.text_config, config.vision_config, config.audio_config]
    assert [kind.model_type for kind in kinds] == ["sam2_video", "roberta", "vit", "vggish"]


@pytest.mark.parametrize(
    "field", ["mask_selection", "loss_size", "prompt_pooling", "seg_readout", "key_frame", "handoff"]
)
def test_unknown_choices_are_refused(field):
    with pytest.raises(ValueError, match=f"{field}: 'other'"):
        tiny_config(Sam2LoveConfig, **{field: "other"})


def test_heads_have_to_divide_the_width():
    with pytest.raises(ValueError, match="num_attention_heads: 16 was given, it has to be 1 or more and to divide"):
        Sam2LoveConfig(hidden_size=100)


@pytest.mark.parametrize("field", ["num_hidden_layers", "num_seg_tokens", "max_frames"])
def test_counts_are_at_least_one(field):
    for count in (0, -1):
        with pytest.raises(ValueError, match=f"^{field}: {count} was given, it has to be 1 or more"):
            tiny_config(Sam2LoveConfig, **{field: count})
    assert getattr(tiny_config(Sam2LoveConfig, **{field: 1}), field) == 1
