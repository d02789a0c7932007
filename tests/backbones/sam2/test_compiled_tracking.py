"""Encoders and the step of tracking, compiled without a break in the graph."""

import pytest
import torch
from tiny.configurations import nano_sam2_config
from torch._dynamo.testing import CompileCounterWithBackend

from lavseg.backbones.sam2.encoder_sam2 import encode_images
from lavseg.backbones.sam2.modeling_sam2 import Sam2Backbone
from lavseg.backbones.sam2.tracking_sam2 import Sam2Tracker, project_features, propagate
from lavseg.backbones.vggish import VggishConfig, VggishModel
from tiny_clips import away_from_zero


@torch.no_grad()
def test_the_audio_encoder_compiles():
    config = VggishConfig(conv_channels=[4, 8, 8, 8, 8, 8], hidden_size=16)
    model, features = VggishModel(config).eval(), torch.randn(2, 3, 1, 96, 64)
    compiled = torch.compile(model, fullgraph=True, backend="eager")
    torch.testing.assert_close(compiled(features).embeddings, model(features).embeddings, atol=1e-4, rtol=0)


@pytest.mark.slow
@torch.no_grad()
def test_one_program_tracks_through_a_clip():
    torch.manual_seed(0)
    torch._dynamo.reset()
    sam = away_from_zero(Sam2Backbone(nano_sam2_config()))
    frames, prompts = torch.randn(10, 2, 3, 128, 128), torch.randn(2, 1, 128)
    encode = torch.compile(encode_images, fullgraph=True, backend="aot_eager")
    features = [project_features(sam, encode_images(sam, images)) for images in frames]
    for expected, found in zip(encode_images(sam, frames[0]), encode(sam, frames[0]), strict=True):
        torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)
    tracker = Sam2Tracker(sam, len(frames))
    expected = list(propagate(tracker, features.__getitem__, prompts, key_frame=2))
    counter = CompileCounterWithBackend("aot_eager")
    tracker.track_from = torch.compile(tracker.track_from, fullgraph=True, backend=counter)
    for (_, wanted), (_, found) in zip(
        expected, propagate(tracker, features.__getitem__, prompts, key_frame=2), strict=True
    ):
        torch.testing.assert_close(found.masks, wanted.masks, atol=1e-4, rtol=1e-4)
        torch.testing.assert_close(found.object_score_logits, wanted.object_score_logits, atol=1e-4, rtol=1e-4)
    assert counter.frame_count <= 2  # for one remembered frame, and for any number of them
