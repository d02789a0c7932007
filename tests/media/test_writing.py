"""Written files are read back."""

from fractions import Fraction

import numpy as np
import pytest

from lavseg.media import (
    VideoWriter,
    read_video,
    write_video,
)
from marked_clips import RATE, grey, indices, loudness, tone


@pytest.mark.parametrize("size", [(32, 48), (33, 47), (1, 1)])
@pytest.mark.parametrize("rate", [1, 25, 29.97, Fraction(30000, 1001)])
def test_write_then_read(tmp_path, size, rate):
    path = tmp_path / "out.mp4"
    sound = tone(5 / rate)
    write_video(path, (grey(10 * index, size) for index in range(5)), rate, sound, RATE)
    seen = read_video(path, float(rate))
    assert indices(seen.frames) == [0, 10, 20, 30, 40]
    assert seen.frames.shape[1:3] == (size[0] + size[0] % 2, size[1] + size[1] % 2)
    assert seen.waveform.shape == (1, round(5 / rate * RATE))
    assert list(tmp_path.iterdir()) == [path]


def test_written_sound_keeps_its_place_channels_and_unusual_rates(tmp_path):
    late = np.concatenate([np.zeros((1, 11000), np.float32), tone(1, rate=11000)], axis=1)
    stereo = np.concatenate([late, 0 * late])
    for sound, channels in ((late[0], 1), (stereo, 2), (np.repeat(late, 6, 0), 1)):
        write_video(tmp_path / "out.mp4", [grey(0)] * 3, 1, sound, 11000)
        seen = read_video(tmp_path / "out.mp4")
        assert seen.sampling_rate == 11025 and seen.waveform.shape == (channels, 3 * 11025)
        levels = [loudness(seen.waveform[:1], 11025, begin + 0.1, begin + 0.9) for begin in range(3)]
        np.testing.assert_allclose(levels, [0, 0.5 / np.sqrt(2), 0], atol=0.02)
        assert channels == 1 or np.abs(seen.waveform[1]).max() < 1e-3


def test_failed_writing_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "out.mp4"
    path.write_bytes(b"old")

    def frames():
        yield grey(1)
        raise RuntimeError("the model failed")

    with pytest.raises(RuntimeError, match="the model failed"):
        write_video(path, frames(), 1)
    assert list(tmp_path.iterdir()) == [path] and path.read_bytes() == b"old"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"path": "out.avi"}, "only .mp4"),
        ({"path": "absent/out.mp4"}, "folder does not exist"),
        ({"frames": []}, "frames is empty"),
        ({"frames": [np.zeros((4, 4, 3))]}, "frame 0 is float64"),
        ({"frames": [np.zeros((4, 4), np.uint8)]}, r"frame 0 is uint8 \[4, 4\]"),
        ({"frames": [grey(0), grey(0, (16, 16))]}, r"frame 1 is \[16, 16, 3\], the first is \[32, 48, 3\]"),
        ({"fps": 0}, "fps is 0"),
        ({"waveform": np.zeros((1, 9), np.int16), "sampling_rate": RATE}, "waveform is int16"),
        ({"waveform": np.full((1, 9), np.nan), "sampling_rate": RATE}, "finite"),
        ({"waveform": np.zeros((16000, 2)), "sampling_rate": RATE}, "channels come first"),
        (
            {"waveform": np.zeros((1, 9))},
            "sampling_rate is None; a waveform needs its samples per second, a whole number above 0",
        ),
        ({"waveform": np.zeros((1, 9)), "sampling_rate": "16000"}, "sampling_rate is '16000'; "),
    ],
)
def test_write_video_names_what_is_wrong(tmp_path, changes, message):
    arguments = {"path": "out.mp4", "frames": [grey(0)], "fps": 1} | changes
    arguments["path"] = tmp_path / arguments["path"]
    with pytest.raises(ValueError, match=message):
        write_video(**arguments)
    assert list(tmp_path.iterdir()) == []


def test_a_video_closed_after_any_frame_is_whole(tmp_path):
    path = tmp_path / "clip.mp4"
    for count in (1, 4):
        with VideoWriter(path, 5, RATE) as writer:
            for index in range(count):
                writer.write(grey(index), tone(0.2))
        seen = read_video(path, 5)
        assert len(seen.frames) == count and seen.waveform.shape == (1, round(count * 0.2 * RATE))
    with pytest.raises(ValueError, match="frames is empty"), VideoWriter(path, 5):
        pass


@pytest.mark.parametrize(("first", "second", "words"), [(None, 0.2, "given at frame 1"), (0.2, None, "missing")])
def test_all_frames_come_with_sound_or_none(tmp_path, first, second, words):
    with VideoWriter(tmp_path / "out.mp4", np.float32(5), RATE) as writer:
        writer.write(grey(0), first and tone(first))
        with pytest.raises(ValueError, match=words):
            writer.write(grey(1), second and tone(second))
