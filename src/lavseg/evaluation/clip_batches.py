"""The clips of a data set, each with all sentences about it, as batches of one for the evaluation; or rows that a model
has to be given together."""

from collections.abc import Sequence
from dataclasses import dataclass

from datasets import Dataset
from datasets import IterableDataset as RowStream
from torch.utils.data import DataLoader
from torch.utils.data import Dataset as TorchDataset
from transformers import BatchFeature

from ..data.clip_rows import ClipStream, NamedRows, group_by_clip
from ..data.collator import ClipCollator
from ..data.workers import shorten_worker_sockets
from ..modeling.base import AudioVisualPreTrainedModel

# Sentences about a clip that are run together unless told otherwise: of Ref-AVS all about most clips.
SENTENCES = 16


class ClipItems(TorchDataset):
    """Numbers of the rows about a clip, up to `sentences` together, with what a collator takes for them: the clip with
    these rows. With `together`, so many consecutive rows instead, and each of them a clip.

    Raises:
        ValueError: when there are no rows.
    """

    def __init__(self, rows: Dataset | Sequence[dict], sentences: int, together: int = 0):
        if not len(rows):
            raise ValueError("dataset: has no rows, there is nothing to evaluate")
        self.rows, self.apart = NamedRows(rows), together > 0
        if together:
            starts = range(0, len(rows), together)
            self.groups = [[*range(start, min(start + together, len(rows)))] for start in starts]
        else:
            self.groups = group_by_clip(self.rows, sentences)

    def __len__(self) -> int:
        return len(self.groups)

    def __getitem__(self, item: int) -> tuple[list[int], list[list[dict]]]:
        rows = self.rows.__getitems__(self.groups[item])
        return self.groups[item], [[row] for row in rows] if self.apart else [rows]


@dataclass
class OneItem:
    """Makes a batch of one item of [`ClipItems`], with the numbers of its rows as `rows`, clip by clip."""

    collator: ClipCollator

    def __call__(self, items: Sequence[tuple[list[int], list[list[dict]]]]) -> BatchFeature:
        [(numbers, clips)] = items
        batch = self.collator(clips)
        batch["rows"] = numbers
        return batch


def load_clips(
    dataset: Dataset | RowStream,
    collator: ClipCollator,
    sentences: int = SENTENCES,
    workers: int = 0,
    together: int = 0,
) -> DataLoader:
    """All rows of a data set, those about one clip together, or else those that a model has to be given together.

    Args:
        dataset: such as `load_ref_avs` returns, or a stream of rows, of which those about one clip that do not follow
            one another are run apart.
        collator: makes model inputs of its rows.
        sentences: rows that a clip is run with at most; with more it is run again.
        workers: processes that read the data.
        together: see [`rows_together`].

    Raises:
        ValueError: `dataset` is empty, `sentences` no number above 0, or for a stream, which one process reads as it
            comes, there are several `workers` or rows that have to be given together.
    """
    check_sentences("sentences", sentences)
    shorten_worker_sockets()
    if isinstance(dataset, RowStream):
        if workers > 1:
            raise ValueError(f"workers: a stream is read by one process, got {workers}, set 0 or 1")
        if together:
            raise ValueError("streaming: reads clip by clip, and this evaluation runs several at once; leave one out")
        items = ClipStream(dataset, sentences)
    else:
        items = ClipItems(dataset, sentences, together)
    return DataLoader(items, num_workers=workers, collate_fn=OneItem(collator))


def rows_together(model: AudioVisualPreTrainedModel, batch_size: int) -> int:
    """Consecutive rows that a model has to be given as one batch: `batch_size` where the clips of a batch attend to one
    another, 0 for clip by clip."""
    return batch_size if model.attends_across_clips else 0


def check_sentences(name: str, given: int) -> None:
    """Sentences that are taken together.

    Raises:
        ValueError: that calls them `name`, when there is not at least one.
    """
    if given < 1:
        raise ValueError(f"{name}: has to be a number above 0, got {given}")
