import math
import random

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lavseg.metrics import PROTOCOLS, AvsMetric, protocols

LOGITS = st.one_of(
    st.floats(-12, 12, width=32),
    st.sampled_from([0.0, -0.0, 80.0, -80.0, float("inf"), float("-inf"), 1e-8, -1e-8, 0.5, 1.0]),
)
THRESHOLDS = torch.linspace(0, 1, 255).tolist()
LOGIT_OF_0_4 = math.log(0.4 / 0.6)


@st.composite
def batches(draw, max_batches=3):
    height, width = draw(st.integers(1, 3)), draw(st.integers(1, 3))
    result = []
    for _ in range(draw(st.integers(1, max_batches))):
        shape = (draw(st.integers(1, 3)), height, width)
        size = math.prod(shape)
        logits = torch.tensor(draw(st.lists(LOGITS, min_size=size, max_size=size))).view(shape)
        targets = torch.tensor(draw(st.lists(st.integers(0, 1), min_size=size, max_size=size))).view(shape)
        result.append((logits, targets))
    return result


def run(protocol, pairs):
    metric = AvsMetric(protocol)
    for logits, targets in pairs:
        metric.update(logits, targets)
    return metric.compute()


def f_score(tp, predicted, truth):
    return 1.3 * (tp / predicted) * (tp / truth) / (0.3 * tp / predicted + tp / truth) if tp else 0.0


def mean(values):
    return sum(values) / len(values)


def frames_of(logits, targets):
    for frame, truth in zip(logits, targets, strict=True):
        scores, probabilities = frame.flatten().tolist(), frame.sigmoid().flatten().tolist()
        yield list(zip(scores, probabilities, truth.flatten().tolist(), strict=True))


def restated(protocol, pairs):
    """The definitions in plain Python, a pixel at a time."""
    j_batches, f_batches, s_batches, positives, pixels = [], [], [], 0, 0
    for logits, targets in pairs:
        j_frames, curves, found, seen = [], [], 0, 0
        for frame in frames_of(logits, targets):
            above = {"ref_avs": 0.4, "gavs": 0.4, "simtoken": 0.4}.get(protocol, 0.5)
            by_logit = protocol in ("aural_sam2", "stepping_stones")
            mask = [logit > 0 if by_logit else p > np.float32(above) for logit, p, _ in frame]
            truth = [bool(t) for _, _, t in frame]
            tp = sum(m and t for m, t in zip(mask, truth, strict=True))
            union = sum(m or t for m, t in zip(mask, truth, strict=True))
            j_frames.append(tp / union if any(truth) else mean([not m for m in mask]))
            if any(truth):
                scores = [logit if protocol == "sama_avs" else p for logit, p, _ in frame]
                curves.append([])
                for threshold in THRESHOLDS:
                    chosen = [score >= threshold for score in scores]
                    hits = sum(c and t for c, t in zip(chosen, truth, strict=True))
                    curves[-1].append(f_score(hits, sum(chosen), sum(truth)))
            found += sum(p > 0.5 for _, p, _ in frame)
            seen += len(frame)
        j_batches.append(mean(j_frames))
        f_batches.append(max(mean(column) for column in zip(*curves, strict=True)) if curves else 0.0)
        s_batches.append(math.sqrt(found / seen))
        positives, pixels = positives + found, pixels + seen
    ratio = positives / pixels
    return finish(j_batches, f_batches, ratio if protocol == "aural_sam2" else mean(s_batches), ratio)


def restated_by_frame(pairs):
    j_frames, f_frames, s_frames, ratios = [], [], [], []
    for frame in (frame for batch in pairs for frame in frames_of(*batch)):
        mask, truth = [p > 0.5 for _, p, _ in frame], [bool(t) for _, _, t in frame]
        tp = sum(m and t for m, t in zip(mask, truth, strict=True))
        union = sum(m or t for m, t in zip(mask, truth, strict=True))
        j_frames.append(tp / union if any(truth) else float(not any(mask)))
        f_frames.append(f_score(tp, sum(mask), sum(truth)) if any(truth) else float(not any(mask)))
        s_frames.append(math.sqrt(mean(mask)))
        ratios.append(mean(mask))
    return finish(j_frames, f_frames, mean(s_frames), mean(ratios))


def finish(j, f, s, ratio):
    return {"jaccard": mean(j), "f_score": mean(f), "j_and_f": (mean(j) + mean(f)) / 2, "s": s, "s_ratio": ratio}


