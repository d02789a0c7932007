import pytest
import torch
from tiny.configurations import nano_sam2_config
from transformers import Sam2VideoModel

from lavseg.backbones.sam2 import key_frame_tracking
from lavseg.backbones.sam2.encoder_sam2 import encode_images
from lavseg.backbones.sam2.key_frame_tracking import KeyFrameTracker
from tiny_clips import away_from_zero

CLIPS = torch.tensor([0, 0, 1, 2])
LENGTHS = torch.tensor([5, 3, 5])


@pytest.fixture(scope="module")
def sam():
    torch.manual_seed(0)
    sam = away_from_zero(Sam2VideoModel(nano_sam2_config()))
    with torch.no_grad():
        sam.mask_decoder.pred_obj_score_head.proj_out.bias.add_(20)
    return sam


@pytest.fixture(scope="module")
def frames():
    return torch.randn(3, 5, 3, 128, 128, generator=torch.Generator().manual_seed(1))


@pytest.fixture(scope="module")
def prompts():
    return torch.randn(4, 1, 128, generator=torch.Generator().manual_seed(2))


@pytest.fixture
def encoded(monkeypatch):
    """How many images each call of the encoder got."""
    counts = []

    def counted(sam, images):
        counts.append(len(images))
        return encode_images(sam, images)

    monkeypatch.setattr(key_frame_tracking, "encode_images", counted)
    return counts


@pytest.mark.parametrize("key_frames", [[0, 0, 0, 0], [2, 0, 1, 4]])
@pytest.mark.parametrize("multimask", [True, False])
@torch.no_grad()
def test_every_object_is_segmented_as_if_alone(sam, frames, prompts, key_frames, multimask):
    key_frames = torch.tensor(key_frames)
    masks, ious, scores, on_keys = KeyFrameTracker(sam, frames, LENGTHS, CLIPS, prompts, multimask).segment(key_frames)
    for index, clip in enumerate(CLIPS.tolist()):
        length = LENGTHS[clip : clip + 1]
        alone = KeyFrameTracker(
            sam, frames[clip : clip + 1, : length.item()], length, CLIPS[:1], prompts[index : index + 1], multimask
        )
        expected = alone.segment(key_frames[index : index + 1])
        for found, value in zip((masks, ious, scores), expected[:3], strict=True):
            torch.testing.assert_close(found[index, : length.item()], value[0], atol=1e-4, rtol=0)
        torch.testing.assert_close(on_keys.candidates[index], expected[3].candidates[0], atol=1e-4, rtol=0)
        torch.testing.assert_close(masks[index, key_frames[index]], on_keys.masks[index], atol=0, rtol=0)
    assert (masks[2, 3:] == -1024).all() and (scores[2, 3:] == -1024).all() and not ious[2, 3:].any()
    assert (masks[0] > -1024).any()


@torch.no_grad()
def test_a_frame_is_encoded_once_whatever_its_objects(sam, frames, prompts, encoded):
    KeyFrameTracker(sam, frames, LENGTHS, CLIPS, prompts).segment(torch.zeros(4, dtype=torch.long))
    assert sum(encoded) == LENGTHS.sum()


@torch.no_grad()
def test_looking_for_key_frames_first_encodes_nothing_twice(sam, frames, prompts, encoded):
    segmenter = KeyFrameTracker(sam, frames, LENGTHS, CLIPS, prompts)
    key_frames = segmenter.best_key_frames()
    found = segmenter.segment(key_frames)[0]
    assert sum(encoded) == frames.shape[0] * frames.shape[1]
    expected = KeyFrameTracker(sam, frames, LENGTHS, CLIPS, prompts).segment(key_frames)[0]
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=0)


@torch.no_grad()
def test_the_best_key_frame_is_real_and_has_the_highest_score(sam, frames, prompts):
    segmenter = KeyFrameTracker(sam, frames, LENGTHS, CLIPS, prompts)
    best = segmenter.best_key_frames()
    scores = []
    for frame in range(5):
        prediction = segmenter.prompt(torch.full((3,), frame))
        scores.append(prediction.object_score_logits.sigmoid() * prediction.iou_scores)
    scores = torch.stack(scores, 1)
    scores[2, 3:] = 0
    assert torch.equal(best, scores.argmax(1))
    assert len(best.unique()) > 1


@pytest.mark.parametrize("trained", [False, True])
def test_gradients_reach_the_prompts_the_decoder_and_an_encoder_that_trains(sam, frames, prompts, trained):
    prompts = prompts.clone().requires_grad_()
    sam.zero_grad()
    sam.vision_encoder.requires_grad_(trained)
    KeyFrameTracker(sam, frames, LENGTHS, CLIPS, prompts).prompt(torch.tensor([0, 2, 4])).masks.sum().backward()
    assert (prompts.grad.abs().flatten(1).max(1).values > 0).all()
    assert sam.mask_decoder.conv_s0.weight.grad.abs().max() > 0
    sam.vision_encoder.requires_grad_(True)
    assert any(parameter.grad is not None for parameter in sam.vision_encoder.parameters()) == trained
