import evaluate
import numpy as np
from metric_batches import files_in

from lavseg.metrics import SemanticMetric, semantic_metric
from lavseg.metrics.semantic_metric import SemanticEvaluation


def test_the_loaded_script_equals_the_metric_and_writes_nothing(script_cache, tmp_path):
    predictions, targets = np.random.default_rng(0).integers(0, 5, (2, 3, 8, 8))
    module = evaluate.load(semantic_metric.__file__, cache_dir=str(tmp_path), num_classes=5)
    module.add_batch(predictions=predictions, references=targets)
    metric = SemanticMetric(5)
    metric.update(predictions, targets)
    assert module.compute() == metric.compute()
    assert files_in(tmp_path) == []


def test_it_counts_the_71_classes_of_avsbench(tmp_path):
    assert SemanticEvaluation(cache_dir=str(tmp_path)).statistics.num_classes == 71