@pytest.mark.parametrize("protocol", [name for name in PROTOCOLS if name != "frame"])
@settings(max_examples=25, deadline=None)
@given(pairs=batches())
def test_batch_protocols_equal_their_definition(protocol, pairs):
    assert run(protocol, pairs) == pytest.approx(restated(protocol, pairs), abs=1e-12)


@settings(max_examples=40, deadline=None)
@given(pairs=batches())
def test_frame_protocol_equals_its_definition(pairs):
    assert run("frame", pairs) == pytest.approx(restated_by_frame(pairs), abs=1e-12)


@settings(max_examples=50, deadline=None)
@given(pairs=batches(), seed=st.integers(0, 2**16), size=st.integers(1, 4))
def test_frame_protocol_ignores_order_and_grouping(pairs, seed, size):
    frames = [frame for logits, targets in pairs for frame in zip(logits, targets, strict=True)]
    random.Random(seed).shuffle(frames)
    groups = [frames[start : start + size] for start in range(0, len(frames), size)]
    regrouped = [tuple(torch.stack(part) for part in zip(*group, strict=True)) for group in groups]
    assert run("frame", regrouped) == pytest.approx(run("frame", pairs), abs=1e-12)


@settings(max_examples=30, deadline=None)
@given(protocol=st.sampled_from(list(PROTOCOLS)), pairs=batches(max_batches=4), cut=st.integers(0, 4))
def test_merge_equals_one_pass(protocol, pairs, cut):
    left, right = AvsMetric(protocol), AvsMetric(protocol)
    for logits, targets in pairs[:cut]:
        left.update(logits, targets)
    for logits, targets in pairs[cut:]:
        right.update(logits, targets)
    left.merge(right)
    assert left.compute() == pytest.approx(run(protocol, pairs), abs=1e-12)


@settings(max_examples=30, deadline=None)
@given(protocol=st.sampled_from(list(PROTOCOLS)), pairs=batches(max_batches=4), seed=st.integers(0, 2**16))
def test_batches_may_be_added_up_frame_by_frame_in_any_order(protocol, pairs, seed):
    metric = AvsMetric(protocol)
    # One more than there are: a batch without frames does not count.
    sums = torch.zeros(len(pairs) + 1, metric.num_sums, dtype=torch.float64)
    frames = [(batch, *frame) for batch, pair in enumerate(pairs) for frame in zip(*pair, strict=True)]
    random.Random(seed).shuffle(frames)
    for batch, logits, targets in frames:
        sums[batch] += metric.frame_sums(logits[None], targets[None])
    metric.add(sums)
    assert metric.compute() == pytest.approx(run(protocol, pairs), abs=1e-12)


def test_merge_refuses_another_protocol():
    with pytest.raises(ValueError, match=r"other must follow the protocol 'gavs', got 'frame'"):
        AvsMetric("gavs").merge(AvsMetric("frame"))


def test_frame_protocol_on_empty_truth():
    empty, blob = torch.full((1, 2, 2), -5.0), torch.full((1, 2, 2), -5.0)
    blob[0, 0, 0] = 5.0
    nothing = torch.zeros(1, 2, 2)
    assert run("frame", [(empty, nothing)]) == {"jaccard": 1, "f_score": 1, "j_and_f": 1, "s": 0, "s_ratio": 0}
    assert run("frame", [(blob, nothing)]) == {"jaccard": 0, "f_score": 0, "j_and_f": 0, "s": 0.5, "s_ratio": 0.25}
    assert run("frame", [(empty, nothing + 1)])["f_score"] == 0


def test_batch_without_truth_counts_zero_in_f_but_not_in_j():
    truth = torch.zeros(1, 2, 2)
    truth[0, 0] = 1
    perfect = (truth * 10 - 5, truth)
    silent = (torch.full((1, 2, 2), -5.0), torch.zeros(1, 2, 2))
    values = run("avsbench", [perfect, silent])
    assert (values["jaccard"], values["f_score"]) == (1, 0.5)


def test_thresholds_of_j_differ():
    between = torch.full((1, 1, 1), LOGIT_OF_0_4 / 2)
    jaccard = {name: run(name, [(between, torch.ones(1, 1, 1))])["jaccard"] for name in PROTOCOLS}
    assert {name for name, value in jaccard.items() if value == 1} == {"ref_avs", "gavs", "simtoken"}


