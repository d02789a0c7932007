"""The files and the time strip that answer one request, written as frames come."""

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ..inference.frame_predictions import SegmentedFrame
from ..inference.result_files import ResultFiles
from .time_strip import bar_heights, peaks, time_strip


class Answer(NamedTuple):
    """What a request is answered with: the overlay video, a zip of everything, the time strip; and what was noticed."""

    video: Path
    archive: Path
    strip: str
    warnings: list[str]


class AnswerFiles:
    """An answer, written frame by frame.

    Args:
        folder: an empty one.
        labels: what each of the `E` masks of a frame shows.
        first: the first frame.
        fps: frames per second.
        mask_format: a name in `MASK_FILES`.
        hears: whether the model does.
    """

    def __init__(
        self,
        folder: Path,
        labels: Sequence[str],
        first: SegmentedFrame,
        fps: float,
        mask_format: str,
        hears: bool = True,
    ):
        self.folder, self.labels, self.fps = folder, labels, fps
        self.parts = folder / "masks"
        self.parts.mkdir()
        self.files = ResultFiles(self.parts, labels, first, fps, mask_format, hears)
        self.loudness: list[np.ndarray] = []
        self.scores: list[np.ndarray] = []

    def write(self, frame: SegmentedFrame) -> int:
        """Append a frame; returns how many there are now."""
        self.files.write(frame)
        if frame.part.waveform is not None:
            self.loudness.append(peaks(frame.part.waveform))
        self.scores.append(bar_heights(frame))
        return len(self.scores)

    def close(self) -> None:
        """Close the files as they are."""
        self.files.close()

    def finish(self, about: dict) -> Answer:
        """The answer, once every frame is written.

        `masks.zip` holds what `lavseg segment` writes into a folder: `0/00000.png`, ... (or `0.json`, `0.npz`) for the
        first label, `1/` for the second, and so on, `overlay.mp4`, and `result.json` with times and scores.

        Args:
            about: what `result.json` begins with.
        """
        self.close()
        summary = about | self.files.summary()
        text = json.dumps(summary, indent=2, ensure_ascii=False, allow_nan=False)
        (self.parts / "result.json").write_text(text + "\n", encoding="utf-8")
        archive = shutil.make_archive(str(self.parts), "zip", self.parts)
        video = (self.parts / "overlay.mp4").rename(self.folder / "overlay.mp4")
        shutil.rmtree(self.parts)
        loudness, scores = np.concatenate(self.loudness or [np.zeros(0)]), np.stack(self.scores, axis=1)
        strip = time_strip(loudness, scores, self.labels, self.files.colors, self.fps)
        return Answer(video, Path(archive), strip, summary["warnings"])
