import numpy as np
from PIL import Image

from lavseg.backbones.sam2.processing_sam2 import square_image_processor


def test_frames_become_squares_without_padding_under_imagenets_statistics():
    prepared = square_image_processor(32)(Image.new("RGB", (80, 40), (255, 0, 0)), return_tensors="np")
    expected = (np.array([1.0, 0, 0]) - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225]
    assert prepared["pixel_values"].shape == (1, 3, 32, 32)
    np.testing.assert_allclose(
        prepared["pixel_values"][0], np.broadcast_to(expected[:, None, None], (3, 32, 32)), atol=1e-5
    )
