"""Frames and sound as they are decoded: turned upright, on time, and refused where they are damaged."""

import gc
import io
import mmap
import subprocess
import sys
from collections import deque
from fractions import Fraction
from itertools import islice
from pathlib import Path

import av
import numpy as np
import pytest

from lavseg.media import (
    MediaError,
    inspect_video,
    iter_clip,
    iter_frames,
    read_audio,
    read_video,
)
from marked_clips import RATE, Writer, grey, indices, loudness, steady, tone
from strange_files import CENTER, LEFT, RIGHT, caf, mapped_movie, movie, samples, wav


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


def test_frames_that_were_read_do_not_stay_in_memory(tmp_path):
    """Without waiting for Python to collect cycles, between two of which hundreds of frames are read."""

    def resident() -> int:
        return int(Path("/proc/self/statm").read_text().split()[1]) * mmap.PAGESIZE

    movie(tmp_path / "clip.mp4", size=(1280, 720))
    frames = iter_frames(tmp_path / "clip.mp4", 25)
    gc.disable()
    try:
        # A frame is 1.4 MB.
        deque(islice(frames, 10), maxlen=0)
        before = resident()
        deque(frames, maxlen=0)
        assert resident() - before < 20e6
    finally:
        gc.enable()


def test_lost_sound_packets_leave_silence_not_a_shift(tmp_path):
    writer = Writer(tmp_path / "clip.mkv").video(steady(3)).sound(tone(3))
    writer.packets = [p for p in writer.packets if p.stream.type == "video" or not 1 <= p.pts * p.time_base < 2]
    writer.save()
    seen = read_video(tmp_path / "clip.mkv")
    levels = [loudness(seen.waveform, RATE, begin, begin + 0.5) for begin in (0.25, 1.25, 2.25)]
    assert levels[1] < 0.01 and min(levels[0], levels[2]) > 0.3


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
    with pytest.raises(
        MediaError, match=r"damaged, its first 6\.\d\d s cannot be decoded; .*: ffmpeg -ss 6\.\d\d -i /"
    ):
        read_video(path)


