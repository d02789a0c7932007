"""Scores of a method that reads, row by row, so that parts of a split can be scored apart and its worst rows be
shown."""

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from datasets import Dataset
from tiny.scores import blanker, silencer, values

from lavseg import ClipCollator
from lavseg.data import row_kinds, row_novelties
from lavseg.evaluation.evaluate_model import evaluate
from lavseg.metrics.protocols import AvsMetric
from lavseg.modeling.base import AudioVisualPreTrainedModel

from .stages import Stages

SCORES = ("jaccard", "f_score", "j_and_f")
NOVELTIES = ("category", "combination")


class ScoredRow(NamedTuple):
    """A row of a data set, its clip, its kind and its novelty (see `row_kinds` and `row_novelties`), and its score."""

    rows: Dataset
    index: int
    clip: str
    kind: str
    novelty: str
    metric: AvsMetric


def score_rows(
    model: AudioVisualPreTrainedModel,
    collator: ClipCollator,
    rows: Dataset,
    labels: tuple[list[str], list[str]],
    progress: Callable[[Sequence], Iterable],
) -> list[ScoredRow]:
    """Scores of all rows; `labels` are kind and novelty of the whole table that the rows are from."""
    kinds, novelties = labels
    names = zip(rows["clip"], rows["id"], strict=True)
    metrics = [evaluate(model, collator, rows.select([index])) for index in progress(range(len(rows)))]
    return [
        ScoredRow(rows, index, clip, kinds[number], novelties[number], metrics[index])
        for index, (clip, number) in enumerate(names)
    ]


def score_splits(
    model: AudioVisualPreTrainedModel, collator: ClipCollator, splits: dict[str, Dataset], root: Path, stages: Stages
) -> tuple[list[ScoredRow], ...]:
    """Scores of all rows of the splits in `root` that are seen, unseen and null."""
    labels = row_kinds(root), row_novelties(root)
    return tuple(
        score_rows(model, collator, splits[split], labels, stages.bar(title))
        for split, title in (("test_s", "seen"), ("test_u", "unseen"), ("test_n", "null"))
    )


def joined(scored: Iterable[ScoredRow]) -> AvsMetric:
    """The score of several rows together."""
    total = AvsMetric("frame")
    for item in scored:
        total.merge(item.metric)
    return total


def summary(seen: list[ScoredRow], unseen: list[ScoredRow], null: list[ScoredRow]) -> dict:
    """Scores of the splits, of the seen one by kind and of the unseen one by novelty."""
    kinds = {kind: [item for item in seen if item.kind == kind] for kind in ("words", "sound", "both")}
    novelties = {name: [item for item in unseen if item.novelty == name] for name in NOVELTIES}
    return {
        "seen": values(joined(seen), *SCORES),
        "unseen": values(joined(unseen), *SCORES),
        "null": values(joined(null), "s"),
        "kinds": {kind: values(joined(rows), *SCORES) for kind, rows in kinds.items() if rows},
        "novelties": {name: values(joined(rows), *SCORES) for name, rows in novelties.items() if rows},
    }


def score_without(
    model: AudioVisualPreTrainedModel, collator: ClipCollator, rows: Dataset, seen: list[ScoredRow], stages: Stages
) -> dict:
    """J&F of seen rows that need sound with and without it, where the model hears, and of those that need words with
    and without them."""
    results = {}
    changes = [("needs_words", ("words", "both"), "j_and_f_blank", blanker(collator.processor))]
    if collator.processor.needs_audio:
        changes.insert(0, ("needs_sound", ("sound", "both"), "j_and_f_silent", silencer(collator.processor)))
    for name, kinds, key, transform in changes:
        indices = [index for index, item in enumerate(seen) if item.kind in kinds]
        without = evaluate(model, collator, rows.select(indices), transform=transform, progress=stages.bar(name))
        results[name] = {
            "j_and_f": values(joined(seen[index] for index in indices), "j_and_f")["j_and_f"],
            key: values(without, "j_and_f")["j_and_f"],
            "protocol": "frame",
        }
    return results


def first_rows(scored: list[ScoredRow], count: int, shown: set[str]) -> list[ScoredRow]:
    """The first rows, of clips not `shown` already, to which they are added."""
    chosen = []
    for item in scored:
        if len(chosen) < count and item.clip not in shown:
            shown.add(item.clip)
            chosen.append(item)
    return chosen


def worst_first(scored: list[ScoredRow]) -> list[ScoredRow]:
    return sorted(scored, key=lambda item: item.metric.compute()["j_and_f"])
