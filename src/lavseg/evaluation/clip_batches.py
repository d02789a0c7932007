"""The clips of a data set, each with all sentences about it, as batches of one for the evaluation."""

from collections.abc import Sequence
from dataclasses import dataclass

from datasets import Dataset
from torch.utils.data import DataLoader
from torch.utils.data import Dataset as TorchDataset
from transformers import BatchFeature

from ..data.clip_rows import NamedRows, group_by_clip
from ..data.collator import ClipCollator
from ..data.workers import shorten_worker_sockets

# Sentences about a clip that are run together unless told otherwise: of Ref-AVS all about most clips.
SENTENCES = 16


class ClipItems(TorchDataset):
    """Numbers of the rows about a clip, up to `sentences` together, with these rows.

    Raises:
        ValueError: when there are no rows.
    """

    def __init__(self, rows: Dataset | Sequence[dict], sentences: int):
        if not len(rows):
            raise ValueError("dataset: has no rows, there is nothing to evaluate")
        self.rows, self.groups = NamedRows(rows), group_by_clip(rows, sentences)

    def __len__(self) -> int:
        return len(self.groups)

    def __getitem__(self, item: int) -> tuple[list[int], list[dict]]:
        return self.groups[item], self.rows.__getitems__(self.groups[item])


@dataclass
class OneClip:
    """Makes a batch of one item of [`ClipItems`], with the numbers of its rows as `rows`."""

    collator: ClipCollator

    def __call__(self, items: Sequence[tuple[list[int], list[dict]]]) -> BatchFeature:
        [(numbers, rows)] = items
        batch = self.collator([rows])
        batch["rows"] = numbers
        return batch


def load_clips(dataset: Dataset, collator: ClipCollator, sentences: int = SENTENCES, workers: int = 0) -> DataLoader:
    """All rows of a data set, those about one clip together.

    Args:
        dataset: such as `load_ref_avs` returns.
        collator: makes model inputs of its rows.
        sentences: rows that a clip is run with at most; with more it is run again.
        workers: processes that read the data.

    Raises:
        ValueError: `dataset` is empty, or `sentences` no number above 0.
    """
    check_sentences("sentences", sentences)
    shorten_worker_sockets()
    return DataLoader(ClipItems(dataset, sentences), num_workers=workers, collate_fn=OneClip(collator))


def check_sentences(name: str, given: int) -> None:
    """Sentences that are taken together.

    Raises:
        ValueError: that calls them `name`, when there is not at least one.
    """
    if given < 1:
        raise ValueError(f"{name}: has to be a number above 0, got {given}")
