"""How far a model's masks can be trusted, as one number from 0 to 1."""

from collections.abc import Mapping

import numpy as np


def frame_scores(scores: Mapping[str, np.ndarray], shown: np.ndarray) -> np.ndarray | None:
    """The IoU to be expected of each mask with what is meant, by what the model itself says.

        score = P(present in the clip) * P(visible in the frame, if present) * predicted IoU, if visible

    and 0 where the mask is empty. A method that does not give one of the three factors leaves it out: on SAM the
    predicted IoU alone is left. The probabilities are sigmoids of `presence_logit` (of a presence head) and
    `object_score_logits` (SAM2's object score); the IoU, `iou_scores`, is a regression's and clipped to 0..1.

    Args:
        scores: what the model says of `E` objects by name, each `[E]` of one frame or `[E, T]`.
        shown: bool, of the same shape: where the mask is not empty at the clip's size.

    Returns:
        float64 of the same shape; None for a model that gives none of the three.
    """
    factors = [_sigmoid(scores[name]) for name in ("presence_logit", "object_score_logits") if name in scores]
    if "iou_scores" in scores:
        factors.append(np.clip(scores["iou_scores"], 0, 1))
    return np.where(shown, np.prod(factors, axis=0, dtype=np.float64), 0.0) if factors else None


def clip_scores(of_frames: np.ndarray, shown: np.ndarray) -> np.ndarray:
    """The score of each object over a clip: the mean of its frames' scores where its mask is not empty.

    Args:
        of_frames: what `frame_scores` gives for `E` objects in `T` frames, `[E, T]`.
        shown: bool `[E, T]`, where the mask is not empty.

    Returns:
        float64 `[E]`; 0 where all masks are empty.
    """
    return np.where(shown, of_frames, 0.0).sum(1) / np.maximum(shown.sum(1), 1)


def _sigmoid(logits: np.ndarray) -> np.ndarray:
    return np.exp(-np.logaddexp(0, -logits))
