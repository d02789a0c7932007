"""A user's prompts, from pixels of the clip to what models on SAM2 take."""

import numpy as np
import pytest
import torch
from tiny.configurations import nano_sam2_config, tiny_config

from lavseg.models.sama_avs import SamaAvsConfig, SamaAvsProcessor


@pytest.fixture(scope="module")
def processor():
    return SamaAvsProcessor.from_config(tiny_config(SamaAvsConfig, sam_config=nano_sam2_config(128)))


def clip():
    rng = np.random.default_rng(0)
    video = rng.integers(0, 256, (2, 60, 80, 3), dtype=np.uint8)
    return {"video": video, "audio": 0.1 * rng.standard_normal(32000), "sampling_rate": 16000}


def test_prompts_of_two_frames_become_the_models(processor):
    masks = np.zeros((1, 1, 2, 60, 80), bool)
    masks[..., 10:20, :] = True
    points, labels = [[[[[40, 30]], [[8, 6]]]]], [[[[1], [0]]]]
    inputs = processor(**clip(), input_points=points, input_labels=labels, input_masks=masks)
    torch.testing.assert_close(inputs["input_points"], torch.tensor([[[[[64.0, 64.0]], [[12.8, 12.8]]]]]))
    assert inputs["input_masks"].shape == masks.shape
    assert (inputs["input_masks"] == torch.where(torch.from_numpy(masks), 10.0, -10.0)).all()
    partly = np.where(np.array([True, False])[:, None, None], masks, np.nan)
    assert processor(**clip(), input_masks=partly)["input_masks"][0, 0].isnan().flatten(1).all(1).tolist() == [
        False,
        True,
    ]
    arrays = processor(**clip(), input_masks=masks.astype(np.uint8), return_tensors="np")
    np.testing.assert_array_equal(arrays["input_masks"], inputs["input_masks"])


@pytest.mark.parametrize(
    ("prompts", "message"),
    [
        ({"input_points": [[[[1, 2, 3]]]]}, "input_points: has to have 4 axes, .* the last of 2 coordinates"),
        ({"input_boxes": [[[0, 0, 5, float("inf")]]]}, "input_boxes: holds NaN or infinite values"),
        ({"input_labels": [[[4]]]}, "input_labels: accepted are -1, 0, 1, 2 and 3, got"),
        ({"input_masks": np.zeros((1, 1, 60, 60))}, r"input_masks: .* of the clips, \(60, 80\); got \[1, 1, 60, 60\]"),
        ({"input_masks": np.full((1, 1, 60, 80), 255)}, "input_masks: have to be 0 and 1; for masks of 0 and 255"),
    ],
)
def test_prompts_that_cannot_be_meant_are_named(processor, prompts, message):
    with pytest.raises(ValueError, match=message):
        processor(**clip(), **prompts)
