import pytest
from metric_batches import expected, files_in, make_batches

from lavseg.metrics.avs_metric import AvsEvaluation


def test_frames_one_by_one_are_a_batch_each_and_nothing_is_written(tmp_path):
    module = AvsEvaluation("frame", cache_dir=str(tmp_path))
    for logits, targets in zip(*make_batches()[0], strict=True):
        module.add(prediction=logits, reference=targets)
    assert module.compute() == pytest.approx(expected("frame", make_batches()[:1]))
    assert files_in(tmp_path) == []


def test_compute_takes_a_batch_and_starts_anew(tmp_path):
    module = AvsEvaluation("ref_avs", cache_dir=str(tmp_path))
    for logits, targets in make_batches():
        values = module.compute(predictions=logits.numpy(), references=targets.numpy())
        assert values == expected("ref_avs", [(logits, targets)])
    with pytest.raises(ValueError, match="nothing to compute"):
        module.compute()


def test_processes_are_refused(tmp_path):
    with pytest.raises(ValueError, match="num_process must be 1, got 2"):
        AvsEvaluation("frame", num_process=2, cache_dir=str(tmp_path))


def test_bad_frames_are_named(tmp_path):
    module = AvsEvaluation("frame", cache_dir=str(tmp_path))
    with pytest.raises(ValueError, match="prediction must be a tensor or an array"):
        module.add(prediction=None, reference=1)
    with pytest.raises(ValueError, match="reference must be a tensor or an array"):
        module.add(prediction=[[1.0]], reference="x")
