import pytest
import torch

from lavseg.backbones.pyramids import PvtV2Pyramid, ResNetPyramid
from lavseg.backbones.pyramids.configuration_pyramids import pvt_v2_b5_config, resnet50_config


@pytest.mark.parametrize(
    ("kind", "config", "count"),
    [(PvtV2Pyramid, pvt_v2_b5_config, 81_443_008), (ResNetPyramid, resnet50_config, 23_508_032)],
)
def test_they_have_the_published_numbers_of_parameters(kind, config, count):
    with torch.device("meta"):
        assert sum(parameter.numel() for parameter in kind(config()).parameters()) == count


def test_fields_can_differ():
    assert pvt_v2_b5_config(drop_path_rate=0.0).drop_path_rate == 0
    assert resnet50_config(depths=[1, 1, 1, 1]).depths == [1, 1, 1, 1]
