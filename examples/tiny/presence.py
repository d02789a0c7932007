"""How a model's own score tells sentences whose object is in a clip from those whose object is absent."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from datasets import Dataset
from rich.progress import track

from lavseg import ClipCollator
from lavseg.evaluation.clip_batches import load_clips
from lavseg.evaluation.loop import run
from lavseg.evaluation.scores import Reduce, Scores
from lavseg.inference.confidence import clip_scores, frame_scores
from lavseg.inference.frame_predictions import masks_of_size, split_clips
from lavseg.modeling.base import AudioVisualPreTrainedModel
from lavseg.modeling.outputs import AudioVisualSegmentationOutput
from lavseg.modeling.processing import AudioVisualProcessor


def roc_auc(present: Sequence[float], absent: Sequence[float]) -> float:
    """Area under the ROC curve of scores of rows whose object is present and of rows whose object is absent.

    Raises:
        ValueError: there are none of the one or of the other.
    """
    if not len(present) or not len(absent):
        raise ValueError(
            f"splits: {len(present)} rows whose object is present and {len(absent)} whose object is absent were given; "
            "take splits with both, such as test_s and test_n"
        )
    ordered = np.sort(absent)
    below, up_to = (np.searchsorted(ordered, present, side).mean() for side in ("left", "right"))
    return float((below + up_to) / 2 / len(absent))


class RowScores(Scores):
    """The `score` of every row of a data set, as the pipeline and `result.json` give it, in `of_rows`, `[N]`."""

    def __init__(self, processor: AudioVisualProcessor, num_rows: int):
        self.processor, self.of_rows = processor, np.zeros(num_rows)

    def update(self, outputs: AudioVisualSegmentationOutput, batch: Mapping[str, Any], rows: Sequence[int]) -> None:
        """See [`Scores.update`].

        Raises:
            ValueError: the model reads no sentences, or gives no scores.
        """
        [predictions] = split_clips(self.processor, outputs, batch["frame_mask"])
        shown = masks_of_size(self.processor, predictions.logits, batch["original_sizes"][0]).any((2, 3))
        given = {name: values.double().cpu().numpy() for name, values in predictions.scores.items()}
        of_frames = frame_scores(given, shown)
        if of_frames is None or not self.processor.needs_text:
            raise ValueError("model: reads no sentences or gives no scores of what it masks; take one that does both")
        self.of_rows[rows] = clip_scores(of_frames, shown)

    def compute(self, reduce: Reduce = lambda sums: sums) -> dict[str, float]:
        return {"score": float(self.of_rows.mean())}


def score_rows(model: AudioVisualPreTrainedModel, collator: ClipCollator, rows: Dataset, name: str) -> np.ndarray:
    """The `score` of every row, `[N]`, see [`RowScores`]; `name` is what the progress bar says."""
    scores = RowScores(collator.processor, len(rows))
    run(model, track(load_clips(rows, collator), description=name, transient=True), [scores])
    return scores.of_rows
