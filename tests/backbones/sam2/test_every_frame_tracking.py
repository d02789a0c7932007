from dataclasses import replace

import pytest
import torch
from tiny.configurations import nano_sam2_config
from transformers import Sam2VideoModel

from lavseg.backbones.sam2.encoder_sam2 import encode_images
from lavseg.backbones.sam2.every_frame_tracking import EveryFrameTracker, track_every_frame
from lavseg.backbones.sam2.tracking_sam2 import project_features
from tiny_clips import away_from_zero


@pytest.fixture(scope="module")
def sam():
    torch.manual_seed(0)
    return away_from_zero(Sam2VideoModel(nano_sam2_config()))


@pytest.fixture(scope="module")
def features(sam):
    clips = torch.randn(4, 2, 3, 128, 128, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        return [project_features(sam, encode_images(sam, images)) for images in clips]


@torch.no_grad()
def test_conditioning_frames_come_first_and_see_no_memory(sam, features):
    tracker, seen = EveryFrameTracker(sam, 4), {}

    def decode(frame, given, embeddings):
        seen[frame] = (embeddings - given.stride16 - sam.no_memory_embedding.view(1, -1, 1, 1)).abs().max() > 1e-4
        return tracker.decode(given, embeddings, tracker.empty_prompt)

    found = dict(track_every_frame(tracker, features.__getitem__, decode, [3, 1]))
    assert list(found) == [1, 3, 0, 2] and list(seen.values()) == [False, False, True, True]


@torch.no_grad()
def test_the_memory_holds_the_hard_mask_whatever_the_object_score(sam, features):
    tracker, given = EveryFrameTracker(sam, 4), features[0]
    prediction = tracker.decode(given, given.stride16, tracker.empty_prompt)
    of = {
        name: tracker.encode_memory(given.stride16, changed, prompted=False)
        for name, changed in {
            "shown": replace(prediction, object_score_logits=torch.ones(2)),
            "absent": replace(prediction, object_score_logits=-torch.ones(2)),
            "louder": replace(prediction, candidates=7 * prediction.candidates, object_score_logits=torch.ones(2)),
        }.items()
    }
    assert torch.equal(of["shown"].spatial, of["absent"].spatial)
    assert torch.equal(of["shown"].spatial, of["louder"].spatial)
    assert of["shown"].spatial.dtype == torch.float32
    assert torch.equal(of["absent"].pointer, sam.no_object_pointer.expand(2, -1))
    torch.testing.assert_close(of["shown"].pointer, sam.object_pointer_proj(prediction.token))
