import pytest
from tiny.configurations import nano_mask2former_config, tiny_config

from lavseg.models.stepping_stones import SteppingStonesConfig


def test_the_two_stages_are_the_two_released_networks():
    first, second = SteppingStonesConfig(), SteppingStonesConfig(num_labels=71)
    assert (first.num_queries, first.adapter_place) == (30, "instead")
    assert (second.num_queries, second.adapter_place) == (100, "after")
    assert first.architectures == ["SteppingStonesModel"]
    assert second.architectures == ["SteppingStonesForSemanticSegmentation"]
    for config, classes in ((first, 2), (second, 71)):
        host = config.mask2former_config
        assert (host.num_queries, host.num_labels) == (config.num_queries, classes)
        assert host.backbone_config.depths == [2, 2, 18, 2] and not config.audio_config.final_relu
        assert config.frame_size == 384 and config.encoder_adapters


def test_what_is_given_comes_before_what_was_released():
    config = SteppingStonesConfig(num_labels=71, num_queries=7, adapter_place="instead")
    assert (config.mask2former_config.num_queries, config.adapter_place) == (7, "instead")
    again = SteppingStonesConfig.from_dict(config.to_dict())
    assert (again.num_queries, again.num_labels, again.mask2former_config.num_labels) == (7, 71, 71)


@pytest.mark.parametrize(
    ("field", "value"),
    [("frame_size", 100), ("adapter_place", "beside"), ("adapter_ratio", 3), ("adapter_ratio", 0), ("num_queries", 0)],
)
def test_what_does_not_fit_is_refused(field, value):
    with pytest.raises(ValueError, match=rf"{field}: .*{value}"):
        tiny_config(SteppingStonesConfig, **{field: value})


def test_the_host_that_is_given_stays_as_it_is():
    host = nano_mask2former_config()
    before = host.to_dict()
    config = tiny_config(SteppingStonesConfig, mask2former_config=host, num_queries=7, num_labels=5)
    assert (config.mask2former_config.num_queries, config.mask2former_config.num_labels) == (7, 5)
    assert host.to_dict() == before
