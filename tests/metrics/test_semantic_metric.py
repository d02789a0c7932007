import numpy as np

from lavseg.metrics import SemanticMetric
from lavseg.metrics.semantic_metric import SemanticEvaluation


def test_the_loaded_script_equals_the_metric_and_writes_nothing(load_script, tmp_path):
    predictions, targets = np.random.default_rng(0).integers(0, 5, (2, 3, 8, 8))
    module = load_script("semantic_metric", cache_dir=str(tmp_path), num_classes=5)
    module.add_batch(predictions=predictions, references=targets)
    metric = SemanticMetric(5)
    metric.update(predictions, targets)
    assert module.compute() == metric.compute()
    assert not any(path.is_file() for path in tmp_path.rglob("*"))


def test_there_are_the_71_classes_of_avsbench(tmp_path):
    assert SemanticEvaluation(cache_dir=str(tmp_path)).statistics.num_classes == 71
