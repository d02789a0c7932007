"""Files that grow frame by frame, and their summary."""

from contextlib import closing

import numpy as np
import pytest

from lavseg.inference.frame_predictions import SegmentedFrame
from lavseg.inference.result_files import ResultFiles
from lavseg.media import ClipPart, read_video
from lavseg.visualization import palette


def frames(count=3, attentions=None, scored=True):
    for index in range(count):
        masks = np.zeros((2, 32, 48), bool)
        masks[0, : 8 * index] = True
        sound = np.zeros((1, 8000), np.float32)
        part = ClipPart(index / 2, np.full((32, 48, 3), 9 * index, np.uint8), sound, 16000)
        scores = {"iou_scores": np.array([0.12345, 1.0]), "presence_logit": np.array([float(index), -2.0])}
        yield SegmentedFrame(part, masks, scores if scored else {}, attentions or {})


def write(folder, texts, **options):
    made = list(frames(**options))
    with closing(ResultFiles(folder, texts, made[0], 2.0)) as files:
        for frame in made:
            files.write(frame)
    return files.summary()


def test_the_summary_is_that_of_the_frames(tmp_path):
    summary = write(tmp_path, ["one", "two"])
    assert summary["fps"] == 2 and summary["frame_times"] == [0, 0.5, 1]
    one, two = summary["expressions"]
    assert (one["text"], one["folder"], one["color"]) == ("one", "0", palette(2)[0].tolist())
    assert one["area_fractions"] == [0, 0.25, 0.5] and two["area_fractions"] == [0, 0, 0]
    assert one["iou_scores"] == pytest.approx([0.1234] * 3, abs=2e-4)
    assert (one["presence_logit"], two["presence_logit"]) == (2, -2)
    # By the presence that each frame was judged with; nothing is masked in the first one, nor of the second object.
    assert one["frame_scores"] == pytest.approx([0, 0.12345 / (1 + np.exp(-1)), 0.12345 / (1 + np.exp(-2))], abs=1e-4)
    assert one["score"] == pytest.approx(sum(one["frame_scores"]) / 2, abs=1e-4)
    assert (two["score"], two["frame_scores"]) == (0, [0, 0, 0])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["0", "1", "overlay.mp4"]
    overlay = read_video(tmp_path / "overlay.mp4", 2)
    assert len(overlay.frames) == 3 and overlay.waveform.shape == (1, 3 * 8000)


def test_attention_maps_are_drawn_where_there_are_some_and_no_text_is_none(tmp_path):
    maps = {"vision_attentions": np.random.default_rng(0).random((2, 4, 4), np.float32)}
    summary = write(tmp_path, [], attentions=maps, scored=False)
    for entry in summary["expressions"]:
        assert entry["text"] is entry["score"] is None and "frame_scores" not in entry
    assert len(read_video(tmp_path / "attention.mp4", 2).frames) == 3


def test_a_sound_that_the_model_does_not_take_is_named(tmp_path):
    made = list(frames())
    with closing(ResultFiles(tmp_path, ["one", "two"], made[0], 2.0, hears=False)) as files:
        for frame in made:
            files.write(frame)
    assert files.summary()["warnings"] == ["the sound was not heard, the model takes none"]
