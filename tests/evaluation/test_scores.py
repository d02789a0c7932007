import pytest
import torch
import torch.nn.functional as F

from lavseg.evaluation.scores import MASK_SCORES, LossScores, MaskScores
from lavseg.metrics.protocols import PROTOCOLS, AvsMetric
from lavseg.modeling.outputs import NO_MASK_LOGIT, AudioVisualSegmentationOutput
from on_mps import OnMps


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


def mask_scores(*protocols, processor=Ungated, batch_size=3):
    return MaskScores(protocols, processor(), bilinear, num_rows=6, batch_size=batch_size)


def add_clips(scores, outputs, batch, rows=((0, 4, 2), (1, 5, 3))):
    """Each clip by itself; `rows` are the numbers of the rows that its expressions are from."""
    for clip, numbers in enumerate(rows):
        part = AudioVisualSegmentationOutput(pred_masks=outputs.pred_masks[clip : clip + 1])
        scores.update(part, {name: value[clip : clip + 1] for name, value in batch.items()}, list(numbers))


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


def test_a_batch_has_rows():
    with pytest.raises(ValueError, match=r"^batch_size: has to be a number above 0, got 0$"):
        mask_scores("frame", batch_size=0)


def frames_of(outputs, batch, clip, expression):
    """Scaled logits and truth of the frames that count."""
    counted = [t for t in range(4) if t in ((0, 1, 2), (0, 2))[clip]]
    logits = [
        F.interpolate(outputs.pred_masks[clip, expression, t][None, None], (10, 9), mode="bilinear")[0, 0]
        for t in counted
    ]
    return torch.stack(logits), batch["labels"][clip, expression, counted]


@pytest.mark.parametrize("batch_size", [1, 2, 3, 4, 6])
def test_consecutive_rows_are_one_batch_of_each_protocol_at_the_labels_size(outputs, batch, batch_size):
    scores = mask_scores(*PROTOCOLS, batch_size=batch_size)
    add_clips(scores, outputs, batch)
    places = {0: (0, 0), 4: (0, 1), 2: (0, 2), 1: (1, 0), 5: (1, 1), 3: (1, 2)}
    rows = [frames_of(outputs, batch, *places[row]) for row in range(6)]
    expected = {}
    for protocol in PROTOCOLS:
        metric = AvsMetric(protocol)
        for start in range(0, 6, batch_size):
            logits, truth = zip(*rows[start : start + batch_size], strict=True)
            metric.update(torch.cat(logits), torch.cat(truth))
        expected |= {f"{protocol}_{name}": value for name, value in metric.compute().items()}
    assert scores.compute() == pytest.approx(expected, abs=1e-9)


def test_masks_are_gated_by_the_processor(outputs, batch):
    scores = mask_scores("frame", processor=Gated)
    add_clips(scores, outputs, batch)
    assert scores.compute()["s_ratio"] == 0


def test_masks_on_a_device_without_float64_are_scored_alike(outputs, batch):
    found, expected = mask_scores(*PROTOCOLS), mask_scores(*PROTOCOLS)
    add_clips(expected, outputs, batch)
    outputs.pred_masks = outputs.pred_masks.as_subclass(OnMps)
    add_clips(found, outputs, batch)
    assert found.compute() == expected.compute()


def test_one_mask_is_scored_against_all_truths(outputs, batch):
    """Of a model that reads nothing."""
    one, repeated = mask_scores("ref_avs"), mask_scores("ref_avs")
    outputs.pred_masks = outputs.pred_masks[:, :1]
    add_clips(one, outputs, batch)
    outputs.pred_masks = outputs.pred_masks.expand(-1, 3, -1, -1, -1)
    add_clips(repeated, outputs, batch)
    assert one.compute() == repeated.compute()


def test_what_does_not_count_changes_nothing(outputs, batch):
    scores = mask_scores("ref_avs")
    add_clips(scores, outputs, batch)
    before = scores.compute()
    add_clips(scores, outputs, batch, [(), ()])
    add_clips(scores, outputs, {**batch, "label_mask": torch.zeros_like(batch["label_mask"])})
    assert scores.compute() == before


def test_values_are_those_of_all_processes_and_what_this_one_saw_stays(outputs, batch):
    whole, own, other = (mask_scores("ref_avs") for _ in range(3))
    add_clips(whole, outputs, batch)
    add_clips(own, outputs, batch, [(0, 4, 2), ()])
    add_clips(other, outputs, batch, [(), (1, 5, 3)])
    before, sums = own.compute(), []
    other.compute(lambda values: sums.append(values) or values)
    assert own.compute(lambda values: values + sums[0]) == pytest.approx(whole.compute(), abs=1e-9)
    assert own.compute() == before


def test_losses_are_means_over_rows(outputs, batch):
    scores = LossScores()
    scores.update(outputs, batch, [0, 1])
    outputs.loss = torch.tensor(0.0)
    scores.update(outputs, batch, [2])
    scores.update(outputs, batch, [])
    assert scores.compute() == pytest.approx({"loss": 2, "loss_bce": 1, "loss_dice": 2})


def test_names():
    metric = AvsMetric("frame")
    metric.update(torch.zeros(1, 2, 2), torch.zeros(1, 2, 2))
    assert MaskScores.names(["frame"]) == list(metric.compute()) == list(MASK_SCORES)
    assert MaskScores.names(["frame", "gavs"])[4:6] == ["frame_s_ratio", "gavs_jaccard"]


def test_a_methods_own_curve_is_scored_where_the_protocol_asks_for_it(outputs, batch):
    class Curved(AudioVisualSegmentationOutput):
        @property
        def curve_masks(self):
            return -self.pred_masks

    one = {name: value[:1] for name, value in batch.items()}
    plain = AudioVisualSegmentationOutput(pred_masks=outputs.pred_masks[:1])
    turned = AudioVisualSegmentationOutput(pred_masks=-outputs.pred_masks[:1])
    for protocol, own in (("stepping_stones", True), ("avsbench", False)):
        found = {}
        for name, given in (("curved", Curved(pred_masks=plain.pred_masks)), ("plain", plain), ("turned", turned)):
            scores = mask_scores(protocol)
            scores.update(given, one, [0, 4, 2])
            found[name] = scores.compute()
        assert found["curved"]["jaccard"] == found["plain"]["jaccard"] != found["turned"]["jaccard"]
        assert found["curved"]["f_score"] == found["turned" if own else "plain"]["f_score"]
