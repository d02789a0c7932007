import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lavseg.models.aural_sam2.batch_aural_sam2 import group_clips


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(1, 5), min_size=1, max_size=6), st.integers(1, 3), st.integers(0, 10**6))
def test_groups_hold_every_clip_once_and_put_back_what_they_picked(lengths, rows, seed):
    generator = torch.Generator().manual_seed(seed)
    batch, num_frames = len(lengths), max(lengths)
    frame_mask = torch.arange(num_frames) < torch.tensor(lengths)[:, None]
    labeled = frame_mask & (torch.rand(batch, num_frames, generator=generator) > 0.5)
    groups = group_clips(lengths, torch.ones(batch, 2, dtype=torch.bool), labeled)
    assert sorted(clip for group in groups for clip in group.clips) == list(range(batch))
    values = torch.randn(batch * rows, num_frames, 4, generator=generator)
    total = torch.zeros(batch, rows, num_frames, 4)
    for group in groups:
        assert all(lengths[clip] == group.length for clip in group.clips)
        for clip, frames in zip(group.clips, group.labeled, strict=True):
            assert labeled[clip].nonzero().flatten().tolist() == frames
        group.place(group.pick(values)[:, : group.length], total)
    assert torch.equal(total, values.view(batch, rows, num_frames, 4) * frame_mask[:, None, :, None])


def test_a_clip_without_sound_is_refused():
    heard = torch.tensor([[True, True], [False, False]])
    with pytest.raises(ValueError, match="audio_mask: every clip needs True"):
        group_clips([3, 3], heard, torch.ones(2, 3, dtype=torch.bool))
