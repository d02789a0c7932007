import pytest
import torch
import torch.nn.functional as F

from lavseg.evaluation.clip_scores import SCORES
from lavseg.metrics.protocols import PROTOCOLS, AvsMetric
from lavseg.training import ClipScores


def bilinear(masks, size):
    return F.interpolate(masks[:, None], size, mode="bilinear")[:, 0]


@pytest.fixture
def batch():
    generator = torch.Generator().manual_seed(0)
    masks = torch.randn(2, 3, 4, 5, 6, generator=generator)
    labels = (torch.rand(2, 3, 4, 10, 9, generator=generator) > 0.5).to(torch.uint8)
    counted = torch.tensor([[True, True, True, False], [True, False, True, False]])
    return masks, labels, counted


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_frames_that_count_are_one_batch_at_the_labels_size(batch, protocol):
    masks, labels, counted = batch
    scores = ClipScores([protocol], bilinear)
    scores.update(masks, labels, counted)
    frames = [(b, e, t) for b in range(2) for e in range(3) for t in range(4) if counted[b, t]]
    logits = torch.stack([masks[index] for index in frames])
    metric = AvsMetric(protocol)
    metric.update(
        F.interpolate(logits[None], size=(10, 9), mode="bilinear", align_corners=False)[0],
        torch.stack([labels[index] for index in frames]),
    )
    assert scores.compute() == pytest.approx(metric.compute(), abs=1e-9)


def test_one_expression_may_come_without_its_axis(batch):
    masks, labels, counted = batch
    first, second = ClipScores(["frame"], bilinear), ClipScores(["frame"], bilinear)
    first.update(masks[:, :1], labels[:, 0], counted)
    second.update(masks[:, :1], labels[:, :1], counted)
    assert first.compute() == second.compute()


def test_a_batch_without_counted_frames_changes_nothing(batch):
    masks, labels, counted = batch
    scores = ClipScores(["ref_avs"], bilinear)
    scores.update(masks, labels, counted)
    before = scores.compute()
    scores.update(masks, labels, torch.zeros_like(counted))
    scores.update(masks[:0], labels[:0], counted[:0])
    assert scores.compute() == before


def test_names():
    metric = AvsMetric("frame")
    metric.update(torch.zeros(1, 2, 2), torch.zeros(1, 2, 2))
    assert ClipScores.names(["frame"]) == list(metric.compute()) == list(SCORES)
    assert ClipScores.names(["frame", "gavs"])[4:6] == ["frame_s_ratio", "gavs_jaccard"]
