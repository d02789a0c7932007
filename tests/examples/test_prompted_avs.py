import json

import numpy as np
import prompted_avs
import pytest
import torch
from tiny.configurations import nano_sam2_config, tiny_config

from conftest import ROOT
from lavseg.backbones.sam2.modeling_sam2 import Sam2Backbone
from lavseg.data import load_avsbench, row_masks, write_avsbench
from lavseg.models.aural_sam2 import AuralSam2Config, AuralSam2Model, AuralSam2Processor
from lavseg.models.sama_avs import SamaAvsConfig, SamaAvsModel, SamaAvsProcessor
from tiny_clips import away_from_zero

EDGE = 128
PROMPTS = {
    "input_points": torch.tensor([[[[30.0, 40.0]] * 4]]),
    "input_labels": torch.ones(1, 1, 4, dtype=torch.int32),
    "input_boxes": torch.tensor([[[10.0, 20.0, 60.0, 70.0]]]),
    "input_masks": torch.full((1, 1, EDGE, EDGE), 10.0),
}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_avsbench(tmp_path_factory.mktemp("data"), {"v1m": {"test": 2}}, (48, 72))


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    folder = tmp_path_factory.mktemp("checkpoint")
    torch.manual_seed(0)
    config = tiny_config(AuralSam2Config, use_text=False)
    AuralSam2Model(config).save_pretrained(folder)
    AuralSam2Processor.from_config(config).save_pretrained(folder)
    return folder


def row_with(data, seen):
    """A row in whose first frame there is something, or nothing."""
    row = load_avsbench(data, "v1m", "test")[0]
    masks = np.zeros_like(row_masks(row))
    masks[:, 10:30, 20:50] = 1
    masks[0] *= seen
    return row, masks


@pytest.mark.parametrize("seen", [True, False])
def test_prompts_lie_on_the_first_frames_object(data, monkeypatch, seen):
    row, masks = row_with(data, seen)
    monkeypatch.setattr(prompted_avs, "row_masks", lambda row, size, resize: masks)
    prompts = prompted_avs.first_frame_prompts(row, EDGE)
    if not seen:
        assert prompts == {}
        return
    assert prompts["input_boxes"].tolist() == [[[20, 10, 49, 29]]]
    points = prompts["input_points"][0, 0].long()
    assert points.shape == (4, 2) and masks[0][points[:, 1], points[:, 0]].all()
    assert len(points.unique(dim=0)) > 1
    assert ((prompts["input_masks"][0, 0] > 0).numpy() == masks[0]).all()
    again = prompted_avs.first_frame_prompts(row, EDGE)
    assert torch.equal(again["input_points"], prompts["input_points"])


@torch.no_grad()
def test_sam2_alone_follows_what_it_is_shown():
    torch.manual_seed(0)
    host = Sam2Backbone(nano_sam2_config(EDGE)).eval()
    host.mask_decoder.pred_obj_score_head.proj_out.bias.add_(20)  # it judges every object visible
    frames = torch.randn(3, 3, EDGE, EDGE)
    mask = torch.full((1, 1, EDGE, EDGE), -10.0)
    mask[..., 32:96, 16:64] = 10
    found = prompted_avs.track_prompts(host, frames, {"input_masks": mask})
    assert found.shape == (1, 3, 32, 32)
    assert ((found[0, 0] > 0) == (mask[0, 0, ::4, ::4] > 0)).all()
    shown = {"input_boxes": torch.tensor([[[16.0, 32, 63, 95]]])}
    other = {"input_boxes": torch.tensor([[[70.0, 5, 90, 60]]])}
    one, two = (prompted_avs.track_prompts(host, frames, prompts) for prompts in (shown, other))
    assert one.shape == (1, 3, 32, 32) and not torch.equal(one[0, 0], two[0, 0])


