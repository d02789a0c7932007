import pytest
from frozen_encoders import CLASSES, count, published
from tiny.configurations import tiny_config

from lavseg.data import build_tokenizer


@pytest.mark.parametrize("method", ["aural_sam2", "eemc", "referformer", "sam2_love", "st_bava"])
def test_frozen_encoders_are_part_of_a_step(method):
    fields = {name: value for name, value in published()[method].items() if not name.endswith("_config")}
    config = tiny_config(CLASSES[method][0], len(build_tokenizer()), **fields)
    found = count(method, config, frames=2)
    assert found["sound"] > 0 and (found["text"] > 0) == (method != "st_bava")
    assert 0 < found["share"] < 1 and found["sound"] + found["text"] < found["step"]


def test_published_configurations_are_of_methods_here():
    assert published().keys() == CLASSES.keys() - {"sama_avs", "simtoken"}
