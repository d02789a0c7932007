"""Clips are synthesised here: frame i of a clip is uniformly 3 i bright, so a decoded frame tells which one it is."""

import os
import wave
from fractions import Fraction

import av
import numpy as np
import pytest
from av.stream import Disposition
from hypothesis import given, settings
from hypothesis import strategies as st

from lavseg.media import (
    MediaError,
    VideoWriter,
    inspect_video,
    iter_clip,
    iter_frames,
    read_audio,
    read_video,
    write_video,
)

TICK = Fraction(1, 90000)
RATE = 16000


def grey(index: int, size: tuple[int, int] = (32, 48)) -> np.ndarray:
    return np.full((*size, 3), 3 * index, np.uint8)


def indices(frames: np.ndarray) -> list[int]:
    return [round(float(frame.mean()) / 3) for frame in frames]


def tone(seconds: float, hertz: float = 440, rate: int = RATE) -> np.ndarray:
    return 0.5 * np.sin(2 * np.pi * hertz * np.arange(round(seconds * rate)) / rate, dtype=np.float32)[None]


def loudness(waveform: np.ndarray, rate: int, begin: float, end: float) -> float:
    return float(np.sqrt(np.mean(np.square(waveform[:, round(begin * rate) : round(end * rate)]))))


class Writer:
    """Several streams into one file, muxed in the order of time."""

    def __init__(self, path, **options):
        self.container, self.packets = av.open(str(path), "w", options=options), []

    def video(self, times, images=None, last=Fraction(1, 25), codec="libx264", rate=25, turn=None):
        images = images or [grey(index) for index in range(len(times))]
        options = {"qp": "0", "preset": "superfast"} if codec == "libx264" else {}
        height, width = images[0].shape[:2]
        stream = self.container.add_stream(
            codec, rate=rate, width=width, height=height, pix_fmt="yuv420p", options=options
        )
        stream.codec_context.time_base = TICK if codec == "libx264" else Fraction(1, rate)
        if turn is not None:
            stream.set_display_matrix(turn)
        ticks = [round(time / stream.codec_context.time_base) for time in [*times, times[-1] + last]]
        durations, packets = dict(zip(ticks, np.diff(ticks), strict=False)), []
        for image, tick in zip(images, ticks, strict=False):
            frame = av.VideoFrame.from_ndarray(image, format="rgb24")
            frame.pts, frame.time_base = tick, stream.codec_context.time_base
            packets += stream.encode(frame)
        packets += stream.encode()
        for packet in packets:
            packet.duration = durations[packet.pts]
        self.packets += packets
        return self

    def sound(self, waveform, rate=RATE, begin=0.0, codec="aac"):
        stream = self.container.add_stream(codec, rate=rate, layout="mono")
        for position in range(0, waveform.shape[1], 1024):
            chunk = np.ascontiguousarray(waveform[:, position : position + 1024])
            frame = av.AudioFrame.from_ndarray(chunk, format="fltp", layout="mono")
            frame.pts, frame.sample_rate, frame.time_base = round(begin * rate) + position, rate, Fraction(1, rate)
            self.packets += stream.encode(frame)
        self.packets += stream.encode()
        return self

    def cover(self):
        stream = self.container.add_stream("mjpeg", width=64, height=64, pix_fmt="yuvj420p")
        stream.disposition = Disposition.attached_pic
        self.packets[:0] = stream.encode(av.VideoFrame.from_ndarray(grey(80, (64, 64)), format="rgb24"))
        return self

    def save(self):
        for packet in sorted(self.packets, key=lambda packet: packet.dts * packet.time_base):
            self.container.mux(packet)
        self.container.close()


def steady(seconds: float, rate: int = 25, begin: float = 0.0) -> list[Fraction]:
    return [Fraction(begin) + Fraction(index, rate) for index in range(round(seconds * rate))]


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


