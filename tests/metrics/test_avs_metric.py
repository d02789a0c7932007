import evaluate
import pytest
from metric_batches import expected, files_in, make_batches

from lavseg.metrics import PROTOCOLS, avs_metric


def test_the_loaded_script_equals_the_metric_and_writes_nothing(script_cache, tmp_path):
    batches = make_batches()
    for protocol in PROTOCOLS:
        module = evaluate.load(avs_metric.__file__, protocol, cache_dir=str(tmp_path))
        for logits, targets in batches:
            module.add_batch(predictions=logits, references=targets)
            assert files_in(tmp_path) == []
        assert module.compute() == expected(protocol, batches)
    assert files_in(tmp_path) == []


def test_config_name_must_be_a_protocol(script_cache, tmp_path):
    with pytest.raises(ValueError, match="protocol must be one of avsbench, ref_avs"):
        evaluate.load(avs_metric.__file__, cache_dir=str(tmp_path))
