import copy
from types import SimpleNamespace

import pytest
import torch
from accelerate import Accelerator
from accelerate.data_loader import BatchSamplerShard
from torch import nn
from torch.utils.data import BatchSampler, SequentialSampler
from transformers import BatchFeature

from lavseg.evaluation.loop import results, run
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
    """Remembers rows, and gives a value."""

    def __init__(self, value=0.0, of_losses=False):
        self.value, self.of_losses, self.rows = value, of_losses, []

    def update(self, outputs, batch, rows):
        assert "labels" in batch and "rows" not in batch and len(outputs.pred_masks) == len(batch["labels"])
        self.rows.append(rows)

    def compute(self, reduce=lambda sums: sums):
        return {"value": reduce(torch.tensor(self.value)).item()}


def clip_of(rows, frames=3):
    labels, masks = torch.zeros(1, len(rows), frames, 2, 2), torch.ones(1, frames, dtype=torch.bool)
    return BatchFeature({"labels": labels, "label_mask": masks, "frame_mask": masks.clone(), "rows": rows})


def of_process(process, processes, clips):
    """Batches of a process that Accelerate deals out, and the accelerator as it is in each."""
    sampler = BatchSampler(SequentialSampler(range(clips)), 1, drop_last=False)
    dealt = list(BatchSamplerShard(sampler, processes, process))
    accelerator = copy.copy(Accelerator(cpu=True))
    accelerator.state = type("State", (), {"process_index": process})
    accelerator.gradient_state = type("State", (), {"end_of_dataloader": False, "remainder": clips % processes})()

    def batches():
        for index, [clip] in enumerate(dealt):
            accelerator.gradient_state.end_of_dataloader = index == len(dealt) - 1
            yield clip_of([clip])

    return batches(), accelerator


@pytest.mark.parametrize("processes", [1, 2, 3])
@pytest.mark.parametrize("clips", [1, 2, 3, 4, 7])
def test_every_clip_counts_once_over_all_processes_which_all_run_as_many(processes, clips):
    counted, runs = [], set()
    for process in range(processes):
        model, scores = Model(), Recorder()
        batches, accelerator = of_process(process, processes, clips)
        run(model, batches, [scores], accelerator)
        counted += [row for rows in scores.rows for row in rows]
        runs.add((len(model.calls), len(scores.rows)))
    assert sorted(counted) == list(range(clips)) and len(runs) == 1


def test_all_scores_see_all_clips_and_the_model_no_labels():
    model, scores = Model(), [Recorder(), Recorder()]
    run(model, [clip_of([0, 3]), clip_of([1])], scores)
    assert [part.rows for part in scores] == [[[0, 3], [1]], [[0, 3], [1]]]
    assert all(call.keys() == {"frame_mask"} for call in model.calls)


def test_the_model_gets_labels_where_losses_are_asked_for():
    model = Model()
    run(model, [clip_of([0])], [Recorder(), Recorder(of_losses=True)])
    assert "labels" in model.calls[0]


def test_the_transform_changes_what_the_model_sees_and_nothing_else():
    def first_frame(inputs):
        inputs["frame_mask"] = inputs["frame_mask"].clone()
        inputs["frame_mask"][:, 1:] = False
        return inputs

    model, batch = Model(), clip_of([0])
    run(model, [batch], [Recorder()], transform=first_frame)
    assert model.calls[0]["frame_mask"].sum() == 1 and batch["frame_mask"].all()


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("value", [1.0, float("nan")])
def test_the_mode_of_the_model_is_given_back_also_after_an_error(training, value):
    model = Model(value).train(training)
    if value == 1:
        run(model, [clip_of([0])], [Recorder()])
    else:
        with pytest.raises(ValueError, match="pred_masks: the model gives NaN or infinite values"):
            run(model, [clip_of([0])], [Recorder()])
    assert model.training is training


def test_results_are_finite():
    accelerator = Accelerator(cpu=True)
    assert results([Recorder(0.5)], accelerator) == {"value": 0.5}
    with pytest.raises(ValueError, match="evaluation: value is inf; the weights or the data are damaged"):
        results([Recorder(float("inf"))], accelerator)


def test_sums_of_one_process_stay_on_their_device():
    apple = SimpleNamespace(num_processes=1, device=torch.device("mps"))  # there is none here, and it has no float64
    assert results([Recorder(0.5)], apple) == {"value": 0.5}
