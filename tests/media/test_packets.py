"""Packets against what the header states and against each other."""

import struct
import warnings

import numpy as np
import pytest

from lavseg.media import MediaError, MediaWarning, inspect_video, read_audio, read_video
from marked_clips import RATE, Writer, grey, indices, loudness, steady, tone


@pytest.fixture(scope="module")
def content(tmp_path_factory):
    """Three seconds at 25 frames a second in ticks of 1/90000 s, a tone of the same length, the index at the front."""
    path = tmp_path_factory.mktemp("clip") / "clip.mp4"
    Writer(path, movflags="+faststart").video(steady(3)).sound(tone(3)).save()
    return path.read_bytes()


def changed(content, box, number, offset, *values):
    """The file with other 32-bit numbers from an offset on in the box of this name of a track."""
    content, at = bytearray(content), -1
    for _ in range(number + 1):
        at = content.index(box, at + 1)
    content[at + offset : at + offset + 4 * len(values)] = struct.pack(f">{len(values)}I", *values)
    return bytes(content)


VIDEO, SOUND = 0, 1


@pytest.mark.parametrize(
    ("box", "track", "offset", "values", "message"),
    [
        ("mdhd", VIDEO, 16, [1], "its header states 3 seconds and its time stamps go on to 3600"),
        ("mdhd", VIDEO, 16, [180000], "the video of stream 0: cut short, 1.5 of 3 seconds"),
        ("mdhd", SOUND, 16, [1], "its header states 3 seconds and its time stamps go on to 1024"),
        ("mdhd", SOUND, 16, [32000], "the audio of stream 1: cut short, 1.5"),
        ("stts", VIDEO, 12, [75, 1800], "the video of stream 0: cut short, 1.5 of 3 seconds"),
        ("stts", VIDEO, 12, [75, 1], "the video of stream 0: cut short, 0.0"),
        ("stts", VIDEO, 12, [75, 3600000], "its header states 3 seconds and its time stamps go on to 40"),
        ("stts", SOUND, 12, [48, 1], "the audio of stream 1: cut short, 6.25e-05"),
        ("stsz", VIDEO, 12, [37], "the video of stream 0: cut short, 1.48 of 3 seconds"),
        ("stsz", SOUND, 12, [20], "the audio of stream 1: cut short, 1.2"),
        ("elst", VIDEO, 12, [1500], "the video of stream 0: cut short, 1.5"),
        ("mvhd", 0, 16, [100], "the video of stream 0: cut short, 3 of 30 seconds"),
    ],
)
def test_damaged_tables_of_times_are_refused(tmp_path, content, box, track, offset, values, message):
    path = tmp_path / "clip.mp4"
    path.write_bytes(content)
    assert indices(read_video(path).frames) == [24, 49, 74]
    path.write_bytes(changed(content, box.encode(), track, offset, *values))
    for read in (read_video, inspect_video):
        with pytest.raises(MediaError, match=rf"clip\.mp4: .*{message}"):
            read(path)


