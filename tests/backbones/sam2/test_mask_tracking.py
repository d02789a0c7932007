import numpy as np
import pytest
import torch
from tiny.configurations import nano_sam2_config, tiny_config
from transformers import Sam2VideoModel
from transformers.models.sam2_video.modeling_sam2_video import Sam2VideoInferenceSession

from lavseg.backbones.sam2.mask_tracking import MaskTracker, frame_pixels
from lavseg.models.sam2_love import Sam2LoveConfig, Sam2LoveModel
from lavseg.models.sama_avs import SamaAvsConfig, SamaAvsModel
from tiny_clips import away_from_zero


@pytest.fixture(scope="module")
def sam():
    """A host that sees most objects; what it judges absent would leave no masks to compare."""
    torch.manual_seed(0)
    sam = away_from_zero(Sam2VideoModel(nano_sam2_config()))
    with torch.no_grad():
        sam.mask_decoder.pred_obj_score_head.proj_out.bias.add_(1)
    return sam


@pytest.fixture(scope="module")
def video():
    return torch.randn(16, 3, 128, 128, generator=torch.Generator().manual_seed(1))


@pytest.fixture(scope="module")
def logits():
    """Masks `[2, 32, 32]` of two objects."""
    logits = torch.full((2, 32, 32), -10.0)
    logits[0, 4:16, 8:24], logits[1, 16:, 16:] = 10.0, 10.0
    return logits


def test_methods_on_sam2_lend_their_host_and_others_have_none():
    model = Sam2LoveModel(tiny_config(Sam2LoveConfig))
    assert model.tracking_host is model.sam2
    on_sam2 = SamaAvsModel(tiny_config(SamaAvsConfig, sam_config=nano_sam2_config(128)))
    assert on_sam2.tracking_host is on_sam2.sam
    assert SamaAvsModel(tiny_config(SamaAvsConfig)).tracking_host is None


@torch.no_grad()
def test_given_masks_are_carried_on_as_in_the_stock_session(sam, video, logits):
    session = Sam2VideoInferenceSession(video=video, video_height=128, video_width=128, dtype=torch.float32)
    drawn = torch.nn.functional.interpolate(logits[:, None], (128, 128), mode="bilinear") > 0
    for index, mask in enumerate(drawn):
        session.add_mask_inputs(session.obj_id_to_idx(index), 0, mask[None].float())
    session.obj_with_new_inputs = [0, 1]
    sam(session, frame_idx=0)
    results = sam.propagate_in_video_iterator(session, start_frame_idx=0, max_frame_num_to_track=3)
    expected = {result.frame_idx: result.pred_masks[:, 0].clone() for result in results}

    tracker = MaskTracker(sam)
    tracker.start({0: tracker.encode_mask(tracker.encode(video[:1]), logits)})
    for frame in (1, 2, 3):
        prediction = tracker.track(frame, tracker.encode(video[frame : frame + 1]))
        assert (prediction.object_score_logits > 0).any()
        torch.testing.assert_close(prediction.gated_masks, expected[frame], atol=1e-4, rtol=0)


def test_masks_go_back_in_time_as_they_go_on(sam, video, logits):
    tracker = MaskTracker(sam)
    here, there = tracker.encode(video[:1]), tracker.encode(video[1:2])
    given = tracker.encode_mask(here, logits)
    found = []
    for start, frame in ((4, 5), (5, 4)):
        tracker.start({start: given})
        found.append(tracker.track(frame, there).masks)
    assert torch.equal(*found)


def test_a_new_start_forgets_what_was_tracked(sam, video, logits):
    tracker = MaskTracker(sam)
    features = [tracker.encode(video[frame : frame + 1]) for frame in range(3)]
    given = tracker.encode_mask(features[0], logits)
    tracker.start({0.5: given})
    first = tracker.track(2, features[2]).masks
    tracker.start({0: given})
    tracker.track(1, features[1])
    tracker.start({0.5: given})
    assert torch.equal(tracker.track(2, features[2]).masks, first)


def test_a_frame_becomes_what_the_methods_processor_makes_of_it(tiny_processor):
    frame = np.random.default_rng(0).integers(0, 256, (40, 60, 3), np.uint8)
    pixels = frame_pixels(tiny_processor.image_inputs, frame)
    inputs = tiny_processor(frame[None], np.zeros(16000), "it", sampling_rate=16000)
    assert torch.equal(pixels, inputs["pixel_values"][0])
