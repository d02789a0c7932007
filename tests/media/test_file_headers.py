"""What files state about themselves."""

import io
import struct

import pytest

from lavseg.media.file_headers import stated_seconds, stated_size
from marked_clips import Writer, steady, tone


@pytest.mark.parametrize("flags", [None, "+faststart", "frag_keyframe+empty_moov"])
@pytest.mark.parametrize("suffix", ["mp4", "mov", "mkv", "avi", "wav", "ts"])
def test_whole_files_state_their_size(tmp_path, suffix, flags):
    path = tmp_path / f"clip.{suffix}"
    writer = Writer(path, **({"movflags": flags} if flags and suffix in ("mp4", "mov") else {}))
    if suffix == "wav":
        writer.sound(tone(3), codec="pcm_s16le").save()
    else:
        writer.video(steady(3), codec="ffv1" if suffix == "avi" else "libx264").sound(tone(2)).save()
    content = path.read_bytes()
    slack = {"avi": 1000, "wav": 1000, "ts": len(content)}.get(suffix, 0)
    for end in (b"", b"appended"):
        assert stated_size(io.BytesIO(content + end)) == len(content) - slack
    stated = stated_seconds(io.BytesIO(content))
    if suffix not in ("mp4", "mov"):
        assert stated == []
    elif flags == "frag_keyframe+empty_moov":
        assert stated == [0, 0]
    else:
        assert stated == pytest.approx([3, 2], abs=0.07)


def test_sizes_that_were_not_known_in_advance(tmp_path):
    Writer(tmp_path / "clip.webm", live="1").video(steady(1), codec="libvpx").save()
    assert stated_size(io.BytesIO((tmp_path / "clip.webm").read_bytes())) == 0
    assert stated_size(io.BytesIO(b"RIFF\xff\xff\xff\xffWAVE")) == 0
    last = struct.pack(">I4s", 16, b"ftyp") + bytes(8) + struct.pack(">I4s", 0, b"mdat") + bytes(100)
    assert stated_size(io.BytesIO(last)) == 16


@pytest.mark.parametrize(
    "content", [b"", b"RI", b"\x1a\x45\xdf\xa3", b"\x1a\x45\xdf\xa3\x00", b"\0\0\0\1mdat", b"x" * 99]
)
def test_stumps_of_files(content):
    assert stated_size(io.BytesIO(content)) == 0 and stated_seconds(io.BytesIO(content)) == []


def test_boxes_of_64_bits():
    large = struct.pack(">I4sQ", 1, b"mdat", 2**40)
    assert stated_size(io.BytesIO(large)) == 2**40
    movie = struct.pack(">B3xQQIQ", 1, 0, 0, 1000, 9) + bytes(80)
    track = struct.pack(">B3xQQIIQ", 1, 0, 0, 1, 0, 2500) + bytes(60)
    track = struct.pack(">I4s", 8 + len(track), b"tkhd") + track
    body = struct.pack(">I4s", 8 + len(movie), b"mvhd") + movie + struct.pack(">I4s", 8 + len(track), b"trak") + track
    assert stated_seconds(io.BytesIO(struct.pack(">I4s", 8 + len(body), b"moov") + body)) == [2.5]