def said(path):
    """What is said about a file by reading it, without its place."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("default", MediaWarning)
        inspect_video(path)
        read_video(path)
    return sorted({str(one.message).removeprefix(f"{path}: ") for one in caught})


def test_ordinary_clips_are_read_without_a_word(tmp_path, content):
    (tmp_path / "clip.mp4").write_bytes(content)
    Writer(tmp_path / "clip.mkv").video([0, 0.5, 2.7], last=0.3).sound(tone(3)).save()
    Writer(tmp_path / "slow.mp4").video([0, 2, 7], last=1).sound(tone(8)).cover().save()
    for name in ("clip.mp4", "slow.mp4"):
        assert said(tmp_path / name) == []


def test_an_edit_list_that_leaves_out_frames(tmp_path, content):
    """The scale of the times is half of what it was, so that the edit list ends in the middle of the frames."""
    path = tmp_path / "clip.mp4"
    path.write_bytes(changed(content, b"mdhd", VIDEO, 16, 45000))
    assert inspect_video(path) == pytest.approx((3, 12.5), rel=0.03)
    (told,) = said(path)
    assert told.startswith("its edit list leaves out 3") and told.endswith(" of 75 packets of video")


def test_frames_before_an_edit_list_begins_are_not_counted(tmp_path):
    """A cut without decoding: the frames from the key frame to the cut are there and not shown."""
    path = tmp_path / "clip.mp4"
    Writer(path).video(steady(3, begin=-1)).sound(tone(2)).save()
    assert inspect_video(path) == pytest.approx((2, 25), rel=0.01)
    assert indices(read_video(path).frames) == [49, 74]


@pytest.mark.parametrize(
    ("sound", "lost", "message"),
    [
        (1, (), "its sound lasts 1.1 seconds and its video 3.0; where there is none, silence stands for it"),
        (5, (), "its sound lasts 5.1 seconds and its video 3.0; where there is none, silence stands for it"),
        (1.7, (), None),
        (3, ("video", 1, 2), "its video has a gap from 1.00 to 2.00 s, or several; the frame before is shown on"),
        (3, ("audio", 1, 2), r"its sound has a gap from 1.0\d to 2.0\d s, or several; silence stands there"),
    ],
)
def test_what_is_missing_is_said(tmp_path, sound, lost, message):
    path = tmp_path / "clip.mkv"
    writer = Writer(path).video(steady(3), codec="ffv1").sound(tone(sound))
    if lost:
        kind, begin, end = lost
        writer.packets = [
            packet
            for packet in writer.packets
            if packet.stream.type != kind or not begin <= packet.pts * packet.time_base < end
        ]
    writer.save()
    told = said(path)
    assert len(told) == (message is not None)
    if message:
        with pytest.warns(MediaWarning, match=message):
            read_video(path)


def test_a_second_stream_of_video_is_said_and_not_every_time(tmp_path):
    path = tmp_path / "clip.mp4"
    Writer(path).video(steady(1)).video(steady(1), [grey(1, (16, 16))] * 25).sound(tone(1)).save()
    assert said(path) == ["holds 2 streams of video; stream 0 is taken"]


def test_frames_that_an_avi_lacks_are_said(tmp_path):
    path = tmp_path / "clip.avi"
    Writer(path).video(steady(3), codec="mpeg4").sound(tone(3), codec="mp2").save()
    assert said(path) == []
    content = path.read_bytes()
    at = content.index(b"00dc", content.index(b"movi"))
    path.write_bytes(content[:at] + b"JUNK" + content[at + 4 :])
    assert said(path) == ["74 of the 75 frames that it states are there"]


def test_times_that_go_back_are_refused(tmp_path):
    """Two recordings, one behind the other."""
    Writer(tmp_path / "part.ts").video(steady(2)).sound(tone(2)).save()
    path = tmp_path / "clip.ts"
    path.write_bytes(2 * (tmp_path / "part.ts").read_bytes())
    with pytest.raises(MediaError, match=r"clip\.ts: damaged, its time stamps go back from 1\.96 to 0\.00 s"):
        read_video(path)


@pytest.mark.parametrize("kind", ["video", "sound"])
def test_times_that_jump_hours_ahead_are_refused(tmp_path, kind):
    """Instead of as many copies of a frame, or as much silence."""
    path = tmp_path / "clip.ts"
    if kind == "video":
        Writer(path).video([*steady(1), *steady(1, begin=5000)]).sound(tone(1)).save()
    else:
        writer = Writer(path).video(steady(1)).sound(tone(2))
        for packet in writer.packets:
            if packet.stream.type == "audio" and packet.pts > RATE:
                packet.pts = packet.dts = packet.pts + 5000 * RATE
        writer.save()
    with pytest.raises(MediaError, match=r"clip\.ts: its \w+ is damaged, its time stamps jump from [\d.]+ to 500\d"):
        read_video(path) if kind == "video" else read_audio(path)


def test_sound_stretched_by_a_damaged_scale_is_said(tmp_path, content):
    path = tmp_path / "clip.mp4"
    path.write_bytes(changed(content, b"mdhd", SOUND, 16, 8000))
    with pytest.warns(MediaWarning, match=r"its sound has a gap from 0\.06 to .* s, or several"):
        waveform, rate = read_audio(path)
    assert np.isfinite(waveform).all() and loudness(waveform, rate, 0, 3) > 0.1
