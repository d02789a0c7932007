"""Frames at a steady rate and the sound under them."""

import os
import wave

import av
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lavseg.media import (
    ClipReader,
    MediaError,
    inspect_video,
    iter_clip,
    iter_frames,
    read_audio,
    read_video,
)
from marked_clips import RATE, Writer, grey, indices, loudness, steady, tone


@pytest.fixture
def clip(tmp_path):
    """Three seconds at 25 frames a second, a tone of the same length, the index at the front."""
    path = tmp_path / "clip.mp4"
    Writer(path, movflags="+faststart").video(steady(3)).sound(tone(3)).save()
    return path


@pytest.mark.parametrize(
    ("fps", "at", "expected"),
    [
        (1, "end", [24, 49, 74]),
        (1, "start", [0, 25, 50]),
        (2, "end", [12, 24, 37, 49, 62, 74]),
        (2, "start", [0, 12, 25, 37, 50, 62]),
        (25, "end", list(range(75))),
        (25, "start", list(range(75))),
        (50, "end", [index // 2 for index in range(150)]),
        (0.5, "end", [49]),
        (0.1, "end", [74]),
        (0.1, "start", [0]),
    ],
)
def test_the_frame_at_the_end_or_start_of_each_interval(clip, fps, at, expected):
    seen = read_video(clip, fps, at)
    assert indices(seen.frames) == expected
    assert seen.frames.dtype == np.uint8 and seen.frames.shape[1:] == (32, 48, 3)
    np.testing.assert_allclose(seen.frame_times, np.array(expected) / 25, atol=1e-4)
    assert seen.waveform.shape == (1, round(len(expected) / fps * RATE))
    assert seen.sampling_rate == RATE and seen.fps == fps


@pytest.mark.parametrize("suffix", ["mp4", "mov", "mkv", "ts", "avi", "flv", "fragments.mp4"])
@pytest.mark.parametrize("rate", [24, 25, 30])
def test_containers_with_coarse_clocks_agree(tmp_path, suffix, rate):
    path = tmp_path / f"clip.{suffix}"
    options = {"movflags": "frag_keyframe+empty_moov"} if suffix == "fragments.mp4" else {}
    Writer(path, **options).video(steady(2, rate), rate=rate, codec="ffv1" if suffix == "avi" else "libx264").save()
    assert indices(read_video(path).frames) == [rate - 1, 2 * rate - 1]
    assert indices(read_video(path, 3).frames) == [round(rate * end / 3 + 0.49) - 1 for end in range(1, 7)]


@settings(max_examples=25, deadline=None)
@given(
    st.lists(st.integers(1, 1500), min_size=1, max_size=20),
    st.sampled_from([0.5, 1, 2, 7]),
    st.integers(0, 3),
)
def test_variable_frame_rate_follows_the_times_in_the_file(tmp_path_factory, gaps, fps, start):
    times = [start + milliseconds / 1000 for milliseconds in np.cumsum([0, *gaps[:-1]])]
    path = tmp_path_factory.mktemp("vfr") / "clip.mp4"
    Writer(path).video(times, last=gaps[-1] / 1000).save()
    relative = np.array(times) - start
    length = sum(gaps) / 1000
    count = max(1, int((length + 0.0025) * fps))
    shown = [int((relative < (i + 1) / fps - 0.0025).sum()) - 1 for i in range(count)]
    assert indices(read_video(path, fps).frames) == shown
    begun = [int((relative < i / fps + 0.0025).sum()) - 1 for i in range(count)]
    assert indices(read_video(path, fps, "start").frames) == begun


def test_a_partial_last_interval_is_left_out_but_a_short_clip_gives_one_frame(tmp_path):
    for seconds, expected in ((2.88, [24, 49]), (0.4, [9]), (0.04, [0])):
        Writer(tmp_path / "clip.mp4").video(steady(seconds)).sound(tone(seconds)).save()
        seen = read_video(tmp_path / "clip.mp4")
        assert indices(seen.frames) == expected
        assert seen.waveform.shape == (1, len(expected) * RATE)


def test_iter_frames_streams_and_can_be_abandoned(clip):
    frames = iter_frames(clip)
    seconds, frame = next(frames)
    assert seconds == pytest.approx(0.96) and indices([frame]) == [24]
    frames.close()


def test_no_sound_is_none(tmp_path):
    Writer(tmp_path / "clip.mp4").video(steady(1)).save()
    seen = read_video(tmp_path / "clip.mp4")
    assert seen.waveform is None and seen.sampling_rate is None
    with pytest.raises(MediaError, match="holds no sound"):
        read_audio(tmp_path / "clip.mp4")


@pytest.mark.parametrize(
    ("video_begin", "sound_begin", "sound_seconds", "heard"),
    [
        (0, 0, 3, (0, 3)),
        (0, 0, 1, (0, 1)),  # short sound: zeros follow
        (0, 0, 5, (0, 3)),  # long sound is cut
        (0, 1, 1, (1, 2)),  # sound that begins late
        (1, 0, 3, (0, 2)),  # sound that begins early
        (5, 5, 3, (0, 3)),  # nothing begins at zero
        (0, 4, 1, None),  # sound after the video's end
    ],
)
@pytest.mark.parametrize("suffix", ["mp4", "mkv"])
def test_sound_lies_on_the_videos_clock(tmp_path, suffix, video_begin, sound_begin, sound_seconds, heard):
    path = tmp_path / f"clip.{suffix}"
    Writer(path).video(steady(3, begin=video_begin)).sound(tone(sound_seconds), begin=sound_begin).save()
    seen = read_video(path)
    assert indices(seen.frames) == [24, 49, 74]
    assert seen.waveform.shape == (1, 3 * RATE) and seen.waveform.dtype == np.float32
    for begin in np.arange(0, 3, 0.25):
        loud = heard is not None and heard[0] <= begin < heard[1]
        level = loudness(seen.waveform, RATE, begin + 0.1, begin + 0.15)
        assert level == pytest.approx(0.5 / np.sqrt(2), abs=0.05) if loud else level < 0.01


def test_a_picture_size_that_changes_is_refused(tmp_path):
    parts = []
    for begin, size in ((0, (32, 48)), (1, (48, 64))):
        path = tmp_path / f"{begin}.ts"
        Writer(path).video(steady(1, begin=begin), [grey(1, size)] * 25).save()
        parts.append(path.read_bytes())
    (tmp_path / "clip.ts").write_bytes(b"".join(parts))
    with pytest.raises(MediaError, match="size changes"):
        read_video(tmp_path / "clip.ts")


@pytest.mark.parametrize("channels", [1, 2])
def test_read_audio_of_wav_is_exact(tmp_path, channels):
    samples = np.random.default_rng(0).integers(-32768, 32768, (channels, 4000), dtype=np.int16)
    with wave.open(str(tmp_path / "sound.wav"), "wb") as file:
        file.setnchannels(channels)
        file.setsampwidth(2)
        file.setframerate(44100)
        file.writeframes(samples.T.tobytes())
    for source in (tmp_path / "sound.wav", str(tmp_path / "sound.wav"), (tmp_path / "sound.wav").read_bytes()):
        waveform, rate = read_audio(source)
        assert rate == 44100 and waveform.dtype == np.float32
        np.testing.assert_array_equal(waveform, samples / np.float32(32768))


@pytest.mark.parametrize(("suffix", "codec"), [("mp3", "libmp3lame"), ("flac", "flac"), ("m4a", "aac"), ("mp4", "aac")])
def test_read_audio_of_other_formats(tmp_path, suffix, codec):
    path = tmp_path / f"sound.{suffix}"
    Writer(path).sound(tone(1), codec=codec).save()
    for source in (path, path.read_bytes()):
        waveform, rate = read_audio(source)
        assert rate == RATE and abs(waveform.shape[1] - RATE) < 0.1 * RATE
        assert loudness(waveform, rate, 0.2, 0.8) == pytest.approx(0.5 / np.sqrt(2), abs=0.02)


@pytest.mark.parametrize(
    ("name", "shape", "rate"), [("coffee", (9, 720, 1280, 3), 48000), ("nasa", (13, 270, 480, 3), 16000)]
)
def test_real_clips(media, name, shape, rate):
    seen = read_video(media / f"{name}.mp4")
    assert seen.frames.shape == shape
    assert seen.sampling_rate == rate and seen.waveform.shape == (2, shape[0] * rate)
    seconds = np.arange(shape[0])
    assert ((seen.frame_times > seconds + 0.9) & (seen.frame_times < seconds + 1)).all()
    whole, _ = read_audio(media / f"{name}.mp4")
    assert whole.shape[1] / rate == pytest.approx({"coffee": 9.557, "nasa": 13.056}[name], abs=0.07)
    np.testing.assert_array_equal(seen.waveform, whole[:, : seen.waveform.shape[1]])


@pytest.mark.parametrize("fps", [1, 2.5, 25])
@pytest.mark.parametrize("begin", [-0.7, 0.0, 0.4])
def test_a_clip_comes_interval_by_interval(tmp_path, fps, begin):
    """Sound that begins before or after the video, and ends before it."""
    path = tmp_path / "clip.mkv"
    Writer(path).video(steady(3, begin=1)).sound(tone(2), begin=1 + begin).save()
    parts = list(iter_clip(path, fps))
    whole = read_video(path, fps)
    assert [part.time for part in parts] == whole.frame_times.tolist()
    np.testing.assert_array_equal([part.frame for part in parts], whole.frames)
    assert {part.sampling_rate for part in parts} == {RATE}
    lengths = [part.waveform.shape[1] for part in parts]
    assert lengths == np.diff([round(i / fps * RATE) for i in range(len(parts) + 1)]).tolist()
    sound = np.concatenate([part.waveform for part in parts], axis=1)
    heard = max(0, begin), 2 + begin
    assert loudness(sound, RATE, heard[0] + 0.1, heard[1] - 0.1) == pytest.approx(0.5 / np.sqrt(2), abs=0.02)
    assert loudness(sound, RATE, heard[1] + 0.1, 3) < 0.01
    assert begin <= 0 or loudness(sound, RATE, 0, begin - 0.1) < 0.01


@pytest.mark.parametrize("suffix", ["mkv", "ts", "avi", "flv", "h264"])
def test_length_and_rate_in_other_containers(tmp_path, suffix):
    path = tmp_path / f"clip.{suffix}"
    Writer(path).video(steady(2), codec="ffv1" if suffix == "avi" else "libx264").save()
    assert inspect_video(path) == pytest.approx((2, 25), rel=0.03)


def test_inspect_video(tmp_path, clip):
    assert inspect_video(clip) == pytest.approx((3, 25), rel=0.01)
    Writer(tmp_path / "slow.mp4").video([0, 2, 7], last=1).save()
    assert inspect_video(tmp_path / "slow.mp4") == pytest.approx((8, 3 / 8), rel=0.01)
    os.truncate(clip, clip.stat().st_size // 2)
    with pytest.raises(MediaError, match="cut short"):
        inspect_video(clip)


def test_a_reader_inspects_its_file_once(clip, monkeypatch):
    opened, real = [], av.open

    def count(file, *given, **options):
        opened.append(file)
        return real(file, *given, **options)

    monkeypatch.setattr(av, "open", count)
    reader = ClipReader(clip)
    assert not opened
    assert reader.info == reader.info == pytest.approx((3, 25), rel=0.01) and opened == [str(clip)]
    assert [part.time for part in reader.iter_clip(1)] == [part.time for part in iter_clip(clip, 1)]
    assert indices([image for _, image in reader.iter_frames(5, "start")]) == list(range(0, 75, 5))
