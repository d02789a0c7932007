"""A clip's masks, overlay and summary in a folder, whole or not at all."""

import json
import os
import signal

import av
import numpy as np
import pytest
import torch
from tiny.configurations import tiny_config

from lavseg.inference.segment_file import segment_file
from lavseg.inference.segment_files import segment_files
from lavseg.media import MediaWarning, read_video
from lavseg.models.referformer import ReferFormerConfig, ReferFormerModel, ReferFormerProcessor
from saved_clips import SECONDS, save_checkpoint, save_clips

TEXTS = ["the red circle", "the object making a sound"]


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    return save_checkpoint(tmp_path_factory.mktemp("checkpoint"))


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    return save_clips(tmp_path_factory.mktemp("clips"))


def test_the_clip_is_inspected_once_and_opened_three_times(checkpoint, clips, tmp_path, monkeypatch):
    """For its packets, its frames and its sound."""
    opened, real = [], av.open

    def count(file, mode=None, **options):
        opened.extend([file] if mode is None else [])
        return real(file, mode, **options)

    monkeypatch.setattr(av, "open", count)
    stages = []
    found = segment_file(clips / "clip.mp4", TEXTS, checkpoint, tmp_path / "out", on_stage=stages.append)
    assert opened == [str(clips / "clip.mp4")] * 3 and len(found["frame_times"]) == SECONDS
    assert stages == ["Reading the clip", "Loading the model", "Segmenting"]


def test_an_unknown_format_is_refused_before_anything_is_read(tmp_path):
    with pytest.raises(ValueError, match="'gif' was given, accepted are png, rle, npz"):
        segment_file("absent.mp4", TEXTS, "absent", tmp_path / "out", mask_format="gif")


def test_what_is_in_the_way_of_overwriting_is_found_before_anything_is_read(tmp_path):
    for name in ("out", "out.earlier"):
        (tmp_path / name).mkdir()
    (tmp_path / "out" / "result.json").touch()
    with pytest.raises(ValueError, match=r"^out: .*out\.earlier is in the way"):
        segment_file("absent.mp4", TEXTS, "absent", tmp_path / "out", overwrite=True)


def test_a_clip_whose_name_is_not_utf8(checkpoint, clips, tmp_path):
    clip = tmp_path / os.fsdecode(b"caf\xe9.mp4")
    clip.write_bytes((clips / "clip.mp4").read_bytes())
    [first], [again] = (segment_files([clip], TEXTS, checkpoint, tmp_path / "out") for _ in range(2))
    assert (first.state, again.state) == ("segmented", "finished"), first.reason
    assert json.loads((first.folder / "result.json").read_text(encoding="utf-8"))["clip"] == str(clip)


@pytest.mark.parametrize("earlier", [True, False])
def test_what_was_there_is_back_when_writing_fails(checkpoint, clips, tmp_path, monkeypatch, earlier):
    out = tmp_path / "out"
    if earlier:
        out.mkdir()
        (out / "result.json").write_text("earlier")

    def full_disk(*arguments):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("lavseg.media.VideoWriter.write", full_disk)
    with pytest.raises(OSError, match="No space left"):
        segment_file(clips / "clip.mp4", TEXTS, checkpoint, out, overwrite=True)
    assert [path.name for path in tmp_path.rglob("*")] == (["out", "result.json"] if earlier else [])


@pytest.fixture
def ctrl_c():
    """Ctrl-C as in a terminal: a process that was started in the background does not listen to it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("ctrl_c")
@pytest.mark.parametrize("kind", ["png", "rle", "npz"])
def test_ctrl_c_leaves_whole_files_of_what_was_done(checkpoint, clips, tmp_path, kind):
    out = tmp_path / "out"

    def stop(done, total):
        assert total == 4
        if done == 3:
            os.kill(os.getpid(), signal.SIGINT)

    clip = clips / "clip.mp4"
    summary = segment_file(clip, TEXTS, checkpoint, out, fps=1, mask_format=kind, on_frame=stop)
    assert not summary["complete"] and json.loads((out / "result.json").read_text()) == summary
    assert len(summary["frame_times"]) == 3 and len(summary["expressions"][1]["area_fractions"]) == 3
    masks = {
        "png": lambda: [*(out / "1").iterdir()],
        "rle": lambda: json.loads((out / "1.json").read_text()),
        "npz": lambda: np.load(out / "1.npz").files,
    }[kind]()
    assert len(masks) == 3 and len(read_video(out / "overlay.mp4").frames) == 3


def test_a_model_that_hears_nothing_takes_any_clip_and_says_so(clips, tmp_path, tokenizer):
    config = tiny_config(ReferFormerConfig, len(tokenizer))
    torch.manual_seed(0)
    ReferFormerModel(config).save_pretrained(tmp_path / "deaf")
    ReferFormerProcessor.from_config(config, tokenizer).save_pretrained(tmp_path / "deaf")
    with pytest.warns(MediaWarning, match="the sound was not heard, the model takes none"):
        found = segment_file(clips / "clip.mp4", TEXTS, tmp_path / "deaf", tmp_path / "heard")
    assert found["warnings"] == ["the sound was not heard, the model takes none"]
    assert len(found["frame_times"]) == SECONDS and "presence_logit" in found["expressions"][0]
    mute = segment_file(clips / "mute.mp4", TEXTS, tmp_path / "deaf", tmp_path / "mute")
    assert mute["warnings"] == [] and len(mute["frame_times"]) == SECONDS
