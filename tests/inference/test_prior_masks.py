import json

import numpy as np
import pytest
import torch
from PIL import Image
from tiny.configurations import tiny_config
from typer.testing import CliRunner

from lavseg import segment_video
from lavseg.cli import app
from lavseg.data import CLASSES, write_avsbench
from lavseg.evaluation.first_stage import FirstStage
from lavseg.inference.encoded_frames import FrameInput
from lavseg.inference.frame_predictions import FramePredictions
from lavseg.inference.prior_masks import PriorMasks
from lavseg.inference.segment_files import segment_files
from lavseg.models.sama_avs import SamaAvsConfig, SamaAvsModel, SamaAvsProcessor
from lavseg.models.stepping_stones import (
    SteppingStonesConfig,
    SteppingStonesForSemanticSegmentation,
    SteppingStonesProcessor,
)
from scripted_clips import write_clip
from tiny_clips import away_from_zero


def save(model_class, processor_class, config, folder):
    torch.manual_seed(0)
    away_from_zero(model_class(config)).save_pretrained(folder)
    processor_class.from_config(config).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory):
    """Folders of a second stage and of a first one."""
    folder = tmp_path_factory.mktemp("checkpoints")
    config = tiny_config(SteppingStonesConfig, num_labels=len(CLASSES))
    second = save(SteppingStonesForSemanticSegmentation, SteppingStonesProcessor, config, folder / "second")
    return second, save(SamaAvsModel, SamaAvsProcessor, tiny_config(SamaAvsConfig), folder / "first")


def load(checkpoints):
    second, first = checkpoints
    model = SteppingStonesForSemanticSegmentation.from_pretrained(second).eval()
    stage = FirstStage(SamaAvsModel.from_pretrained(first).eval(), SamaAvsProcessor.from_pretrained(first))
    return model, SteppingStonesProcessor.from_pretrained(second), stage


def test_windows_get_the_masks_of_their_frames(checkpoints):
    _, _, stage = load(checkpoints)
    logits = torch.randn(6, 1, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    made = (FramePredictions(each, {}, {}) for each in logits)
    prior = PriorMasks(made, stage.processor, torch.device("cpu"))
    seen = []
    segment = prior.given_to(lambda inputs, prior_masks: seen.append(prior_masks))
    for numbers in ([0, 1, 2], [2, 3, 4], [3, 4, 5]):
        segment([FrameInput(None, None, number) for number in numbers])
        [expected] = stage.processor.post_process_masks(logits[numbers, 0].transpose(0, 1)[None], [(224, 224)])
        assert torch.equal(seen[-1], expected.float()[None])


def test_a_clip_in_windows_is_a_clip_as_a_whole(checkpoints, tmp_path):
    model, processor, stage = load(checkpoints)
    clip = tmp_path / "clip.mp4"
    write_clip(clip, 13)
    frames = [*segment_video(model, processor, clip, first_stage=stage)]
    video = np.stack([frame.part.frame for frame in frames])
    sound = np.concatenate([frame.part.waveform for frame in frames], axis=1)
    rate = frames[0].part.sampling_rate
    found = [frame.masks[0] for frame in segment_video(stage.model, stage.processor, clip)]
    given = stage.processor(video, sound, sampling_rate=rate)
    with torch.no_grad():
        masks = stage.processor.post_process_masks(stage.model(**given), [(224, 224)])
        outputs = model(**processor(video, sound, sampling_rate=rate), prior_masks=masks[0].float()[None])
    expected = processor.post_process_masks(outputs, [video.shape[1:3]])[0].numpy()
    assert 0 < np.stack(found).mean() < 1
    assert (np.stack([frame.masks[0] for frame in frames]) != expected).mean() < 1e-3


def test_the_command_segments_and_goes_on_with_both_stages(checkpoints, tmp_path):
    second, first = map(str, checkpoints)
    clip = tmp_path / "clip.mp4"
    write_clip(clip, 3)
    out = tmp_path / "out"
    asked = ["segment", str(clip), "--model", second, "--stage-one", first, "--classes", "--out", str(out)]
    done = CliRunner().invoke(app, asked)
    assert done.exit_code == 0, done.output
    result = json.loads((out / "result.json").read_text())
    assert result["stage_one"] == first
    classes = np.stack([np.asarray(Image.open(path)) for path in sorted((out / "classes").iterdir())])
    masks = np.stack([np.asarray(Image.open(path)) > 0 for path in sorted((out / "0").iterdir())])
    assert classes.any() and not classes[~masks].any()
    assert {each["id"] for each in result["classes"]["found"]} == {*np.unique(classes[classes > 0]).tolist()}
    missing = CliRunner().invoke(app, ["segment", str(clip), "--model", second, "--out", str(tmp_path / "other")])
    assert missing.exit_code == 2 and "stage_one: SteppingStonesForSemanticSegmentation names" in missing.stderr
    states = []
    for stage in (first, first):
        [outcome] = segment_files([clip], [], second, tmp_path / "many", stage_one=stage)
        states.append(outcome.state)
    assert states == ["segmented", "finished"]


def test_the_command_scores_classes_with_both_stages(checkpoints, tmp_path):
    second, first = map(str, checkpoints)
    data = write_avsbench(tmp_path / "root", {"v1m": {"test": 2}}, (32, 40))
    asked = ["evaluate", "--model", second, "--data", str(data), "--dataset", "avsbench", "--subset", "v1m"]
    done = CliRunner().invoke(app, [*asked, "--protocol", "avss", "--stage-one", first, "--json"])
    assert done.exit_code == 0, done.output
    report = json.loads(done.stdout)
    assert report["stage_one"] == first and 0 <= report["splits"]["test"]["miou"] <= 1
    without = CliRunner().invoke(app, [*asked, "--protocol", "avss"])
    assert without.exit_code == 2 and "stage_one: SteppingStonesForSemanticSegmentation names" in without.stderr
