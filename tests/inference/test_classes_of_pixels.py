"""`lavseg segment --classes`: the class of every pixel, of models that name classes."""

import json

import numpy as np
import pytest
import torch
from PIL import Image
from tiny.configurations import tiny_config
from typer.testing import CliRunner

from lavseg import segment_video
from lavseg.cli import app
from lavseg.data import CLASSES
from lavseg.data.classes import PALETTE
from lavseg.inference.segment_files import segment_files
from lavseg.media import ClipReader
from lavseg.models.avsegformer import (
    AvsegFormerConfig,
    AvsegFormerForSemanticSegmentation,
    AvsegFormerModel,
    AvsegFormerProcessor,
)
from lavseg.models.tpavi import TpaviConfig, TpaviForSemanticSegmentation, TpaviProcessor
from scripted_clips import write_clip
from tiny_clips import away_from_zero

NAMES = dict(enumerate(["background", "bell", "bird", "boat"]))
# With the names of its classes; and as converted, where 71 have none, and longer than a window. Of windows the first
# frame, the last, and which of theirs hold.
TPAVI = TpaviForSemanticSegmentation, TpaviProcessor, TpaviConfig
AVSEGFORMER = AvsegFormerForSemanticSegmentation, AvsegFormerProcessor, AvsegFormerConfig
METHODS = [
    pytest.param(TPAVI, {"id2label": NAMES}, [*NAMES.values()], [(0, 4, slice(0, 4))], id="tpavi"),
    pytest.param(
        AVSEGFORMER,
        {"num_labels": len(CLASSES)},
        [*CLASSES],
        [(0, 10, slice(0, 9)), (3, 13, slice(6, 10))],
        id="avsegformer",
    ),
]


def save(model_class, processor_class, config, folder):
    torch.manual_seed(0)
    model = away_from_zero(model_class(config)).eval()
    model.save_pretrained(folder)
    processor = processor_class.from_config(config)
    processor.save_pretrained(folder)
    return model, processor


def classes_of(model, processor, parts):
    video, sound = np.stack([part.frame for part in parts]), np.concatenate([part.waveform for part in parts], axis=1)
    with torch.no_grad():
        outputs = model(**processor(video, sound, sampling_rate=parts[0].sampling_rate))
    return processor.post_process_semantic_segmentation(outputs, [video.shape[1:3]])[0].numpy()


@pytest.mark.parametrize(("classes", "fields", "names", "windows"), METHODS)
def test_the_command_writes_the_classes_of_the_clip(classes, fields, names, windows, tmp_path):
    model_class, processor_class, config_class = classes
    config = tiny_config(config_class, frame_size=64, architectures=[model_class.__name__], **fields)
    model, processor = save(model_class, processor_class, config, tmp_path / "model")
    clip, out = tmp_path / "clip.mp4", tmp_path / "out"
    write_clip(clip, windows[-1][1])
    done = CliRunner().invoke(
        app, ["segment", str(clip), "--model", str(tmp_path / "model"), "--classes", "--out", str(out)]
    )
    assert done.exit_code == 0, done.output
    pictures = [Image.open(path) for path in sorted((out / "classes").iterdir())]
    parts = [*ClipReader(clip).iter_clip(1)]
    expected = np.concatenate([classes_of(model, processor, parts[begin:end])[of] for begin, end, of in windows])
    found = np.stack(pictures)
    assert found.shape == expected.shape and found.any() and (found != expected).mean() < 1e-3
    said = json.loads((out / "result.json").read_text())["classes"]
    assert said["folder"] == "classes"
    assert {each["id"]: each["name"] for each in said["found"]} == {
        number: names[number] for number in np.unique(found) if number
    }
    for each in said["found"]:
        shares = (found == each["id"]).mean((1, 2))
        np.testing.assert_allclose(each["area_fractions"], shares, atol=1e-6)
        assert each["color"] == PALETTE[each["id"]].tolist()
    assert all(np.array_equal(np.asarray(one.convert("RGB")), PALETTE[np.asarray(one)]) for one in pictures)


def test_what_was_segmented_without_classes_is_not_finished_with_them(tmp_path):
    config = tiny_config(AvsegFormerConfig, frame_size=64, num_labels=4)
    save(AvsegFormerForSemanticSegmentation, AvsegFormerProcessor, config, tmp_path / "model")
    clip = tmp_path / "clip.mp4"
    write_clip(clip, 2)
    states = []
    for classes in (False, True):
        [outcome] = segment_files([clip], [], tmp_path / "model", tmp_path / "out", classes=classes)
        states.append(outcome.state)
    assert states == ["segmented", "failed"] and "--overwrite" in outcome.reason
    for overwrite in (True, False):
        [outcome] = segment_files([clip], [], tmp_path / "model", tmp_path / "out", overwrite=overwrite, classes=True)
        states.append(outcome.state)
    assert states[2:] == ["segmented", "finished"]
    assert len([*(tmp_path / "out" / "clip" / "classes").iterdir()]) == 2


def test_a_model_of_masks_names_no_classes(tmp_path):
    model = AvsegFormerModel(tiny_config(AvsegFormerConfig, frame_size=64)).eval()
    write_clip(tmp_path / "clip.mp4", 2)
    with pytest.raises(ValueError, match=r"^classes: AvsegFormerModel finds masks and names no classes; leave it out"):
        segment_video(model, AvsegFormerProcessor.from_config(model.config), tmp_path / "clip.mp4", output_classes=True)
