import pytest
import torch
import torch.nn.functional as F

from lavseg.evaluation.scores import MASK_SCORES, LossScores, MaskScores
from lavseg.metrics.protocols import PROTOCOLS, AvsMetric
from lavseg.modeling.outputs import NO_MASK_LOGIT, AudioVisualSegmentationOutput


class Ungated:
    """Stands for a processor that leaves masks as they are."""

    def gate_masks(self, outputs):
        return outputs.pred_masks


class Gated:
    """Stands for a processor that empties every mask."""

    def gate_masks(self, outputs):
        return torch.full_like(outputs.pred_masks, NO_MASK_LOGIT)


def bilinear(masks, size):
    return F.interpolate(masks[:, None], size, mode="bilinear")[:, 0]


def mask_scores(*protocols, processor=Ungated):
    return MaskScores(protocols, processor(), bilinear)


@pytest.fixture
def outputs():
    masks = torch.randn(2, 3, 4, 5, 6, generator=torch.Generator().manual_seed(0))
    return AudioVisualSegmentationOutput(
        loss=torch.tensor(3.0), loss_dict={"bce": torch.tensor(1.0), "dice": torch.tensor(2.0)}, pred_masks=masks
    )


@pytest.fixture
def batch():
    labels = torch.rand(2, 3, 4, 10, 9, generator=torch.Generator().manual_seed(1)) > 0.5
    return {
        "labels": labels.to(torch.uint8),
        "label_mask": torch.tensor([[True, True, True, True], [True, False, True, False]]),
        "frame_mask": torch.tensor([[True, True, True, False], [True, True, True, True]]),
    }


def expected_of(protocol, outputs, batch, frames):
    """The metric of frames (clip, expression, time), scaled one by one."""
    metric = AvsMetric(protocol)
    logits = [F.interpolate(outputs.pred_masks[frame][None, None], (10, 9), mode="bilinear")[0, 0] for frame in frames]
    metric.update(torch.stack(logits), torch.stack([batch["labels"][frame] for frame in frames]))
    return metric.compute()


@pytest.mark.parametrize("clips", [1, 2])
def test_frames_that_count_are_one_batch_of_each_protocol_at_the_labels_size(outputs, batch, clips):
    scores = mask_scores(*PROTOCOLS)
    scores.update(outputs, batch, clips)
    counted = {0: (0, 1, 2), 1: (0, 2)}
    frames = [(clip, expression, t) for clip in range(clips) for expression in range(3) for t in counted[clip]]
    expected = {
        f"{protocol}_{name}": value
        for protocol in PROTOCOLS
        for name, value in expected_of(protocol, outputs, batch, frames).items()
    }
    assert scores.compute() == pytest.approx(expected, abs=1e-9)


def test_masks_are_gated_by_the_processor(outputs, batch):
    scores = mask_scores("frame", processor=Gated)
    scores.update(outputs, batch, 2)
    assert scores.compute()["s_ratio"] == 0


def test_one_expression_may_come_without_its_axis(outputs, batch):
    outputs.pred_masks = outputs.pred_masks[:, :1]
    first, second = mask_scores("frame"), mask_scores("frame")
    first.update(outputs, {**batch, "labels": batch["labels"][:, 0]}, 2)
    second.update(outputs, {**batch, "labels": batch["labels"][:, :1]}, 2)
    assert first.compute() == second.compute()


def test_a_batch_without_counted_frames_changes_nothing(outputs, batch):
    scores = mask_scores("ref_avs")
    scores.update(outputs, batch, 2)
    before = scores.compute()
    scores.update(outputs, batch, 0)
    scores.update(outputs, {**batch, "label_mask": torch.zeros_like(batch["label_mask"])}, 2)
    assert scores.compute() == before


def test_values_are_those_of_all_processes_and_what_this_one_saw_stays(outputs, batch):
    scores = mask_scores("ref_avs")
    scores.update(outputs, batch, 2)
    own = scores.compute()
    # As if the other process had seen nothing but a blank batch of one pixel.
    other = torch.tensor([1, 1, 0, 0, 0, 0], dtype=torch.float64)
    assert scores.compute(lambda sums: sums + other)["jaccard"] == pytest.approx(own["jaccard"] / 2)
    assert scores.compute() == own


def test_losses_are_means_over_clips(outputs, batch):
    scores = LossScores()
    scores.update(outputs, batch, 2)
    outputs.loss = torch.tensor(0.0)
    scores.update(outputs, batch, 1)
    assert scores.compute() == pytest.approx({"loss": 2, "loss_bce": 1, "loss_dice": 2})


def test_names():
    metric = AvsMetric("frame")
    metric.update(torch.zeros(1, 2, 2), torch.zeros(1, 2, 2))
    assert MaskScores.names(["frame"]) == list(metric.compute()) == list(MASK_SCORES)
    assert MaskScores.names(["frame", "gavs"])[4:6] == ["frame_s_ratio", "gavs_jaccard"]
