import copy

import pytest
import torch
from accelerate import Accelerator
from accelerate.data_loader import BatchSamplerShard
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.utils.data import BatchSampler, SequentialSampler
from transformers import BatchFeature

from lavseg.evaluation.loop import results, run, unrepeated
from lavseg.evaluation.scores import Scores
from lavseg.modeling.outputs import AudioVisualSegmentationOutput


class Model(nn.Module):
    """Answers with masks that are `value`, and remembers what it was called with."""

    device = torch.device("cpu")

    def __init__(self, value=1.0):
        super().__init__()
        self.value, self.calls = value, []

    def forward(self, frame_mask, **inputs):
        assert not self.training and not torch.is_grad_enabled()
        self.calls.append({"frame_mask": frame_mask, **inputs})
        return AudioVisualSegmentationOutput(pred_masks=torch.full((*frame_mask.shape, 2, 2), self.value)[:, None])


class Recorder(Scores):
    """Remembers clips, and gives a value."""

    def __init__(self, value=0.0, of_losses=False):
        self.value, self.of_losses, self.clips = value, of_losses, []

    def update(self, outputs, batch, clips):
        assert "labels" in batch and len(outputs.pred_masks) == len(batch["labels"])
        self.clips.append(clips)

    def compute(self, reduce=lambda sums: sums):
        return {"value": reduce(torch.tensor(self.value)).item()}


def batch_of(clips, frames=3):
    labels, masks = torch.zeros(clips, 1, frames, 2, 2), torch.ones(clips, frames, dtype=torch.bool)
    return BatchFeature({"labels": labels, "label_mask": masks, "frame_mask": masks.clone()})


@given(st.integers(1, 40), st.integers(1, 5), st.integers(1, 4))
def test_every_clip_counts_once_over_all_processes(length, size, processes):
    counted = []
    for process in range(processes):
        sampler = BatchSampler(SequentialSampler(range(length)), size, drop_last=False)
        batches = list(BatchSamplerShard(sampler, processes, process))
        remainder = length % (size * processes)
        for index, batch in enumerate(batches):
            last = index == len(batches) - 1
            counted += batch[: unrepeated(len(batch), process, remainder)] if last and remainder else batch
    assert sorted(counted) == list(range(length))


def test_all_scores_see_all_batches_and_the_model_no_labels():
    model, scores = Model(), [Recorder(), Recorder()]
    run(model, [batch_of(2), batch_of(1)], scores)
    assert [part.clips for part in scores] == [[2, 1], [2, 1]]
    assert all(call.keys() == {"frame_mask"} for call in model.calls)


def test_the_model_gets_labels_where_losses_are_asked_for():
    model = Model()
    run(model, [batch_of(1)], [Recorder(), Recorder(of_losses=True)])
    assert "labels" in model.calls[0]


def test_the_transform_changes_what_the_model_sees_and_nothing_else():
    def first_frame(inputs):
        inputs["frame_mask"] = inputs["frame_mask"].clone()
        inputs["frame_mask"][:, 1:] = False
        return inputs

    model, batch = Model(), batch_of(2)
    run(model, [batch], [Recorder()], transform=first_frame)
    assert model.calls[0]["frame_mask"].sum() == 2 and batch["frame_mask"].all()


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("value", [1.0, float("nan")])
def test_the_mode_of_the_model_is_given_back_also_after_an_error(training, value):
    model = Model(value).train(training)
    if value == 1:
        run(model, [batch_of(1)], [Recorder()])
    else:
        with pytest.raises(ValueError, match="pred_masks: the model gives NaN or infinite values"):
            run(model, [batch_of(1)], [Recorder()])
    assert model.training is training


def test_clips_that_fill_up_the_last_round_are_left_out():
    accelerator = copy.copy(Accelerator(cpu=True))
    accelerator.gradient_state = type("State", (), {"end_of_dataloader": True, "remainder": 1})
    for clips, process in ((1, 0), (0, 1)):
        accelerator.state = type("State", (), {"process_index": process})
        model, scores = Model(), Recorder()
        run(model, [batch_of(2)], [scores], accelerator)
        assert scores.clips == [clips] and len(model.calls[0]["frame_mask"]) == 1


def test_results_are_finite():
    accelerator = Accelerator(cpu=True)
    assert results([Recorder(0.5)], accelerator) == {"value": 0.5}
    with pytest.raises(ValueError, match="evaluation: value is inf; the weights or the data are damaged"):
        results([Recorder(float("inf"))], accelerator)
