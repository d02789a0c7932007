from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lavseg.training.clip_sampler import ClipSampler


def batches_of(sampler):
    rows = list(sampler)
    return [rows[start : start + sampler.batch_size] for start in range(0, len(rows), sampler.batch_size)]


def groups_of(batches, clips, sentences):
    """How often a clip has to be looked at."""
    return sum(-(-count // sentences) for batch in batches for count in Counter(clips[row] for row in batch).values())


@settings(max_examples=50, deadline=None)
@given(
    clips=st.lists(st.integers(0, 6), min_size=1, max_size=40),
    sentences=st.integers(1, 5),
    more=st.integers(0, 5),
    seed=st.integers(0, 2**32),
)
def test_every_row_comes_once_an_epoch(clips, sentences, more, seed):
    sampler = ClipSampler(clips, sentences, sentences + more, seed)
    for sampler.epoch in (0, 1):
        assert sorted(sampler) == list(range(len(clips))) and len(sampler) == len(clips)
        assert list(sampler) == list(sampler)
    again = ClipSampler(clips, sentences, sentences + more, seed)
    again.epoch = 1
    assert list(again) == list(sampler)


@pytest.mark.parametrize(("sentences", "batch_size"), [(5, 5), (4, 8), (3, 10)])
def test_sentences_of_a_clip_share_a_batch(sentences, batch_size):
    sizes = [(clip * 7) % 9 + 1 for clip in range(200)]
    clips = [clip for clip, size in enumerate(sizes) for _ in range(size)]
    fewest = sum(-(-size // sentences) for size in sizes)
    sampler = ClipSampler(clips, sentences, batch_size, 0)
    batches = batches_of(sampler)
    # Some groups have to be cut where batches are to be full, and at the end.
    assert groups_of(batches, clips, sentences) < 1.25 * fewest
    first, sampler.epoch = batches, 1
    assert batches_of(sampler) != first
    assert Counter(map(len, batches)).most_common(1)[0][0] == batch_size and len(batches[-1]) <= batch_size


def test_rows_of_a_clip_are_grouped_differently_in_each_epoch():
    sampler = ClipSampler(["a"] * 8, 4, 4, 0)
    seen = set()
    for sampler.epoch in range(5):
        seen |= {frozenset(batch) for batch in batches_of(sampler)}
    assert len(seen) > 4
