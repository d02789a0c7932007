"""Clips whose frame i is uniformly 3 i bright, so that a decoded frame tells which one it is."""

from fractions import Fraction

import av
import numpy as np
from av.stream import Disposition

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
        stream.disposition = Disposition.attached_pic.value
        self.packets[:0] = stream.encode(av.VideoFrame.from_ndarray(grey(80, (64, 64)), format="rgb24"))
        return self

    def save(self):
        for packet in sorted(self.packets, key=lambda packet: packet.dts * packet.time_base):
            self.container.mux(packet)
        self.container.close()


def steady(seconds: float, rate: int = 25, begin: float = 0.0) -> list[Fraction]:
    return [Fraction(begin) + Fraction(index, rate) for index in range(round(seconds * rate))]
