import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from tiny.configurations import tiny_config

from lavseg.models.stepping_stones import (
    SteppingStonesConfig,
    SteppingStonesOutput,
    SteppingStonesProcessor,
    SteppingStonesSemanticOutput,
)
from lavseg.models.stepping_stones.outputs_stepping_stones import class_scores

PROCESSOR = SteppingStonesProcessor.from_config(tiny_config(SteppingStonesConfig, frame_size=64))


def test_frames_become_squares_by_pil_each_with_a_patch_of_sound():
    rng = np.random.default_rng(0)
    video, sound = rng.integers(0, 256, (3, 48, 80, 3), np.uint8), rng.uniform(-0.5, 0.5, 35200).astype(np.float32)
    inputs = PROCESSOR(video, sound, sampling_rate=16000)
    assert inputs["input_features"].shape == (1, 3, 1, 96, 64)
    pixels = np.asarray(Image.fromarray(video[0]).resize((64, 64), Image.Resampling.BILINEAR)) / 255
    expected = (pixels - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225]
    assert np.abs(inputs["pixel_values"][0, 0].permute(1, 2, 0).numpy() - expected).max() < 1e-5


def test_classes_are_summed_at_the_size_of_the_square_before_they_are_scaled():
    torch.manual_seed(0)
    named, masks = torch.randn(1, 6, 2, 4), 4 * torch.randn(1, 6, 2, 16, 16)
    scores = torch.stack([class_scores(named[0, :, frame], masks[0, :, frame], 64) for frame in range(2)])
    inside = (scores[:, 1:].amax(1) - scores[:, 0])[None, None]
    outputs = SteppingStonesSemanticOutput(pred_masks=inside, class_queries_logits=named, masks_queries_logits=masks)
    [found] = PROCESSOR.post_process_semantic_segmentation(outputs, [(40, 56)])
    expected = F.interpolate(scores, (40, 56), mode="bilinear").argmax(1)
    assert torch.equal(found.long(), expected) and len(found.unique()) > 1
    [first] = PROCESSOR.post_process_semantic_segmentation(outputs, [(40, 56)], torch.tensor([[True, False]]))
    assert torch.equal(first, found[:1])
    with pytest.raises(ValueError, match="hold no class_logits"):
        PROCESSOR.post_process_semantic_segmentation(SteppingStonesOutput(pred_masks=inside), [(40, 56)])
