import pytest
import torch

from lavseg.metrics import AvsMetric


def test_the_loaded_script_equals_the_metric_and_writes_nothing(load_script, tmp_path):
    module, metric = load_script("avs_metric", "ref_avs", cache_dir=str(tmp_path)), AvsMetric("ref_avs")
    for frames in (3, 2):
        logits, targets = torch.randn(frames, 16, 16), (torch.rand(frames, 16, 16) < 0.4).byte()
        module.add_batch(predictions=logits, references=targets)
        metric.update(logits, targets)
    assert module.compute() == metric.compute()
    assert not any(path.is_file() for path in tmp_path.rglob("*"))


def test_the_config_name_is_the_protocol(load_script, tmp_path):
    assert load_script("avs_metric", "gavs", cache_dir=str(tmp_path)).statistics.protocol == "gavs"
    with pytest.raises(ValueError, match="protocol must be one of avsbench, ref_avs"):
        load_script("avs_metric", cache_dir=str(tmp_path))