def test_every_row_is_scored(checkpoint, data, tmp_path, capsys):
    output = tmp_path / "scores.json"
    arguments = [f"--model={checkpoint}", f"--data={data}", f"--out={output}", "--protocol=avsbench"]
    prompted_avs.main(arguments)
    report = json.loads(output.read_text())
    assert report["rows"] == 2 and prompted_avs.ADAPTED not in report["prompts"]
    for found in report["prompts"].values():
        assert all(0 <= found[name] <= 1 for name in prompted_avs.SCORES) and found["frames_per_second"] > 0
    speeds = {name: found["frames_per_second"] for name, found in report["prompts"].items()}
    both = 1 / speeds["audio"] + 1 / speeds["points box"]
    assert 1 / speeds[prompted_avs.ENSEMBLE] == pytest.approx(both)
    printed = capsys.readouterr().out
    assert all(name in printed for name in report["prompts"])


def test_the_ensemble_is_the_mean_and_without_prompts_sound_answers(checkpoint, data):
    rows = prompted_avs.load(str(checkpoint), None)
    row = load_avsbench(data, "v1m", "test")[0]
    inputs = prompted_avs.ClipCollator(rows.processor, (48, 72))([row])
    del inputs["labels"], inputs["label_mask"]
    found = rows.answer(inputs, PROMPTS)
    mean = (found["audio"].sigmoid() + found["points box"].sigmoid()) / 2
    torch.testing.assert_close(found[prompted_avs.ENSEMBLE].sigmoid(), mean, atol=1e-5, rtol=1e-4)
    assert not torch.equal(found[prompted_avs.ONE_PASS], found["audio"])
    found = rows.answer(inputs, {})
    for name in (prompted_avs.ONE_PASS, prompted_avs.ENSEMBLE):
        assert torch.equal(found[name], found["audio"])
    assert all((found[name] == prompted_avs.NO_MASK_LOGIT).all() for name in prompted_avs.ALONE)


@torch.no_grad()
def test_adapters_stay_where_sound_does_not(data):
    torch.manual_seed(0)
    config = tiny_config(SamaAvsConfig, sam_config=nano_sam2_config(EDGE))
    model, processor = away_from_zero(SamaAvsModel(config)), SamaAvsProcessor.from_config(config)
    model.sam.mask_decoder.pred_obj_score_head.proj_out.bias.add_(20)  # it judges every object visible
    rows = prompted_avs.Rows(model, processor, model.tracking_host)
    inputs = prompted_avs.ClipCollator(processor, (48, 72))([load_avsbench(data, "v1m", "test")[0]])
    del inputs["labels"], inputs["label_mask"]
    found = rows.answer(inputs, PROMPTS)
    assert list(found) == list(rows.names) and prompted_avs.ADAPTED in found
    inputs["input_features"] = inputs["input_features"] + 1
    louder = rows.answer(inputs, PROMPTS)
    assert torch.equal(louder[prompted_avs.ADAPTED], found[prompted_avs.ADAPTED])
    assert not torch.equal(louder[prompted_avs.ONE_PASS], found[prompted_avs.ONE_PASS])
    assert not torch.equal(found[prompted_avs.ADAPTED], found["points box"])
    assert (rows.answer(inputs, {})[prompted_avs.ADAPTED] == prompted_avs.NO_MASK_LOGIT).all()
    logits = torch.randn(1, 32, 32)
    plain = torch.nn.functional.interpolate(logits[:, None], (48, 72), mode="bilinear")[:, 0]
    assert torch.equal(rows.scale("points box", logits, (48, 72)), plain)
    assert torch.equal(rows.scale("audio", logits, (48, 72)), model.scale_masks(logits, (48, 72)))
    assert not torch.equal(model.scale_masks(logits, (48, 72)), plain)


def test_other_models_are_refused_in_one_line(data, capsys):
    with pytest.raises(SystemExit):
        prompted_avs.main([f"--model={ROOT / 'examples' / 'sam2-love-tiny'}", f"--data={data}"])
    said = capsys.readouterr().err.splitlines()[-1]  # after what loading shows
    assert said.startswith("prompted_avs.py: model: Sam2LoveModel") and "AuralSAM2, GAVS and" in said
