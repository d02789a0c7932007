import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny.configurations import nano_sam2_config, tiny_config
from transformers import AutoProcessor

import lavseg
from lavseg.data import render_clip
from lavseg.media import iter_clip, write_video
from lavseg.models.gavs import GavsConfig, GavsModel, GavsProcessor
from lavseg.models.gavs.modeling_gavs import cut_padding

RATE = 16000
SOUND = np.zeros(2 * RATE, np.float32)


def make_processor(**settings):
    return GavsProcessor.from_config(tiny_config(GavsConfig), **settings)


def covered(size, image_size=128):
    """Height and width that a frame of `size` has in the padded square."""
    return torch.tensor([[int(edge * image_size / max(size) + 0.5) for edge in size]])


@pytest.mark.parametrize("size", [(36, 64), (64, 36), (50, 50)])
def test_frames_keep_their_aspect_ratio_and_are_padded_below_and_on_the_right(size):
    video = np.full((2, *size, 3), 255, np.uint8)
    inputs = make_processor()(video, SOUND, sampling_rate=RATE)
    frames = inputs["pixel_values"][0]
    assert frames.shape == (2, 3, 128, 128)
    height, width = (round(128 * edge / max(size)) for edge in size)
    assert inputs["reshaped_input_sizes"].tolist() == [[[height, width]] * 2]
    assert (frames[:, :, :height, :width] > 1).all()
    assert not frames[:, :, height:].any() and not frames[:, :, :, width:].any()


def test_squares_where_frames_are_not_padded():
    video = np.full((2, 36, 64, 3), 255, np.uint8)
    inputs = make_processor(pad_frames=False)(video, SOUND, sampling_rate=RATE)
    frames = inputs["pixel_values"]
    assert frames.shape == (1, 2, 3, 128, 128) and (frames > 1).all()
    assert "reshaped_input_sizes" not in inputs


def test_frames_are_not_padded_for_sam2():
    config = tiny_config(GavsConfig, sam_config=nano_sam2_config())
    assert not GavsProcessor.from_config(config).pad_frames and make_processor().pad_frames
    with pytest.raises(ValueError, match="pad_frames: what the release does on SAM"):
        GavsProcessor.from_config(config, pad_frames=True)


def test_channels_change_places_where_the_release_let_them(tmp_path):
    video = np.random.default_rng(0).integers(0, 256, (2, 36, 64, 3), np.uint8)
    swapped = make_processor(bgr_frames=True)
    swapped.save_pretrained(tmp_path)
    expected = make_processor()(video[..., ::-1].copy(), SOUND, sampling_rate=RATE)["pixel_values"]
    tiny_config(GavsConfig).save_pretrained(tmp_path)
    for processor in (swapped, AutoProcessor.from_pretrained(tmp_path)):
        assert type(processor) is GavsProcessor
        assert torch.equal(processor(video, SOUND, sampling_rate=RATE)["pixel_values"], expected)


@given(st.integers(20, 90), st.integers(20, 90), st.floats(0.2, 0.8), st.booleans())
@settings(max_examples=25, deadline=None)
def test_masks_come_back_to_where_the_object_is(height, width, place, upright):
    """The network's map of a half plane over the padded square comes back as that half plane of the frame."""
    processor = make_processor()
    sizes = covered((height, width))
    axis = 0 if upright else 1
    at = (torch.arange(32) + 0.5) * 4 / sizes[0, axis]
    logits = (place - at)[:, None].expand(32, 32) if upright else (place - at).expand(32, 32)
    cut = cut_padding(logits[None, None], sizes, 128)
    mask = processor.post_process_masks(cut[None], [(height, width)])[0][0]
    edge = (height, width)[axis]
    centres = (torch.arange(edge) + 0.5) / edge
    expected = centres < place
    found = mask.any(1 - axis)
    assert torch.equal(mask, found[:, None].expand_as(mask) if upright else found.expand_as(mask))
    # Pixels whose centre is less than a hundredth of the frame from the border may fall to either side.
    sure = (centres - place).abs() > 0.01
    assert torch.equal(found[sure], expected[sure])


def test_a_frame_that_fills_the_square_is_left_as_it_is():
    logits = torch.randn(2, 3, 32, 32)
    cut = cut_padding(logits, torch.tensor([[128, 128]] * 2), 128)
    torch.testing.assert_close(cut, logits, atol=1e-5, rtol=0)


@pytest.mark.parametrize("size", [(720, 1280), (1280, 720), (500, 333)])
def test_masks_come_back_as_in_sam_itself(size):
    """SAM scales the padded map to the input size, cuts the padding off and scales the rest to the frame."""
    coarse = torch.randn(1, 1, 9, 9, generator=torch.Generator().manual_seed(0))
    logits = F.interpolate(coarse, (256, 256), mode="bicubic")
    height, width = covered(size, 1024)[0]
    whole = F.interpolate(logits, (1024, 1024), mode="bilinear")[..., :height, :width]
    expected = F.interpolate(whole, size, mode="bilinear")[0, 0] > 0
    processor = GavsProcessor.from_config(GavsConfig())
    cut = cut_padding(logits, covered(size, 1024), 1024)
    found = processor.post_process_masks(cut[None], [size])[0][0]
    assert (found != expected).float().mean() < 1e-3


def test_padding_of_a_videos_single_frames_does_not_come_back(tmp_path):
    torch.manual_seed(0)
    config, size = tiny_config(GavsConfig), (60, 82)
    model, processor = GavsModel(config).eval(), GavsProcessor.from_config(config)
    clip = render_clip(np.random.default_rng(0), 5, size)
    write_video(tmp_path / "clip.mp4", clip.frames, 4, clip.waveform[:, : 5 * RATE // 4], RATE)
    found = list(lavseg.segment_video(model, processor, tmp_path / "clip.mp4", fps=4))
    parts = list(iter_clip(tmp_path / "clip.mp4", 4))
    sound = np.concatenate([part.waveform for part in parts[:4]], axis=1)
    inputs = processor(parts[3].frame[None], sound, sampling_rate=RATE)
    with torch.no_grad():
        outputs, padded = model(**inputs), model(**{**inputs, "reshaped_input_sizes": None})
    expected, wrong = (processor.post_process_masks(output, [size])[0][0].numpy() for output in (outputs, padded))
    np.testing.assert_array_equal(found[3].masks[0], expected)
    assert (expected != wrong).any()
