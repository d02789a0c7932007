import pytest
import torch
import torch.nn.functional as F
from tiny.configurations import tiny_config

from lavseg.data import ClipCollator, load_avsbench, write_avsbench
from lavseg.evaluation.clip_batches import load_clips
from lavseg.evaluation.first_stage import FirstStage, TwoStageCollator, check_first_stage
from lavseg.models.aural_sam2 import AuralSam2Config, AuralSam2Model, AuralSam2Processor
from lavseg.models.sam2_love import Sam2LoveConfig, Sam2LoveModel, Sam2LoveProcessor
from lavseg.models.stepping_stones import (
    SteppingStonesConfig,
    SteppingStonesForSemanticSegmentation,
    SteppingStonesModel,
    SteppingStonesProcessor,
)
from tiny_clips import away_from_zero


def make(model_class, processor_class, config, tokenizer=None):
    torch.manual_seed(0)
    model = away_from_zero(model_class(config)).eval()
    return model, processor_class.from_config(config, *([tokenizer] if tokenizer else []))


@pytest.fixture(scope="module")
def second():
    config = tiny_config(SteppingStonesConfig, num_labels=5)
    return make(SteppingStonesForSemanticSegmentation, SteppingStonesProcessor, config)


@pytest.fixture(scope="module")
def aural():
    return make(AuralSam2Model, AuralSam2Processor, tiny_config(AuralSam2Config, use_text=False))


@torch.no_grad()
def test_a_second_stage_is_given_the_masks_of_the_first(second, aural, tmp_path):
    data = write_avsbench(tmp_path / "root", {"v1m": {"test": 2}}, (32, 40))
    rows = load_avsbench(data, "v1m", "test")
    collator = TwoStageCollator(ClipCollator(second[1], (24, 24)), ClipCollator(aural[1], (24, 24)))
    batch = next(iter(load_clips(rows, collator)))
    assert {"rows", "labels", "pixel_values", "first_stage.pixel_values"} <= batch.keys()
    assert not {"first_stage.labels", "first_stage.label_mask", "first_stage.class_labels"} & batch.keys()
    for name in ("rows", "labels", "label_mask"):
        batch.pop(name)
    inputs = FirstStage(*aural).add_masks(batch)
    assert not [name for name in inputs if name.startswith("first_stage.")]
    alone = ClipCollator(aural[1], (24, 24))([rows[0]])
    [logits] = aural[0](**{name: alone[name] for name in aural[1].model_input_names}).pred_masks[0]
    expected = F.interpolate(logits[:, None], (224, 224), mode="bilinear")[:, 0] > 0
    assert inputs["prior_masks"].shape == (1, 5, 224, 224) and 0 < expected.float().mean() < 1
    assert torch.equal(inputs["prior_masks"][0], expected.float())
    found = second[0](**inputs)
    del inputs["prior_masks"]
    assert not torch.allclose(found.pred_masks, second[0](**inputs).pred_masks)


def test_what_is_no_first_stage_is_refused(second, tokenizer):
    love = make(Sam2LoveModel, Sam2LoveProcessor, tiny_config(Sam2LoveConfig, len(tokenizer)), tokenizer)
    with pytest.raises(ValueError, match=r"^stage_one: Sam2LoveModel reads sentences; give a checkpoint"):
        FirstStage(*love)
    with pytest.raises(
        ValueError, match=r"^stage_one: SteppingStonesForSemanticSegmentation needs a first stage itself"
    ):
        FirstStage(*second)


def test_it_is_needed_where_it_is_taken_and_refused_where_not(second):
    masks = SteppingStonesModel(tiny_config(SteppingStonesConfig))
    check_first_stage(second[0], True)
    check_first_stage(masks, False)
    with pytest.raises(ValueError, match=r"^stage_one: SteppingStonesForSemanticSegmentation names what the masks"):
        check_first_stage(second[0], False)
    with pytest.raises(ValueError, match=r"^stage_one: SteppingStonesModel takes no masks of a first stage"):
        check_first_stage(masks, True)
