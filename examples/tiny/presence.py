"""How a model's own score tells sentences whose object is in a clip from those whose object is absent."""

from collections.abc import Sequence

import numpy as np
import torch
from datasets import Dataset
from rich.progress import track

from lavseg import ClipCollator
from lavseg.inference.confidence import clip_scores, frame_scores
from lavseg.inference.frame_predictions import masks_of_size, split_clips
from lavseg.modeling.base import AudioVisualPreTrainedModel


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


@torch.inference_mode()
def score_rows(model: AudioVisualPreTrainedModel, collator: ClipCollator, rows: Dataset, name: str) -> np.ndarray:
    """The `score` of every row, `[N]`, as the pipeline and `result.json` give it.

    Raises:
        ValueError: the model reads no sentences, or gives no scores.
    """
    processor, found = collator.processor, []
    for row in track(rows, description=name, total=len(rows), transient=True):
        inputs = collator([row])
        del inputs["labels"], inputs["label_mask"]
        [predictions] = split_clips(processor, model(**inputs.to(model.device)), inputs["frame_mask"])
        shown = masks_of_size(processor, predictions.logits, inputs["original_sizes"][0]).any((2, 3))
        of_frames = frame_scores(
            {key: value.double().cpu().numpy() for key, value in predictions.scores.items()}, shown
        )
        if of_frames is None or not processor.needs_text:
            raise ValueError(f"model: {type(model).__name__} reads no sentences, or gives no scores of what it masks")
        found.append(clip_scores(of_frames, shown)[0])
    return np.array(found)
