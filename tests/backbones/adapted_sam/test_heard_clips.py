"""Clips on the way to a host that is given the sound of each frame."""

import pytest
import torch

from lavseg.backbones.adapted_sam.heard_clips import HeardClips, from_clips, to_clips
from lavseg.modeling.inputs import prepare_clips


def test_values_of_real_frames_find_their_places():
    frame_mask = torch.tensor([[[True, False]], [[True, True]]])
    clips = to_clips(torch.tensor([[1.0], [2.0], [3.0]]), frame_mask, fill=-5)
    assert clips.tolist() == [[[[1.0], [-5.0]]], [[[2.0], [3.0]]]]
    assert from_clips(clips, frame_mask, 3).tolist() == [[1.0], [2.0], [3.0]]


@pytest.mark.parametrize("reads", [False, True])
def test_embeddings_of_the_frame_and_of_the_sentence_take_the_place_of_encoding(reads):
    frames, tokens = torch.zeros(2, 3, 3, 4, 4), torch.zeros(2, 2, 5, dtype=torch.long)
    sounds = {"input_features": (torch.zeros(2, 3, 1), (3, 1))}
    given = prepare_clips({"pixel_values": (frames, (3, 4, 4))}, sounds, tokens, None, None, None, None)
    embeddings = torch.arange(12.0 if reads else 6.0).view(2, 3, *[2] * reads)
    words = (torch.zeros(4, 5, 7), torch.ones(4, 5, dtype=torch.bool)) if reads else ()
    clips = HeardClips(given, None, embeddings, torch.zeros(2, 3, 1), words)
    # The second sentence about the second clip, and the first about the first, on the last frame.
    assert clips.encode(None, [3, 0], [2, 2]).tolist() == ([11, 4] if reads else [5, 2])
    several = HeardClips(given, None, (embeddings, -embeddings), torch.zeros(2, 3, 1), words)
    assert [part.tolist() for part in several.encode(None, [0], [0])] == [[0], [0]]
