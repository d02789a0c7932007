"""What experiment loggers are given beside numbers, and what to do where one is not installed."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from datasets import Dataset
from PIL import Image
from transformers import TrainerCallback
from transformers.integrations import (
    INTEGRATION_TO_CALLBACK,
    TensorBoardCallback,
    TrackioCallback,
    WandbCallback,
    get_available_reporting_integrations,
)

from ..evaluation.scores import Reduce, Scores
from ..hub.record import PREVIEW
from ..modeling.outputs import AudioVisualSegmentationOutput
from ..modeling.processing import AudioVisualProcessor
from ..output_folders import staged_file
from ..visualization import mask_sheet

# Loggers of the extra `logging`, which are shown masks as well.
LOGGERS = ("tensorboard", "trackio", "wandb")
# Clips of each evaluation, and frames of each clip, that loggers are shown.
_CLIPS, _FRAMES = 3, 5


def check_loggers(report_to: Sequence[str]) -> None:
    """Look whether loggers are there before Transformers starts them.

    Raises:
        ValueError: that names the first which is unknown or not installed, and what to install.
    """
    available = {*get_available_reporting_integrations(), "flyte"}  # of which Transformers says nothing
    for name in report_to:
        if name not in INTEGRATION_TO_CALLBACK:
            raise ValueError(f"report_to: {name!r} is unknown, accepted are {', '.join(LOGGERS)} and others")
        if name not in available:
            remedy = f"; pip install {name}, or 'lavseg[logging]' for all three" if name in LOGGERS else ""
            raise ValueError(f"report_to: {name} is not installed{remedy}")


class SampleMasks(Scores):
    """Keeps the masks of the first sentence about each of the first clips of an evaluation, to be drawn beside the true
    ones.

    Args:
        processor: the model's.

    Attributes:
        clips: number of the row, masks found and true masks, bool `[T, H, W]`.
    """

    def __init__(self, processor: AudioVisualProcessor):
        self.processor = processor
        self.clips: list[tuple[int, np.ndarray, np.ndarray]] = []

    def update(self, outputs: AudioVisualSegmentationOutput, batch: Mapping[str, Any], rows: Sequence[int]) -> None:
        if len(self.clips) == _CLIPS or not rows:
            return
        labels = batch["labels"][0, 0]
        logits = self.processor.gate_masks(outputs)[:, :1]
        [found] = self.processor.binarize(logits, [tuple(labels.shape[-2:])], batch["frame_mask"])
        true = labels.bool() & batch["label_mask"][0, :, None, None]
        self.clips.append((rows[0], found.cpu().numpy(), true.cpu().numpy()))

    def compute(self, reduce: Reduce = lambda sums: sums) -> dict[str, float]:
        """No values: pictures are no scores."""
        return {}

    def draw(self, rows: Dataset) -> list[Image.Image]:
        """A picture of each clip: above what was found, below what is true.

        Args:
            rows: the data set that was evaluated.
        """
        return [_sheet(rows[row], found, true) for row, found, true in self.clips]


class Preview:
    """The picture on a model's card: a clip of the latest evaluation that had something to find."""

    def __init__(self):
        self._picture, self._step = None, None

    def keep(self, samples: SampleMasks, rows: Dataset, step: int | None) -> None:
        """Draw the first clip of an evaluation that has something to find, if one has.

        Args:
            samples: its clips.
            rows: the data set that was evaluated.
            step: of the training in which the evaluation was, None where it was in none.
        """
        for row, found, true in samples.clips:
            if true.any():
                self._picture, self._step = _sheet(rows[row], found, true), step
                return

    def save(self, folder: str | Path, step: int) -> bool:
        """Write the picture into `folder`, or not where the weights of `step`, which are kept, are not those that were
        evaluated; returns whether."""
        if self._picture is None or self._step not in (None, step):
            return False
        with staged_file(Path(folder) / PREVIEW) as staged:
            self._picture.save(staged, "JPEG", quality=85)
        return True


def _sheet(row: Mapping[str, Any], found: np.ndarray, true: np.ndarray) -> Image.Image:
    chosen = np.linspace(0, len(found) - 1, min(_FRAMES, len(found))).round().astype(int)
    frames = [np.asarray(row["frames"][index].convert("RGB")) for index in chosen]
    masks = np.concatenate([found[chosen], true[chosen]])[None]
    captions = [f"{kind}, frame {index}" for kind in ("found", "true") for index in chosen]
    return mask_sheet(2 * frames, masks, [row["text"] or "sounding objects"], captions, len(chosen))


def showing(callbacks: Iterable[TrainerCallback]) -> list[Callable[[str, Image.Image, int], None]]:
    """For each logger among `callbacks` that shows pictures, what shows one by its name and step."""
    found = []
    for callback in callbacks:
        if isinstance(callback, TensorBoardCallback) and callback.tb_writer is not None:
            found.append(_in_tensorboard(callback))
        elif isinstance(callback, WandbCallback) and callback._initialized:
            found.append(_in_module(callback._wandb))
        elif isinstance(callback, TrackioCallback) and callback._initialized:
            found.append(_in_module(callback._trackio))
    return found


def _in_tensorboard(callback: TensorBoardCallback) -> Callable[[str, Image.Image, int], None]:
    return lambda name, picture, step: callback.tb_writer.add_image(name, np.asarray(picture), step, dataformats="HWC")


def _in_module(module: Any) -> Callable[[str, Image.Image, int], None]:
    """Weights & Biases and Trackio are alike here, and count steps as Transformers has them do."""
    return lambda name, picture, step: module.log({name: module.Image(picture), "train/global_step": step})
