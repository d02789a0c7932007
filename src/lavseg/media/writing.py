"""mp4 files with frames and sound."""

import os
import tempfile
from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from .errors import check_fps

AAC_RATES = (8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000, 64000, 88200, 96000)


def write_video(
    path: str | Path,
    frames: Iterable[np.ndarray],
    fps: float,
    waveform: np.ndarray | None = None,
    sampling_rate: int | None = None,
) -> None:
    """Write an mp4 file (H.264, AAC) that browsers play. Nothing is left at `path` when writing fails.

    Args:
        path: ends in `.mp4`; a file of that name is replaced.
        frames: uint8 `[H, W, 3]` RGB images of one size, or `[T, H, W, 3]`; may be an iterator. An odd height or width
            is made even by repeating the last row or column, as H.264 demands.
        fps: rate of `frames`.
        waveform: float `[channels, samples]` or `[samples]` in [-1, 1]; more than two channels are averaged to one.
        sampling_rate: samples per second of `waveform`.

    Raises:
        ValueError: an argument has the wrong shape, type or range.
    """
    path = Path(path)
    if path.suffix.lower() != ".mp4":
        raise ValueError(f"path is {path}; only .mp4 files are written")
    if not path.parent.is_dir():
        raise ValueError(f"path is {path}; its folder does not exist")
    sound = None if waveform is None else _checked_sound(waveform, sampling_rate)
    with tempfile.TemporaryDirectory(prefix=f".{path.stem}-", dir=path.parent) as folder:
        draft, written = Path(folder) / "draft.mp4", 0
        with VideoWriter(draft, fps, sampling_rate) as writer:
            for index, frame in enumerate(frames):
                due = round((index + 1) / fps * (sampling_rate or 0))
                writer.write(frame, None if sound is None else sound[:, written:due])
                written = due
            if sound is not None:
                writer.write_sound(sound[:, written:])
        os.replace(draft, path)


class VideoWriter:
    """Writes an mp4 file (H.264, AAC) frame by frame, as a context; closed after any frame, it is a whole file.

    ```python
    with VideoWriter("overlay.mp4", fps=5) as writer:
        for frame in frames:  # uint8 [H, W, 3]
            writer.write(frame)
    ```

    Args:
        path: a file of that name is replaced.
        fps: rate of the frames.
        sampling_rate: samples per second of the sound.

    Raises:
        ValueError: `fps` is not usable, or nothing was written until the end.
    """

    def __init__(self, path: str | Path, fps: float, sampling_rate: int | None = None):
        check_fps(fps)
        self.rate = Fraction(float(fps)).limit_denominator(100_000)
        self.sampling_rate = sampling_rate
        self.container = av.open(str(path), "w", options={"movflags": "+faststart"})
        self.video: av.VideoStream | None = None
        self.audio: av.AudioStream | None = None
        self.shape: tuple[int, ...] = ()
        self.num_frames = self.num_samples = 0

    def write(self, frame: np.ndarray, waveform: np.ndarray | None = None) -> None:
        """Append a frame, uint8 `[H, W, 3]`, and the sound under it, float `[channels, samples]` in [-1, 1].

        Either all frames come with sound or none does.

        Raises:
            ValueError: the frame or the sound has another shape, type or range than it should or than those before.
        """
        frame = _checked_frame(frame, self.num_frames, self.shape)
        sound = None if waveform is None else _checked_sound(waveform, self.sampling_rate)
        if self.video is None:
            self._begin(frame, sound)
        elif (sound is None) != (self.audio is None):
            raise ValueError(
                f"waveform is {'missing' if sound is None else 'given'} at frame {self.num_frames}, unlike before; "
                "give all frames sound or none"
            )
        image = av.VideoFrame.from_ndarray(
            np.pad(frame, ((0, frame.shape[0] % 2), (0, frame.shape[1] % 2), (0, 0)), mode="edge"), format="rgb24"
        )
        image.pts, image.time_base = self.num_frames, 1 / self.rate
        self.num_frames += 1
        self.container.mux(self.video.encode(image))
        if sound is not None:
            self.write_sound(sound)

    def write_sound(self, waveform: np.ndarray) -> None:
        """Append sound alone, float32 `[1 or 2, samples]`."""
        if not waveform.size:
            return
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(waveform), format="fltp", layout=self.audio.layout.name)
        frame.pts, frame.sample_rate = self.num_samples, self.sampling_rate
        frame.time_base = Fraction(1, int(self.sampling_rate))
        self.num_samples += waveform.shape[1]
        self.container.mux(self.audio.encode(frame))

    def _begin(self, frame: np.ndarray, sound: np.ndarray | None) -> None:
        self.shape = frame.shape
        self.video = self.container.add_stream(
            "h264",
            rate=self.rate,
            width=frame.shape[1] + frame.shape[1] % 2,
            height=frame.shape[0] + frame.shape[0] % 2,
            pix_fmt="yuv420p",
            options={"crf": "18", "preset": "veryfast"},
        )
        if sound is not None:
            # The encoder resamples to the next rate that AAC has.
            rate = next((rate for rate in AAC_RATES if rate >= self.sampling_rate), AAC_RATES[-1])
            self.audio = self.container.add_stream("aac", rate=rate, layout=("mono", "stereo")[len(sound) - 1])

    def close(self) -> None:
        """Finish the file."""
        for stream in (self.video, self.audio):
            if stream is not None:
                self.container.mux(stream.encode())
        self.container.close()

    def __enter__(self) -> "VideoWriter":
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: object) -> None:
        if kind is None and self.video is None:
            self.container.close()
            raise ValueError("frames is empty; a video needs at least one frame")
        self.close()


def _checked_frame(frame: np.ndarray, index: int, shape: tuple[int, ...]) -> np.ndarray:
    frame = np.asarray(frame)
    if frame.dtype != np.uint8 or frame.ndim != 3 or frame.shape[2] != 3 or frame.size == 0:
        raise ValueError(f"frame {index} is {frame.dtype} {list(frame.shape)}; frames are uint8 [H, W, 3]")
    if shape not in ((), frame.shape):
        raise ValueError(f"frame {index} is {list(frame.shape)}, the first is {list(shape)}; give one size")
    return frame


def _checked_sound(waveform: np.ndarray, sampling_rate: int | None) -> np.ndarray:
    """float32 `[1 or 2, samples]` in [-1, 1]."""
    sound = np.atleast_2d(np.asarray(waveform))
    if sound.ndim != 2 or not np.issubdtype(sound.dtype, np.floating) or not np.isfinite(sound).all():
        raise ValueError(
            f"waveform is {sound.dtype} {list(sound.shape)}; give finite floats [channels, samples] or [samples]"
        )
    if sound.shape[0] > 32:
        raise ValueError(f"waveform is {list(sound.shape)}; channels come first: [channels, samples]")
    if not isinstance(sampling_rate, int | np.integer) or sampling_rate <= 0:
        raise ValueError(
            f"sampling_rate is {sampling_rate!r}; a waveform needs its samples per second, a whole number above 0"
        )
    if sound.shape[0] > 2:
        sound = sound.mean(axis=0, keepdims=True)
    return np.clip(sound, -1, 1).astype(np.float32)
