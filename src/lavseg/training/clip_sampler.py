"""The order in which training sees rows when several sentences about one clip are taken together."""

from collections import defaultdict
from collections.abc import Callable, Hashable, Iterator, Sequence
from functools import partial
from itertools import chain
from typing import Any

import numpy as np
from torch.utils.data import Sampler
from transformers import BatchFeature

from ..data.clip_rows import NamedRows
from ..data.collator import ClipCollator


def training_batches(
    collator: ClipCollator, dataset: Any, sentences: int
) -> Callable[[list[dict]], BatchFeature | list[BatchFeature]]:
    """What makes batches of the rows of `dataset`, with up to `sentences` about a clip together.

    Raises:
        ValueError: when rows are to be taken together but cannot be asked for by number.
    """
    if sentences == 1:
        return collator
    if not isinstance(dataset, NamedRows):
        raise ValueError(
            "sentences_per_clip: takes rows that have a number, such as load_ref_avs gives, and no stream; "
            "leave it at 1"
        )
    return partial(collator.by_clip, sentences=sentences)


class ClipSampler(Sampler[int]):
    """All rows once, in an order that depends on `seed` and `epoch` alone, in which up to `sentences` rows about a clip
    follow each other. A batch holds as few clips as that allows: a group is cut only where none fits into what is left.

    Args:
        clips: of each row what it has in common with those about the same clip.
        sentences: rows about one clip that are taken together at most.
        batch_size: rows of a batch, not less than `sentences`.
        seed: that the order depends on.

    Attributes:
        epoch: number of the training epoch, set at the start of each.
    """

    def __init__(self, clips: Sequence[Hashable], sentences: int, batch_size: int, seed: int):
        self.sentences, self.batch_size, self.seed, self.epoch = sentences, batch_size, seed, 0
        self._rows = defaultdict(list)
        for row, clip in enumerate(clips):
            self._rows[clip].append(row)

    def __len__(self) -> int:
        return sum(map(len, self._rows.values()))

    def __iter__(self) -> Iterator[int]:
        rng = np.random.default_rng([self.seed, self.epoch])
        groups = defaultdict(list)
        for rows in self._rows.values():
            shuffled = rng.permutation(rows).tolist()
            for start in range(0, len(rows), self.sentences):
                group = shuffled[start : start + self.sentences]
                groups[len(group)].append(group)
        for alike in groups.values():
            rng.shuffle(alike)
        return chain.from_iterable(self._batches(groups, rng))

    def _batches(self, groups: dict[int, list[list[int]]], rng: np.random.Generator) -> Iterator[list[int]]:
        """Rows of one batch after the other, from groups by their size."""
        left = len(self)
        while left:
            batch = []
            while len(batch) < min(self.batch_size, left):
                batch += _take(groups, min(self.batch_size, left) - len(batch), rng)
            left -= len(batch)
            yield batch


def _take(groups: dict[int, list[list[int]]], room: int, rng: np.random.Generator) -> list[int]:
    """A group that fits, drawn from all that do, or else the beginning of one of the smallest."""
    sizes = sorted(size for size, alike in groups.items() if alike)
    fitting = [size for size in sizes if size <= room]
    if not fitting:
        group = groups[sizes[0]].pop()
        groups[len(group) - room].append(group[room:])
        return group[:room]
    counts = np.array([len(groups[size]) for size in fitting])
    return groups[fitting[rng.choice(len(fitting), p=counts / counts.sum())]].pop()
