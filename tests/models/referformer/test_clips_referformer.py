import pytest
import torch

from lavseg.models.referformer.clips_referformer import (
    choose,
    clip_sizes,
    fill_canvas,
    mean_chance,
    of_frames,
    of_query,
)


def test_sizes_are_those_of_the_frames_without_padding():
    frames, mask = torch.zeros(2, 1, 3, 64, 96), torch.zeros(2, 64, 96, dtype=torch.bool)
    mask[0], mask[1, :48, :72] = True, True
    assert clip_sizes(frames, mask) == [(64, 96), (48, 72)]
    assert clip_sizes(frames, None) == [(64, 96)] * 2
    with pytest.raises(ValueError, match=r"^pixel_mask: has to be bool \[2, 64, 96\] as the frames"):
        clip_sizes(frames, mask[:1])
    with pytest.raises(ValueError, match=r"^pixel_mask: "):
        clip_sizes(frames, mask.long())
    for hole in ((0, 3, 3), (1, 0, 90), (1, 47, 71)):
        other = mask.clone()
        other[hole] = ~other[hole]
        with pytest.raises(ValueError, match=r"^pixel_mask: has to be True in a rectangle from the upper left corner"):
            clip_sizes(frames, other)
    mask[1, 20:] = False
    with pytest.raises(ValueError, match=r"^pixel_values: height and width have to be 32 at least"):
        clip_sizes(frames, mask)


def test_the_track_of_the_highest_mean_probability_is_chosen():
    logits = torch.tensor([[[0.0, 4.0], [0.0, -9.0], [9.0, -9.0]]])
    real = torch.tensor([[True, True, False]])
    torch.testing.assert_close(mean_chance(logits, real)[0, 0], torch.tensor(0.5))
    # A padding frame does not count.
    assert choose(logits, real).tolist() == [0] and choose(logits[:, :1], real[:, :1]).tolist() == [1]
    values = torch.arange(6).view(1, 3, 2)
    assert of_query(values, torch.tensor([1])).tolist() == [[1, 3, 5]]


def test_clips_are_repeated_for_their_frames():
    assert of_frames(torch.tensor([[1], [2]]), 2).tolist() == [[1], [1], [2], [2]]


def test_masks_of_a_clip_with_padding_fill_the_canvas():
    masks = torch.zeros(2, 1, 1, 8, 8)
    masks[1, ..., :3, :4] = 1.0
    filled = fill_canvas(masks, [(32, 32), (10, 16)])
    assert torch.equal(filled[0], masks[0]) and (filled[1] == 1).all()
