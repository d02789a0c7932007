import pytest
import torch

from lavseg.metrics import AvsMetric
from lavseg.metrics.avs_metric import AvsEvaluation


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


def test_processes_are_refused(tmp_path):
    with pytest.raises(ValueError, match="num_process must be 1, got 2"):
        AvsEvaluation("frame", num_process=2, cache_dir=str(tmp_path))


@pytest.mark.parametrize("arguments", [{"prediction": None, "reference": 1}, {"prediction": [[1.0]], "reference": "x"}])
def test_bad_frames_are_named(arguments, tmp_path):
    with pytest.raises(ValueError, match=r"(prediction|reference) must be a tensor or an array"):
        AvsEvaluation("frame", cache_dir=str(tmp_path)).add(**arguments)
