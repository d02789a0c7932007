import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lavseg.metrics import SemanticMetric


@st.composite
def maps(draw, classes=4):
    shape = draw(st.tuples(st.integers(1, 4), st.integers(1, 3), st.integers(1, 3)))
    size = shape[0] * shape[1] * shape[2]
    ids = st.lists(st.integers(0, classes - 1), min_size=size, max_size=size)
    return torch.tensor(draw(ids)).view(shape), torch.tensor(draw(ids)).view(shape)


def run(pairs, num_classes=4):
    metric = SemanticMetric(num_classes)
    for predictions, targets in pairs:
        metric.update(predictions, targets)
    return metric.compute()


def restated(predictions, targets, classes=4):
    """Per-class IoU and F a frame, class and pixel at a time."""
    iou, f = [[] for _ in range(classes)], [[] for _ in range(classes)]
    for prediction, truth in zip(predictions.flatten(1).tolist(), targets.flatten(1).tolist(), strict=True):
        for c in range(classes):
            tp = sum(p == t == c for p, t in zip(prediction, truth, strict=True))
            union = prediction.count(c) + truth.count(c) - tp
            if union:
                iou[c].append(tp / union)
                precision, recall = (tp / prediction.count(c), tp / truth.count(c)) if tp else (0, 0)
                f[c].append(1.3 * precision * recall / (0.3 * precision + recall) if tp else 0)
    scores = {}
    for name, values in (("miou", iou), ("f_score", f)):
        per_class = [sum(v) / len(v) if v else 0 for v in values]
        scores[name] = sum(per_class) / classes
        scores[f"{name}_no_background"] = sum(per_class[1:]) / (classes - 1)
        scores[f"{name}_no_background_official"] = sum(per_class[:-1]) / (classes - 1)
    return scores


@settings(max_examples=100, deadline=None)
@given(maps())
def test_equals_the_definition(pair):
    assert run([pair]) == pytest.approx(restated(*pair), abs=1e-12)


@settings(max_examples=30, deadline=None)
@given(pairs=st.lists(maps(), min_size=1, max_size=3), cut=st.integers(0, 3))
def test_batches_and_merge_equal_one_pass(pairs, cut):
    left, right = SemanticMetric(4), SemanticMetric(4)
    for predictions, targets in pairs[:cut]:
        left.update(predictions, targets)
    for predictions, targets in pairs[cut:]:
        for frame, truth in zip(predictions, targets, strict=True):
            right.update(frame[None], truth[None])
    left.merge(right)
    assert left.compute() == pytest.approx(run(pairs), abs=1e-12)


def test_background_is_class_zero_and_the_official_variant_drops_the_last():
    predictions = torch.tensor([[[0, 0, 70, 70]]])
    targets = torch.tensor([[[0, 0, 70, 1]]])
    scores = run([(predictions, targets)], 71)
    assert scores["miou"] == pytest.approx((1 + 0.5) / 71)
    assert scores["miou_no_background"] == pytest.approx(0.5 / 70)
    assert scores["miou_no_background_official"] == pytest.approx(1 / 70)


def test_small_integer_types_do_not_overflow():
    ids = torch.full((2, 8, 8), 70)
    assert run([(ids.to(torch.uint8), ids.to(torch.int8))], 71)["miou"] == pytest.approx(1 / 71)


GOOD = torch.zeros(2, 4, 4, dtype=torch.long)


@pytest.mark.parametrize(
    ("predictions", "targets", "message"),
    [
        (GOOD, GOOD + 71, r"targets must hold classes 0..70, got 71"),
        (GOOD - 1, GOOD, r"predictions must hold classes 0..70, got -1"),
        (GOOD.float(), GOOD, r"predictions must hold integer class ids, got torch.float32: pass logits.argmax"),
        (GOOD, GOOD.bool(), r"targets must hold integer class ids, got torch.bool"),
        (torch.zeros(2, 71, 4, 4), GOOD, r"predictions must hold at least one frame as \[N, H, W\]"),
        (GOOD[:1], GOOD, r"predictions and targets must have one shape"),
    ],
)
def test_bad_batches_are_named_and_leave_no_trace(predictions, targets, message):
    metric = SemanticMetric()
    with pytest.raises(ValueError, match=message):
        metric.update(predictions, targets)
    assert not metric.state.any()


def test_nothing_seen():
    with pytest.raises(ValueError, match="call update"):
        SemanticMetric().compute()


def test_one_class_is_refused():
    with pytest.raises(ValueError, match="num_classes"):
        SemanticMetric(1)


def test_merge_refuses_other_classes():
    with pytest.raises(ValueError, match="other must have 71 classes, got 4"):
        SemanticMetric().merge(SemanticMetric(4))
