"""Media files as a stranger might send them, made on the spot."""

import struct
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

RATE = 8000
# Labels of Apple's channel descriptions.
LEFT, RIGHT, CENTER = 1, 2, 3


def samples(channels: int, count: int = 800) -> np.ndarray:
    """int16 `[count, channels]`."""
    return np.random.default_rng(channels).integers(-32768, 32768, (count, channels), dtype=np.int16)


def wav(channels: int, mask: int | None = None) -> bytes:
    """16-bit sound; with a channel mask, where one is given, in the extensible header."""
    fields = (channels, RATE, RATE * channels * 2, channels * 2, 16)
    header = struct.pack("<HHIIHH", 1 if mask is None else 0xFFFE, *fields)
    if mask is not None:
        header += struct.pack("<HHI", 22, 16, mask) + bytes.fromhex("0100000000001000800000aa00389b71")
    sound = samples(channels).astype("<i2").tobytes()
    body = b"WAVEfmt " + struct.pack("<I", len(header)) + header + b"data" + struct.pack("<I", len(sound)) + sound
    return b"RIFF" + struct.pack("<I", len(body)) + body


def channel_map(labels: list[int]) -> bytes:
    """Content of a `chan` chunk or box that names each channel."""
    return struct.pack(">III", 0, 0, len(labels)) + b"".join(
        struct.pack(">IIfff", label, 0, 0, 0, 0) for label in labels
    )


def caf(labels: list[int]) -> bytes:
    """16-bit sound with a channel for each label."""
    channels = len(labels)
    chunks = {
        b"desc": struct.pack(">d4sIIIII", RATE, b"lpcm", 2, 2 * channels, 1, channels, 16),
        b"chan": channel_map(labels),
        b"data": bytes(4) + samples(channels).astype("<i2").tobytes(),
    }
    return b"caff\0\1\0\0" + b"".join(name + struct.pack(">q", len(body)) + body for name, body in chunks.items())


def movie(path: Path, level: int = 0, layout: str | None = None, codec: str = "libx264", size=(64, 48)) -> Path:
    """Two seconds of one grey; where a layout is given, with 16-bit sound."""
    with av.open(str(path), "w") as container:
        pixels = "rgb24" if codec == "rawvideo" else "yuv420p"
        video = container.add_stream(codec, rate=25, width=size[0], height=size[1], pix_fmt=pixels)
        sound = layout and container.add_stream("pcm_s16le", rate=16000, layout=layout)
        for index in range(50):
            frame = av.VideoFrame.from_ndarray(np.full((*size[::-1], 3), level, np.uint8), format="rgb24")
            frame.pts, frame.time_base = index, Fraction(1, 25)
            container.mux(video.encode(frame))
        container.mux(video.encode())
        if sound:
            channels = av.AudioLayout(layout).nb_channels
            frame = av.AudioFrame.from_ndarray(np.zeros((1, 32000 * channels), np.int16), format="s16", layout=layout)
            frame.pts, frame.sample_rate, frame.time_base = 0, 16000, Fraction(1, 16000)
            container.mux([*sound.encode(frame), *sound.encode()])
    return path


def with_box(content: bytes, name: bytes, body: bytes, parents: tuple[bytes, ...]) -> bytes:
    """A QuickTime file with another body in its first box of a name; `parents` are the boxes around it."""
    content, at = bytearray(content), content.index(name)
    length = struct.unpack(">I", content[at - 4 : at])[0]
    content[at - 4 : at - 4 + length] = struct.pack(">I", 8 + len(body)) + name + body
    for parent in parents:
        begin = content.rindex(parent, 0, at)
        stated = struct.unpack(">I", content[begin - 4 : begin])[0]
        content[begin - 4 : begin] = struct.pack(">I", stated + 8 + len(body) - length)
    return bytes(content)


TRACK = (b"moov", b"trak", b"mdia", b"minf")


def mapped_movie(path: Path, labels: list[int]) -> Path:
    """A QuickTime file whose stereo sound has its channels named."""
    content = movie(path, layout="stereo").read_bytes()
    path.write_bytes(with_box(content, b"chan", bytes(4) + channel_map(labels), (*TRACK, b"stbl", b"stsd", b"sowt")))
    return path


def referring_movie(path: Path, target: Path) -> Path:
    """A QuickTime file whose pictures lie in another one, which an alias names."""
    name = str(target).encode()
    name += b"\0" * (len(name) % 2)
    alias = bytes(10 + 1 + 27 + 12 + 1 + 63 + 16 + 4 + 16) + struct.pack(">HH", 2, len(name)) + name + b"\xff\xff\0\0"
    alias = struct.pack(">I", 12 + len(alias)) + b"alis" + bytes(4) + alias
    content = movie(path, codec="rawvideo").read_bytes()
    path.write_bytes(with_box(content, b"dref", bytes(4) + struct.pack(">I", 1) + alias, (*TRACK, b"dinf")))
    return path