@pytest.mark.parametrize(("a", "b", "c", "d"), [(1, 0, 0, 1), (0, 1, -1, 0), (-1, 0, 0, -1), (0, -1, 1, 0)])
@pytest.mark.parametrize("mirror", [1, -1])
def test_display_matrix_brings_frames_upright(tmp_path, a, b, c, d, mirror):
    image = np.zeros((32, 48, 3), np.uint8)
    image[:16, :24], image[:16, 24:], image[16:, :24] = 240, 160, 80  # corners 240 160 / 80 0
    a, c = a * mirror, c * mirror
    one = 1 << 16
    Writer(tmp_path / "clip.mp4").video(
        [0], [image], turn=[a * one, b * one, 0, c * one, d * one, 0, 0, 0, 1 << 30]
    ).save()
    frame = read_video(tmp_path / "clip.mp4").frames[0]
    assert frame.shape == ((32, 48, 3) if a else (48, 32, 3))
    height, width = frame.shape[:2]
    for x, y, level in ((-1, -1, 240), (1, -1, 160), (-1, 1, 80), (1, 1, 0)):
        shown_x, shown_y = a * x + c * y, b * x + d * y
        assert abs(int(frame[height // 2 + shown_y * 8, width // 2 + shown_x * 8, 0]) - level) < 12


def test_ffmpegs_rotation_matches_a_phone_held_upright(tmp_path):
    """90 degrees clockwise on show: what lay at the left of the stored frame is on top."""
    image = np.zeros((32, 48, 3), np.uint8)
    image[:, :24] = 200
    one = 1 << 16
    Writer(tmp_path / "clip.mp4").video([0], [image], turn=[0, one, 0, -one, 0, 0, 0, 0, 1 << 30]).save()
    frame = read_video(tmp_path / "clip.mp4").frames[0]
    assert frame[:20].min() > 180 and frame[28:].max() < 20


def test_the_default_one_of_several_streams(tmp_path):
    writer = Writer(tmp_path / "clip.mp4").video(steady(1), [grey(1, (16, 16))] * 25).video(steady(1))
    writer.sound(tone(1, rate=8000), rate=8000).sound(tone(1, rate=32000), rate=32000)
    for stream in list(writer.container.streams)[1::2]:
        stream.disposition = Disposition.default
    writer.save()
    seen = read_video(tmp_path / "clip.mp4")
    assert seen.frames.shape == (1, 32, 48, 3) and indices(seen.frames) == [24]
    assert seen.sampling_rate == 32000 and seen.waveform.shape == (1, 32000)


def test_cover_art_is_not_video(tmp_path):
    Writer(tmp_path / "clip.mp4").video(steady(1)).cover().save()
    assert read_video(tmp_path / "clip.mp4").frames.shape == (1, 32, 48, 3)
    Writer(tmp_path / "song.mp3").sound(tone(1), codec="libmp3lame").cover().save()
    with pytest.raises(MediaError, match="only sound"):
        read_video(tmp_path / "song.mp3")
    assert read_audio(tmp_path / "song.mp3")[1] == RATE


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


def test_lost_sound_packets_leave_silence_not_a_shift(tmp_path):
    writer = Writer(tmp_path / "clip.mkv").video(steady(3)).sound(tone(3))
    writer.packets = [p for p in writer.packets if p.stream.type == "video" or not 1 <= p.pts * p.time_base < 2]
    writer.save()
    seen = read_video(tmp_path / "clip.mkv")
    levels = [loudness(seen.waveform, RATE, begin, begin + 0.5) for begin in (0.25, 1.25, 2.25)]
    assert levels[1] < 0.01 and min(levels[0], levels[2]) > 0.3


@pytest.mark.parametrize("share", [0.3, 0.6, 0.8])
@pytest.mark.parametrize("suffix", ["mp4", "mkv", "avi", "wav", "flac"])
def test_files_cut_short_are_refused(tmp_path, suffix, share):
    path, noise = tmp_path / f"clip.{suffix}", np.random.default_rng(0)
    images = [noise.integers(0, 255, (32, 48, 3), np.uint8) for _ in range(75)]
    writer = Writer(path, **({"movflags": "+faststart"} if suffix == "mp4" else {}))
    if suffix in ("wav", "flac"):
        writer.sound(tone(3), codec={"wav": "pcm_s16le", "flac": "flac"}[suffix]).save()
    else:
        writer.video(steady(3), images, codec="ffv1" if suffix == "avi" else "libx264").sound(tone(3)).save()
    os.truncate(path, int(path.stat().st_size * share))
    with pytest.raises(MediaError, match=f"clip.{suffix}: (cut short|damaged)"):
        read_audio(path) if suffix in ("wav", "flac") else read_video(path)


def test_wav_written_to_a_pipe_is_whole(tmp_path):
    Writer(tmp_path / "sound.wav").sound(tone(1), codec="pcm_s16le").save()
    content = bytearray((tmp_path / "sound.wav").read_bytes())
    data = content.index(b"data")
    content[4:8] = content[data + 4 : data + 8] = b"\xff" * 4
    assert read_audio(bytes(content))[0].shape == (1, RATE)
    with pytest.raises(MediaError, match="cut short"):
        read_audio((tmp_path / "sound.wav").read_bytes()[:-9000])


def test_cut_before_the_index_is_refused(tmp_path):
    Writer(tmp_path / "clip.mp4").video(steady(1)).save()
    os.truncate(tmp_path / "clip.mp4", (tmp_path / "clip.mp4").stat().st_size // 2)
    with pytest.raises(MediaError, match=r"clip\.mp4: damaged"):
        read_video(tmp_path / "clip.mp4")


def test_overwritten_middle_is_refused(tmp_path):
    path, noise = tmp_path / "clip.mp4", np.random.default_rng(0)
    images = [noise.integers(0, 255, (32, 48, 3), np.uint8) for _ in range(50)]
    Writer(path, movflags="+faststart").video(steady(2), images).save()
    content = bytearray(path.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 20000] = bytes(20000)
    path.write_bytes(content)
    with pytest.raises(MediaError, match="damaged"):
        read_video(path)


@pytest.mark.parametrize("share", [0.3, 0.5, 0.7, 0.9])
def test_a_few_wrong_bytes_are_refused(media, tmp_path, share):
    content = bytearray((media / "coffee.mp4").read_bytes())
    middle = int(share * len(content))
    content[middle : middle + 100] = np.random.default_rng(0).bytes(100)
    (tmp_path / "clip.mp4").write_bytes(content)
    with pytest.raises(MediaError, match="damaged"):
        read_video(tmp_path / "clip.mp4")


def test_a_beginning_that_cannot_be_decoded_is_refused(media, tmp_path):
    """A broadcast stream joined between two key frames."""
    path = tmp_path / "clip.ts"
    with av.open(str(media / "coffee.mp4")) as source, av.open(str(path), "w") as container:
        streams = [container.add_stream_from_template(stream) for stream in source.streams]
        for packet in source.demux():
            if packet.dts is not None:
                packet.stream = streams[packet.stream.index]
                container.mux(packet)
    content = path.read_bytes()
    path.write_bytes(content[int(0.3 * len(content)) // 188 * 188 :])
    with pytest.raises(MediaError, match=r"damaged, its first 6\.\d\d s cannot be decoded"):
        read_video(path)


def test_a_picture_size_that_changes_is_refused(tmp_path):
    parts = []
    for begin, size in ((0, (32, 48)), (1, (48, 64))):
        path = tmp_path / f"{begin}.ts"
        Writer(path).video(steady(1, begin=begin), [grey(1, size)] * 25).save()
        parts.append(path.read_bytes())
    (tmp_path / "clip.ts").write_bytes(b"".join(parts))
    with pytest.raises(MediaError, match="size changes"):
        read_video(tmp_path / "clip.ts")


def test_sound_that_changes_its_rate_is_refused(tmp_path):
    parts = []
    for begin, rate in ((0, 16000), (1, 32000)):
        Writer(tmp_path / "part.ts").sound(tone(1, rate=rate), rate, begin).save()
        parts.append((tmp_path / "part.ts").read_bytes())
    with pytest.raises(MediaError, match=r"changes from mono at 16000 Hz to mono at 32000 Hz"):
        read_audio(b"".join(parts))


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("absent.mp4", None, "no such file"),
        ("empty.mp4", b"", "empty"),
        ("garbage.mp4", bytes(range(256)) * 64, "damaged or not a media file"),
        ("notes.txt", b"a note about a clip\n" * 50, "holds no video|not a media file"),
    ],
)
@pytest.mark.parametrize("read", [read_video, read_audio])
def test_files_that_are_no_media(tmp_path, name, content, message, read):
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(MediaError, match=f"{name}: .*({message}|holds no sound)"):
        read(path)


def test_folder_audio_only_and_wrong_kinds(tmp_path, clip):
    with pytest.raises(MediaError, match="is a folder"):
        read_video(tmp_path)
    Writer(tmp_path / "sound.m4a").sound(tone(1)).save()
    with pytest.raises(MediaError, match=r"sound\.m4a: holds no video, only sound"):
        read_video(tmp_path / "sound.m4a")
    with pytest.raises(MediaError, match="int is not a media file"):
        read_video(3)
    for rate in (0, -1, float("nan"), float("inf"), "1"):
        with pytest.raises(ValueError, match="fps is"):
            iter_frames(clip, rate)
    with pytest.raises(ValueError, match="'middle'"):
        read_video(clip, at="middle")


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


def test_read_audio_of_bytes_that_are_no_sound():
    with pytest.raises(MediaError, match=r"<7 bytes>: damaged"):
        read_audio(b"nothing")
    with pytest.raises(MediaError, match="empty"):
        read_audio(b"")


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
        ({"waveform": np.zeros((1, 9))}, "sampling_rate is None"),
    ],
)
def test_write_video_names_what_is_wrong(tmp_path, changes, message):
    arguments = {"path": "out.mp4", "frames": [grey(0)], "fps": 1} | changes
    arguments["path"] = tmp_path / arguments["path"]
    with pytest.raises(ValueError, match=message):
        write_video(**arguments)
    assert list(tmp_path.iterdir()) == []


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
