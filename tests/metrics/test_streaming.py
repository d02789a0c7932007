from pathlib import Path

import evaluate
import numpy as np
import pytest
import torch

import lavseg.metrics
from lavseg.metrics import PROTOCOLS, AvsMetric, SemanticMetric
from lavseg.metrics.avs_metric import AvsEvaluation
from lavseg.metrics.semantic_metric import SemanticEvaluation

FOLDER = Path(lavseg.metrics.__file__).parent


@pytest.fixture(scope="module", autouse=True)
def scripts(tmp_path_factory):
    """Loaded scripts are copied here instead of the user's home; one folder, as the copies form one package."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(evaluate.config, "HF_MODULES_CACHE", tmp_path_factory.mktemp("modules"))
        yield


def files_in(folder):
    return [path for path in folder.rglob("*") if path.is_file()]


@pytest.fixture
def batches():
    generator = torch.Generator().manual_seed(0)
    return [
        (torch.randn(n, 16, 16, generator=generator), (torch.rand(n, 16, 16, generator=generator) < 0.4).byte())
        for n in (3, 2)
    ]


def expected(protocol, batches):
    metric = AvsMetric(protocol)
    for logits, targets in batches:
        metric.update(logits, targets)
    return metric.compute()


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_loaded_script_equals_the_metric_and_writes_nothing(protocol, batches, tmp_path):
    module = evaluate.load(str(FOLDER / "avs_metric.py"), protocol, cache_dir=str(tmp_path))
    for logits, targets in batches:
        module.add_batch(predictions=logits, references=targets)
        assert files_in(tmp_path) == []
    assert module.compute() == expected(protocol, batches)
    assert files_in(tmp_path) == []


def test_imported_module_writes_nothing(batches, tmp_path):
    module = AvsEvaluation("frame", cache_dir=str(tmp_path))
    for logits, targets in zip(*batches[0], strict=True):
        module.add(prediction=logits, reference=targets)
    assert module.compute() == pytest.approx(expected("frame", batches[:1]))
    assert files_in(tmp_path) == []


def test_compute_takes_a_batch_and_starts_anew(batches, tmp_path):
    module = AvsEvaluation("ref_avs", cache_dir=str(tmp_path))
    for logits, targets in batches:
        values = module.compute(predictions=logits.numpy(), references=targets.numpy())
        assert values == expected("ref_avs", [(logits, targets)])
    with pytest.raises(ValueError, match="nothing to compute"):
        module.compute()


def test_config_name_must_be_a_protocol(tmp_path):
    with pytest.raises(ValueError, match="protocol must be one of avsbench, ref_avs"):
        evaluate.load(str(FOLDER / "avs_metric.py"), cache_dir=str(tmp_path))


def test_processes_are_refused(tmp_path):
    with pytest.raises(ValueError, match="num_process must be 1, got 2"):
        AvsEvaluation("frame", num_process=2, cache_dir=str(tmp_path))


@pytest.mark.parametrize("arguments", [{"prediction": None, "reference": 1}, {"prediction": [[1.0]], "reference": "x"}])
def test_bad_frames_are_named(arguments, tmp_path):
    with pytest.raises(ValueError, match=r"(prediction|reference) must be a tensor or an array"):
        AvsEvaluation("frame", cache_dir=str(tmp_path)).add(**arguments)


def test_semantic_script_equals_the_metric_and_writes_nothing(tmp_path):
    generator = np.random.default_rng(0)
    predictions, targets = generator.integers(0, 5, (2, 3, 8, 8))
    module = evaluate.load(str(FOLDER / "semantic_metric.py"), cache_dir=str(tmp_path), num_classes=5)
    module.add_batch(predictions=predictions, references=targets)
    metric = SemanticMetric(5)
    metric.update(predictions, targets)
    assert module.compute() == metric.compute()
    assert files_in(tmp_path) == []


def test_semantic_module_counts_the_71_classes_of_avsbench(tmp_path):
    assert SemanticEvaluation(cache_dir=str(tmp_path)).statistics.num_classes == 71
