import numpy as np
import torch
from tiny.silent_clips import normalize, render_silent_clip


def test_clips_are_silent_and_frames_of_the_size_asked_for():
    clip, images = render_silent_clip((0, 1), 2, 32)
    assert images.shape == (2, 3, 32, 32) and images.dtype == np.uint8 and np.ptp(images) > 50
    assert len(clip.frames) == 2 and not any(item.seconds.any() for item in clip.objects)
    again, other = (render_silent_clip((0, number), 2, 32)[1] for number in (1, 2))
    assert np.array_equal(images, again) and not np.array_equal(images, other)


def test_images_are_normalized_as_encoders_take_them():
    white = normalize(torch.full((1, 3, 2, 2), 255.0))[0, :, 0, 0]
    torch.testing.assert_close(white, (1 - torch.tensor([0.485, 0.456, 0.406])) / torch.tensor([0.229, 0.224, 0.225]))
