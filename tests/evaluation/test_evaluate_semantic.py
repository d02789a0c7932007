import pytest
import torch
from tiny.configurations import tiny_config

from lavseg.data import CLASSES, ClipCollator, load_avsbench, write_avsbench
from lavseg.evaluation.evaluate_model import evaluate_semantic
from lavseg.models.aural_sam2 import (
    AuralSam2Config,
    AuralSam2ForSemanticSegmentation,
    AuralSam2Model,
    AuralSam2Processor,
)


@pytest.fixture(scope="module")
def rows(tmp_path_factory):
    root = write_avsbench(tmp_path_factory.mktemp("avsbench") / "data", {"v1s": {"train": 1, "test": 2}}, (32, 40))
    return {split: load_avsbench(root, "v1s", split) for split in ("train", "test")}


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    config = tiny_config(AuralSam2Config, use_text=False, num_labels=len(CLASSES))
    return AuralSam2ForSemanticSegmentation(config).train()


@pytest.fixture(scope="module")
def collator(model):
    return ClipCollator(AuralSam2Processor.from_config(model.config), label_size=(24, 28))


def test_parts_join_to_the_whole_and_the_model_is_left_in_its_mode(model, collator, rows):
    whole = evaluate_semantic(model, collator, rows["test"])
    joined = evaluate_semantic(model, collator, rows["test"].select([0]))
    joined.merge(evaluate_semantic(model, collator, rows["test"].select(range(1, len(rows["test"])))))
    assert joined.compute() == pytest.approx(whole.compute(), abs=1e-6)
    assert model.training and 0 <= whole.compute()["miou"] <= 1


def test_a_model_that_always_knows_scores_fully(model, collator, rows, monkeypatch):
    def classes(self, outputs, sizes):
        return [truth.pop(0) for _ in sizes]

    monkeypatch.setattr(AuralSam2Processor, "post_process_semantic_segmentation", classes)
    truth = list(ClipCollator(collator.processor, (24, 28), class_labels=True)(list(rows["test"]))["class_labels"])
    metric = evaluate_semantic(model, collator, rows["test"])
    shown = metric.state[2] > 0
    assert shown.sum() >= 2 and metric.state[0][shown].equal(metric.state[2][shown])


def test_only_labelled_frames_count(model, collator, rows):
    metric = evaluate_semantic(model, collator, rows["train"])
    assert metric.state[2, 0] == 1


def test_what_cannot_be_scored_is_refused(collator, rows):
    masks_alone = AuralSam2Model(tiny_config(AuralSam2Config, use_text=False))
    with pytest.raises(ValueError, match="model: AuralSam2Model names no classes"):
        evaluate_semantic(masks_alone, collator, rows["test"])
    with pytest.raises(ValueError, match="dataset: has no rows"):
        evaluate_semantic(masks_alone, collator, rows["test"].select([]))
