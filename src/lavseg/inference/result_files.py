"""The files that show what was found in a clip, written frame by frame: masks, classes, an overlay video, attention
maps."""

from collections.abc import Sequence
from contextlib import ExitStack, closing
from pathlib import Path

import numpy as np

from ..data.classes import class_palette
from ..media import VideoWriter
from ..visualization import MaskVideo, attention_sheet, palette
from .confidence import clip_scores, frame_scores
from .frame_predictions import SegmentedFrame
from .mask_files import MASK_FILES, ClassMaps

ATTENTION, CLASS_FOLDER = "attention.mp4", "classes"


class ResultFiles:
    """Files of a result, each whole after every frame once they are closed.

    Args:
        folder: an empty one.
        texts: the expressions; empty for a model that takes none.
        first: the first frame, for the number of objects and the sampling rate.
        fps: frames per second.
        mask_format: a name in `MASK_FILES`.
        hears: whether the model does.
        class_names: of the classes that the model names, background first, where they are asked for.
    """

    def __init__(
        self,
        folder: Path,
        texts: Sequence[str],
        first: SegmentedFrame,
        fps: float,
        mask_format: str = "png",
        hears: bool = True,
        class_names: Sequence[str] = (),
    ):
        count = len(first.masks)
        self.fps = fps
        self.colors = palette(count)
        self.drawing = MaskVideo(texts or ["sounding objects"] * count, fps, self.colors)
        self.times: list[float] = []
        sounds = first.part.waveform is not None
        self.silent, self.unheard = sounds and hears, sounds and not hears
        self.scores: dict[str, list[np.ndarray]] = {name: [] for name in ("area_fractions", *first.scores)}
        kind = MASK_FILES[mask_format]
        names = [f"{index}{kind.suffix}" for index in range(count)]
        self.expressions = [
            {"text": texts[index] if texts else None, kind.key: name, "color": self.colors[index].tolist()}
            for index, name in enumerate(names)
        ]
        self.class_names, self.class_colors = class_names, class_palette(len(class_names))
        self.class_maps = ClassMaps(folder / CLASS_FOLDER, self.class_colors) if class_names else None
        self.class_shares: list[np.ndarray] = []
        with ExitStack() as files:
            self.masks = [files.enter_context(closing(kind(folder / name))) for name in names]
            sampling_rate = first.part.sampling_rate
            self.overlay = files.enter_context(VideoWriter(folder / "overlay.mp4", fps, sampling_rate))
            self.attention = None
            if first.attentions:
                self.attention = files.enter_context(VideoWriter(folder / ATTENTION, fps, sampling_rate))
            self.close = files.pop_all().close

    def write(self, frame: SegmentedFrame) -> None:
        """Append a frame."""
        self.silent = self.silent and not frame.part.waveform.any()
        for file, mask in zip(self.masks, frame.masks, strict=True):
            file.write(mask)
        if self.class_maps is not None:
            self.class_maps.write(frame.classes)
            counts = np.bincount(frame.classes.ravel(), minlength=len(self.class_names))
            self.class_shares.append(counts / frame.classes.size)
        drawn = self.drawing.draw(frame.part.frame, frame.masks, frame.part.waveform)
        self.overlay.write(drawn, frame.part.waveform)
        if self.attention is not None:
            sheet = attention_sheet(frame.part.frame, frame.attentions)
            self.attention.write(np.asarray(sheet), frame.part.waveform)
        self.times.append(round(frame.part.time, 3))
        self.scores["area_fractions"].append(frame.masks.mean((1, 2)))
        for name, values in frame.scores.items():
            self.scores[name].append(values)

    def summary(self) -> dict:
        """`fps`, `frame_times`, `expressions`, `classes` and `warnings`, as `segment_file` describes them."""
        scores = {name: np.stack(values, axis=1) for name, values in self.scores.items()}
        shown, of_clip = scores["area_fractions"] > 0, None
        of_frames = frame_scores(scores, shown)
        if of_frames is not None:
            scores["frame_scores"], of_clip = of_frames, clip_scores(of_frames, shown)
        presence = scores.pop("presence_logit", None)
        for index, expression in enumerate(self.expressions):
            expression["score"] = None if of_clip is None else round(float(of_clip[index]), 4)
            for name, values in scores.items():
                expression[name] = values[index].round(6 if name == "area_fractions" else 4).tolist()
            if presence is not None:
                expression["presence_logit"] = round(float(presence[index].max()), 4)
        warnings = ["the sound is silent throughout"] if self.silent else []
        if self.unheard:
            warnings.append("the sound was not heard, the model takes none")
        found = {"fps": self.fps, "frame_times": self.times, "expressions": self.expressions, "warnings": warnings}
        return found if self.class_maps is None else {**found, "classes": self._classes()}

    def _classes(self) -> dict:
        shares = np.stack(self.class_shares, axis=1)
        found = [
            {
                "id": number,
                "name": self.class_names[number],
                "color": self.class_colors[number].tolist(),
                "area_fractions": shares[number].round(6).tolist(),
            }
            for number in range(1, len(shares))
            if shares[number].any()
        ]
        return {"folder": CLASS_FOLDER, "found": found}
