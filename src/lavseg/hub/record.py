"""What is known about how a checkpoint came about: kept beside it and shown on its card."""

import json
import math
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from numbers import Real
from pathlib import Path
from typing import Any

from ..metrics.protocols import PROTOCOLS
from ..metrics.semantic import AVSS, AVSS_SOURCE
from ..output_folders import staged_file

RECORD = "training_record.json"
# The report that `lavseg evaluate --out` writes, where someone put it into the checkpoint.
EVALUATION = "evaluation.json"
# A picture of what the checkpoint finds, for the card.
PREVIEW = "preview.jpg"
# Where the definition of each protocol's scores comes from.
SOURCES = {name: protocol.source for name, protocol in PROTOCOLS.items()} | {AVSS: AVSS_SOURCE}


@dataclass
class Result:
    """Scores of a checkpoint on one split under one protocol.

    Args:
        dataset: name of the data set.
        split: name of the split; empty where the evaluation gave none.
        protocol: a key of `SOURCES`.
        scores: as `AvsMetric.compute` or `SemanticMetric.compute` names them.

    Raises:
        ValueError: for an unknown protocol, or scores that are no finite numbers.
    """

    dataset: str
    split: str
    protocol: str
    scores: dict[str, float]

    def __post_init__(self):
        if self.protocol not in SOURCES:
            raise ValueError(f"protocol: got {self.protocol!r}, accepted are {', '.join(SOURCES)}")
        if not isinstance(self.scores, dict) or not all(
            isinstance(score, Real) and math.isfinite(score) for score in self.scores.values()
        ):
            raise ValueError(f"scores: have to be finite numbers by name, got {self.scores!r}")


@dataclass
class Record:
    """How a checkpoint came about.

    Args:
        base_models: Hub ids of what it started from.
        datasets: Hub ids or names of the data.
        license: the weights' licence, as the Hub names it.
        recipe: arguments of the training, empty where it is not known.
        results: scores of these weights.
    """

    base_models: list[str] = field(default_factory=list)
    datasets: list[str] = field(default_factory=list)
    license: str = "other"
    recipe: dict[str, Any] = field(default_factory=dict)
    results: list[Result] = field(default_factory=list)

    def save(self, folder: str | Path) -> None:
        """Write the record beside a checkpoint."""
        text = json.dumps(asdict(self), indent=2, ensure_ascii=False, allow_nan=False) + "\n"
        with staged_file(Path(folder) / RECORD) as staged:
            # Names of folders may hold bytes that are no UTF-8; JSON reads them from the escapes.
            staged.write_text(text, encoding="utf-8", errors="backslashreplace")


def read_record(folder: str | Path) -> Record:
    """The record of a checkpoint, with the results of an evaluation report beside it; empty where there is neither.

    Raises:
        ValueError: when one of the files is there but is not what it should be.
    """
    record = Record()
    if stored := read_object(Path(folder) / RECORD):
        try:
            record = Record(**stored)
            record.results = [Result(**result) for result in record.results]
        except (TypeError, ValueError) as error:
            raise ValueError(f"{Path(folder) / RECORD}: is no training record ({error})") from error
    if report := read_object(Path(folder) / EVALUATION):
        try:
            dataset = " ".join([Path(report["data_root"]).resolve().name, *report.get("subsets", [])])
            protocol = report["protocol"]
            record.results += [Result(dataset, split, protocol, scores) for split, scores in report["splits"].items()]
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            raise ValueError(
                f"{Path(folder) / EVALUATION}: is no evaluation report with data_root, protocol and splits ({error})"
            ) from error
    return record


def hub_ids(names: Sequence[str]) -> list[str]:
    """The Hub ids among `names`, and of those that are in the Hub's cache; no local folders, no repetitions."""
    ids = [re.sub(r".*models--([\w.-]+?)--([\w.-]+)[/\\]snapshots[/\\].*", r"\1/\2", name) for name in names]
    return [name for name in dict.fromkeys(ids) if re.fullmatch(r"[\w.-]+/[\w.-]+", name) and not Path(name).exists()]


def read_object(path: Path) -> dict[str, Any]:
    """The object in a JSON file, empty where there is no such file.

    Raises:
        ValueError: when it is not JSON, holds something else, or holds NaN or Infinity, which JSON does not know.
    """
    if not path.is_file():
        return {}
    try:
        content = json.loads(path.read_text(encoding="utf-8"), parse_constant=_refuse)
    except ValueError as error:
        raise ValueError(f"{path}: is not readable as JSON ({error})") from error
    if not isinstance(content, dict):
        raise ValueError(f"{path}: has to hold an object, got {type(content).__name__}")
    return content


def _refuse(constant: str) -> None:
    raise ValueError(f"it holds {constant}, which is no number")