@pytest.mark.parametrize("dtype", [torch.bool, torch.uint8, torch.int64, torch.float32, torch.bfloat16])
def test_types_of_targets_do_not_matter(dtype):
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(3, 5, 7, generator=generator, requires_grad=True)
    targets = torch.rand(3, 5, 7, generator=generator) < 0.4
    assert run("ref_avs", [(logits, targets.to(dtype))]) == run("ref_avs", [(logits, targets)])


def test_logits_are_compared_in_float32():
    targets = torch.rand(2, 4, 4) < 0.5
    for dtype in (torch.float16, torch.bfloat16, torch.float64):
        logits = torch.randn(2, 4, 4).to(dtype)
        assert run("aural_sam2", [(logits, targets)]) == run("aural_sam2", [(logits.float(), targets)])


def test_arrays_are_accepted():
    logits, targets = np.array([[[2.0, -2.0]]]), np.array([[[1, 0]]], dtype=np.uint8)
    assert run("avsbench", [(logits, targets)])["jaccard"] == 1


def test_reset_and_repeated_compute():
    metric = AvsMetric("ref_avs")
    metric.update(torch.ones(1, 2, 2), torch.ones(1, 2, 2))
    assert metric.compute() == metric.compute()
    metric.reset()
    with pytest.raises(ValueError, match="call update"):
        metric.compute()


def test_state_is_six_numbers_however_many_batches():
    for protocol in PROTOCOLS:
        metric = AvsMetric(protocol)
        for _ in range(5):
            metric.update(torch.randn(2, 8, 8), torch.ones(2, 8, 8))
        assert metric.state.shape == (6,) and metric.state.untyped_storage().nbytes() == 48
        assert vars(metric).keys() == {"protocol", "state"}


GOOD = torch.zeros(2, 4, 4)


@pytest.mark.parametrize(
    ("logits", "targets", "message"),
    [
        (torch.zeros(2, 4, 5), GOOD, r"logits and targets must have one shape"),
        (GOOD.index_fill(2, torch.tensor(1), float("nan")), GOOD, r"logits holds NaN"),
        (GOOD.bool(), GOOD, r"logits must be floating, got torch.bool"),
        (GOOD.long(), GOOD, r"logits must be floating"),
        (GOOD, GOOD + 255, r"targets must hold only 0 and 1, got 255"),
        (GOOD, GOOD - 1, r"targets must hold only 0 and 1, got -1"),
        (GOOD, GOOD + 0.5, r"targets must hold only 0 and 1, got 0.5"),
        (GOOD, GOOD + float("nan"), r"targets must hold only 0 and 1, got nan"),
    ],
)
def test_bad_batches_are_named_and_leave_no_trace(logits, targets, message):
    metric = AvsMetric("avsbench")
    with pytest.raises(ValueError, match=message):
        metric.update(logits, targets)
    assert not metric.state.any()


def test_the_curve_is_of_other_maps_where_a_method_has_some():
    torch.manual_seed(0)
    logits, curves, targets = torch.randn(2, 6, 6), torch.randn(2, 6, 6), torch.rand(2, 6, 6) > 0.5
    found = {}
    for protocol in ("stepping_stones", "avsbench"):
        metric = AvsMetric(protocol)
        metric.update(logits, targets, curves)
        found[protocol] = metric.compute()
    of_logits, of_curves = (run("stepping_stones", [(given, targets)]) for given in (logits, curves))
    assert found["stepping_stones"]["f_score"] == of_curves["f_score"] != of_logits["f_score"]
    assert found["stepping_stones"]["jaccard"] == of_logits["jaccard"]
    assert found["avsbench"] == run("avsbench", [(logits, targets)])


def test_rows_are_looked_at_once_and_curves_by_their_name(monkeypatch):
    looked_at, real = [], protocols.paired_frames
    monkeypatch.setattr(protocols, "paired_frames", lambda name, *pair: looked_at.append(name) or real(name, *pair))
    metric, logits, targets = AvsMetric("stepping_stones"), torch.randn(2, 4, 4), torch.ones(2, 4, 4)
    metric.update(logits, targets)
    assert looked_at == ["logits"]
    wrong = {"must be floating": logits.long(), "holds NaN": logits * math.nan, "and targets must have one": logits[:1]}
    for message, curves in wrong.items():
        with pytest.raises(ValueError, match=f"^curve_logits {message}"):
            metric.update(logits, targets, curves)


def test_unknown_protocol_lists_the_known():
    with pytest.raises(
        ValueError, match="avsbench, ref_avs, gavs, simtoken, sama_avs, aural_sam2, stepping_stones, frame, got 'davis'"
    ):
        AvsMetric("davis")
