import copy

import numpy as np
import pytest
import torch
from tiny.configurations import tiny_config
from torch import nn

from lavseg.data import ClipCollator, build_tokenizer, load_ref_avs, row_masks, write_ref_avs
from lavseg.evaluation.evaluate_model import evaluate
from lavseg.media import read_audio
from lavseg.metrics.protocols import AvsMetric
from lavseg.modeling.base import AudioVisualPreTrainedModel
from lavseg.modeling.outputs import AudioVisualSegmentationOutput
from lavseg.models.sam2_love import Sam2LoveConfig, Sam2LoveModel, Sam2LoveProcessor
from lavseg.models.sama_avs import SamaAvsConfig, SamaAvsModel, SamaAvsProcessor


@pytest.fixture(scope="module")
def rows(tmp_path_factory):
    root = write_ref_avs(tmp_path_factory.mktemp("data") / "root", {"train": 1, "test_s": 3}, 3, (56, 72))
    return load_ref_avs(root, "test_s").select(range(5))


@pytest.fixture(scope="module")
def collator():
    tokenizer = build_tokenizer()
    return ClipCollator(
        Sam2LoveProcessor.from_config(tiny_config(Sam2LoveConfig, vocab_size=len(tokenizer)), tokenizer)
    )


@pytest.fixture(scope="module")
def model(collator):
    """An untrained model that judges every object visible, so that its masks are not blank."""
    torch.manual_seed(0)
    model = Sam2LoveModel(tiny_config(Sam2LoveConfig, vocab_size=len(collator.processor.tokenizer))).eval()
    torch.nn.init.constant_(model.sam2.mask_decoder.pred_obj_score_head.proj_out.bias, 10.0)
    return model


def of_another_method():
    """A model on SAM, whose masks take another way to their size."""
    torch.manual_seed(0)
    model = SamaAvsModel(tiny_config(SamaAvsConfig)).eval()
    return model, ClipCollator(SamaAvsProcessor.from_config(model.config))


@pytest.mark.parametrize("method", ["sam2_love", "sama_avs"])
def test_agrees_with_masks_made_row_by_row(method, model, collator, rows):
    if method == "sama_avs":
        model, collator = of_another_method()
    expected = []
    for row in rows:
        waveform, rate = read_audio(row["audio"]["path"])
        text = row["text"] if collator.processor.needs_text else None
        inputs = collator.processor(row["frames"], waveform, text, sampling_rate=rate)
        with torch.no_grad():
            outputs = model(**inputs)
        masks = collator.processor.post_process_masks(outputs, inputs["original_sizes"])[0].numpy()
        truth = row_masks(row) > 0
        union = (masks | truth).sum((1, 2))
        expected += np.where(union, (masks & truth).sum((1, 2)) / np.maximum(union, 1), 1.0).tolist()
    found = evaluate(model, collator, rows, batch_size=2).compute()
    assert 0 < np.mean(expected) < 1
    assert found["jaccard"] == pytest.approx(np.mean(expected), abs=1e-4)


class Oracle(nn.Module):
    """Answers with masks that were handed in through `input_ids`, at twice their size."""

    device = torch.device("cpu")
    scale_masks = AudioVisualPreTrainedModel.scale_masks
    attends_across_clips = False

    def forward(self, input_ids, **inputs):
        assert "labels" not in inputs and not self.training
        return AudioVisualSegmentationOutput(
            pred_masks=20 * input_ids.repeat_interleave(2, -1).repeat_interleave(2, -2)
        )


class LabelsAsTokens:
    """Batches whose `input_ids` are the labels as logits."""

    def __init__(self, collator):
        self.collator = collator
        self.processor = copy.copy(collator.processor)
        self.processor.empties_absent = False

    def __call__(self, rows):
        inputs = self.collator(rows)
        inputs["input_ids"] = inputs["labels"].float() * 2 - 1
        return inputs


@pytest.mark.parametrize("protocol", ["frame", "ref_avs", "aural_sam2"])
def test_perfect_masks_score_one_in_every_protocol(collator, rows, protocol):
    scores = evaluate(Oracle(), LabelsAsTokens(collator), rows, protocol).compute()
    assert scores["jaccard"] == pytest.approx(1) and scores["f_score"] == pytest.approx(1)


def test_clips_may_differ_in_length(collator, rows):
    shorter = {**rows[0], "frames": rows[0]["frames"][:-1], "masks": rows[0]["masks"][:-1]}
    metric = evaluate(Oracle(), LabelsAsTokens(collator), [rows[1], shorter])
    assert metric.state[0] == len(rows[1]["frames"]) + len(rows[0]["frames"]) - 1


def test_transform_sees_every_clip(collator, rows):
    def invert(inputs):
        inputs["input_ids"] = -inputs["input_ids"]
        return inputs

    visible = [row for row in rows if (row_masks(row) > 0).any((1, 2)).all()]
    assert (
        evaluate(Oracle(), LabelsAsTokens(collator), visible, batch_size=2, transform=invert).compute()["jaccard"] < 0.1
    )


def test_parts_join_to_the_whole(model, collator, rows):
    joined = AvsMetric("frame")
    for part in (range(2), range(2, 5)):
        joined.merge(evaluate(model, collator, rows.select(part), batch_size=3))
    whole = evaluate(model, collator, rows, batch_size=5)
    assert joined.compute() == pytest.approx(whole.compute(), abs=1e-6)


@pytest.mark.parametrize("training", [True, False])
def test_mode_of_the_model_is_given_back_and_progress_sees_the_clips(collator, rows, training):
    seen = []
    model = Oracle().train(training)
    evaluate(
        model,
        LabelsAsTokens(collator),
        rows,
        batch_size=2,
        progress=lambda clips: seen.append(len(clips)) or clips,
    )
    assert model.training is training and seen == [len({*rows["clip"]})]


def test_errors(model, collator, rows):
    with pytest.raises(ValueError, match="no rows"):
        evaluate(model, collator, rows.select([]))
    with pytest.raises(ValueError, match="protocol must be one of"):
        evaluate(model, collator, rows, "davis")