def number(frame):
    """The one that a frame of the cases shows."""
    height, width = frame.shape[:2]
    block, middle = (width - 16) // 12, frame[height // 3 : 2 * height // 3]
    places = [8 + bit * (width - 16) // 12 for bit in range(12)]
    return sum(1 << bit for bit, at in enumerate(places) if middle[:, at + 2 : at + block - 2].mean() > 120)


def test_a_container_without_times_of_frames(cases):
    path = cases / "avi-h264-bframes" / "clip.avi"
    seen = read_video(path)
    assert [number(frame) for frame in seen.frames] == [24, 49, 74, 99, 124, 149]
    assert seen.waveform.shape == (1, 6 * 44100) and inspect_video(path) == pytest.approx((6, 25), rel=0.01)
    assert [number(frame) for _, frame in iter_frames(path, 25)] == list(range(150))


@pytest.mark.parametrize("container", ["avi", "mxf", "asf", "mpegvideo", "mov"])
def test_frames_that_are_decoded_in_another_order(tmp_path, container):
    codec = "mpeg1video" if container == "mpegvideo" else "libx264"
    writer = {"mpegvideo": "mpeg1video"}.get(container, container)
    options = {"bf": "3", "b": "20M", "maxrate": "20M", "bufsize": "4M", "qmax": "2"}
    with av.open(str(tmp_path / "clip"), "w", format=writer) as file:
        stream = file.add_stream(codec, rate=25, width=176, height=144, pix_fmt="yuv420p", options=options)
        for index in range(50):
            frame = av.VideoFrame.from_ndarray(grey(index, (144, 176)), format="rgb24")
            frame.pts, frame.time_base = index, Fraction(1, 25)
            file.mux(stream.encode(frame))
        file.mux(stream.encode())
    assert indices(read_video(tmp_path / "clip", 25).frames) == list(range(50))


def test_sound_that_changes_its_rate_is_refused(tmp_path):
    parts = []
    for begin, rate in ((0, 16000), (1, 32000)):
        Writer(tmp_path / "part.ts").sound(tone(1, rate=rate), rate, begin).save()
        parts.append((tmp_path / "part.ts").read_bytes())
    with pytest.raises(MediaError, match=r"changes from mono at 16000 Hz to mono at 32000 Hz"):
        read_audio(b"".join(parts))


@pytest.mark.parametrize(
    "source",
    [
        *((wav, (channels, None)) for channels in (1, 2, 3, 5, 8, 9, 24, 32)),
        (wav, (1, 0x1)),
        (wav, (2, 0x9)),
        (wav, (6, 0x3F)),
        (wav, (8, 0x63F)),
        (wav, (18, 0x3FFFF)),
        (wav, (24, 0x3F)),
        (caf, ([LEFT, RIGHT],)),
        (caf, ([LEFT, CENTER],)),
    ],
    ids=lambda source: f"{source[0].__name__}{source[1]}",
)
def test_sound_of_many_channels_is_read_whole(source):
    make, arguments = source
    waveform, rate = read_audio(make(*arguments))
    assert rate == 8000 and waveform.dtype == np.float32 and waveform.flags.c_contiguous
    np.testing.assert_array_equal(waveform, samples(len(waveform)).T / np.float32(32768))


# A regression would end the process, so another one is asked.
ASK = """
import gc, sys
from lavseg.media import iter_clip, read_audio
read = {"audio": read_audio, "clip": lambda path: list(iter_clip(path))}[sys.argv[1]]
try:
    read(sys.argv[2])
except ValueError as error:
    print(error)
gc.collect()
"""


def asked(read, path):
    done = subprocess.run([sys.executable, "-c", ASK, read, str(path)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (caf([RIGHT, LEFT]), "its 2 channels of sound have no usual layout"),
        (caf([LEFT, RIGHT, LEFT]), "its 3 channels"),
        (caf([LEFT] * 16), "its 16 channels"),
        (wav(24, 0xFFFFFF), "its 24 channels"),
        (wav(33), "33 channels of sound; up to 32"),
        (wav(500), "500 channels"),
    ],
)
def test_other_channels_are_refused_before_they_do_harm(tmp_path, content, message):
    (tmp_path / "sound.bin").write_bytes(content)
    for _ in range(2):
        said = asked("audio", tmp_path / "sound.bin")
        assert message in said and said.count("\n") == 1


def test_a_clip_whose_channels_are_mapped_is_refused(tmp_path):
    assert "have no usual layout" in asked("clip", mapped_movie(tmp_path / "clip.mov", [RIGHT, LEFT]))
    parts = list(iter_clip(mapped_movie(tmp_path / "clip.mov", [LEFT, RIGHT])))
    assert [part.waveform.shape for part in parts] == [(2, 16000)] * 2


def test_sound_without_a_decoder(tmp_path):
    path = movie(tmp_path / "clip.mov", layout="stereo")
    path.write_bytes(path.read_bytes().replace(b"sowt", b"zzzz"))
    for read in (read_video, read_audio):
        with pytest.raises(MediaError, match=r"clip\.mov: its sound is in a format without a decoder"):
            read(path)


def test_sound_in_eight_channels(cases):
    for name, shape, rate in (("71.wav", (8, 8000), 8000), ("clip71.mp4", (8, 133120), 44100)):
        waveform, read_rate = read_audio(cases / "sound-8-channels" / name)
        assert waveform.shape == shape and read_rate == rate and np.abs(waveform[0]).max() > 0.3


def test_planar_sound_in_eight_channels(tmp_path):
    sound = np.stack([np.full(4 * 4096, channel / 10, np.float32) for channel in range(8)])
    content = io.BytesIO()
    with av.open(content, "w", format="caf") as container:
        stream = container.add_stream("alac", rate=16000, layout="7.1(wide)")
        frame = av.AudioFrame.from_ndarray(sound.T.reshape(1, -1).copy(), format="flt", layout="7.1(wide)")
        frame.pts, frame.sample_rate, frame.time_base = 0, 16000, Fraction(1, 16000)
        container.mux([*stream.encode(frame), *stream.encode()])
    waveform, _ = read_audio(content.getvalue())
    np.testing.assert_allclose(waveform, sound, atol=1e-3)
