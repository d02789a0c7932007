import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lavseg.metrics.functional import curve_counts, curve_thresholds, f_curve, f_measure, jaccard, mask_counts

THRESHOLDS = curve_thresholds()
INFINITY = torch.tensor(float("inf"))
TIES = torch.cat([THRESHOLDS, THRESHOLDS.nextafter(INFINITY), THRESHOLDS.nextafter(-INFINITY)]).tolist()
SCORES = st.one_of(
    st.sampled_from(TIES),
    st.floats(0, 1, width=32),
    st.floats(allow_nan=False, width=32),
    st.sampled_from([float("inf"), float("-inf"), -0.0]),
)


@st.composite
def frames(draw):
    shape = draw(st.tuples(st.integers(1, 3), st.integers(1, 3), st.integers(1, 4)))
    size = shape[0] * shape[1] * shape[2]
    scores = draw(st.lists(SCORES, min_size=size, max_size=size))
    targets = draw(st.lists(st.booleans(), min_size=size, max_size=size))
    return torch.tensor(scores).view(shape), torch.tensor(targets).view(shape)


@settings(max_examples=25, deadline=None)
@given(frames())
def test_curve_equals_one_comparison_per_pixel_and_threshold(batch):
    counts = curve_counts(*batch)
    curve = f_curve(counts)
    for n, (scores, target) in enumerate(zip(*batch, strict=True)):
        pixels = list(zip(scores.flatten().tolist(), target.flatten().tolist(), strict=True))
        truth = sum(hit for _, hit in pixels)
        for k, threshold in enumerate(THRESHOLDS.tolist()):
            predicted = sum(score >= threshold for score, _ in pixels)
            tp = sum(score >= threshold and hit for score, hit in pixels)
            assert counts.predicted[n, k] == predicted
            assert counts.true_positive[n, k] == tp
            precision, recall = (tp / predicted if predicted else 0), (tp / truth if truth else 0)
            f = 1.3 * precision * recall / (0.3 * precision + recall) if tp else 0
            assert curve[n, k].item() == pytest.approx(f, abs=1e-12)
        assert counts.truth[n] == truth


def test_curve_is_exact_at_and_beside_every_threshold():
    halves = (THRESHOLDS[1:] + THRESHOLDS[:-1]) / 2
    random = torch.rand(20_000, generator=torch.Generator().manual_seed(0))
    scores = torch.cat([torch.tensor(TIES), halves, random])
    predicted = (scores[:, None] >= THRESHOLDS).sum(0)
    counts = curve_counts(scores[None, None], torch.ones(1, 1, len(scores), dtype=torch.bool))
    assert torch.equal(counts.predicted[0], predicted)
    assert torch.equal(counts.true_positive[0], predicted)


@settings(max_examples=60, deadline=None)
@given(frames())
def test_mask_counts_and_jaccard_equal_a_loop_over_pixels(batch):
    scores, targets = batch
    predictions = scores > 0.5
    counts = mask_counts(predictions, targets)
    by_rule = {rule: jaccard(counts, rule).tolist() for rule in ("specificity", "exact")}
    for n in range(len(scores)):
        pairs = list(zip(predictions[n].flatten().tolist(), targets[n].flatten().tolist(), strict=True))
        expected = [pairs.count(pair) for pair in ((True, True), (True, False), (False, True), (False, False))]
        assert [column[n].item() for column in counts] == expected
        tp, fp, fn, tn = expected
        if tp + fn:
            assert by_rule["specificity"][n] == by_rule["exact"][n] == pytest.approx(tp / (tp + fp + fn))
        else:
            assert by_rule["specificity"][n] == pytest.approx(tn / len(pairs))
            assert by_rule["exact"][n] == (fp == 0)


def test_statistics_are_integers_and_scores_float64():
    logits, targets = torch.randn(2, 4, 5), torch.rand(2, 4, 5) < 0.5
    curve = curve_counts(logits, targets)
    masks = mask_counts(logits > 0, targets)
    assert {column.dtype for column in (*curve, *masks)} == {torch.int64}
    assert f_curve(curve).dtype == jaccard(masks, "exact").dtype == torch.float64


def test_f_measure_weighs_precision():
    # Precision 1 and recall 1/2 beat precision 1/2 and recall 1.
    precise = f_measure(torch.tensor(5), torch.tensor(5), torch.tensor(10)).item()
    complete = f_measure(torch.tensor(10), torch.tensor(20), torch.tensor(10)).item()
    assert precise == pytest.approx(1.3 * 0.5 / (0.3 + 0.5))
    assert complete == pytest.approx(1.3 * 0.5 / (0.15 + 1))
    assert precise > complete


def test_scores_that_are_nan_have_no_curve():
    scores, targets = torch.rand(2, 3, 4), torch.ones(2, 3, 4, dtype=torch.bool)
    scores[1, 2, 3] = float("nan")
    with pytest.raises(ValueError, match="scores holds NaN"):
        curve_counts(scores, targets)
