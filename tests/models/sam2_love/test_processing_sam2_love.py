import numpy as np
import pytest
import torch
import torch.nn.functional as F
from tiny.configurations import tiny_config
from transformers import AutoProcessor, BitImageProcessor, CLIPImageProcessor, SiglipImageProcessor, ViTImageProcessor
from transformers.image_utils import PILImageResampling

from lavseg.models.sam2_love import Sam2LoveConfig, Sam2LoveProcessor

RATE = 16000
TEXT = "the object making the loudest sound"
GREY = 1 / 255


def make_clip(count=3, height=90, width=150, seed=0):
    """Frames with smooth and with noisy parts, and stereo sound."""
    rng = np.random.default_rng(seed)
    frames = rng.integers(0, 256, (count, height, width, 3), dtype=np.uint8)
    frames[:, : height // 2] = np.linspace(0, 255, width).astype(np.uint8)[:, None]
    return frames, rng.uniform(-0.5, 0.5, (2, count * RATE)).astype(np.float32)


@pytest.fixture(scope="module")
def full_processor(tokenizer):
    """Sizes of the paper's model."""
    return Sam2LoveProcessor.from_config(Sam2LoveConfig(), tokenizer)


NORMALISATION = {
    "pixel_values": (1024, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    "vit_pixel_values": (224, (0.5, 0.5, 0.5), (0.5, 0.5, 0.5)),
}


@pytest.mark.parametrize(("name", "size", "mean", "std"), [(name, *rest) for name, rest in NORMALISATION.items()])
@pytest.mark.parametrize("shape", [(90, 150), (300, 200), (720, 1280)])
def test_frames_are_resized_and_normalised(full_processor, name, size, mean, std, shape):
    """Against a plain antialiased bilinear resize to a square, without keeping the aspect, and normalisation."""
    frames, sound = make_clip(1, *shape)
    found = full_processor(frames, sound, TEXT, RATE)[name][0]
    image = torch.from_numpy(frames).permute(0, 3, 1, 2).double()
    resized = F.interpolate(image, (size, size), mode="bilinear", antialias=True) / 255
    mean, std = (torch.tensor(values, dtype=torch.float64).view(3, 1, 1) for values in (mean, std))
    difference = (found - (resized - mean) / std).abs() * std
    assert found.shape == (1, 3, size, size)
    assert difference.max() <= 1.01 * GREY
    assert difference.mean() <= 0.5 * GREY


IMAGENET = {"image_mean": (0.485, 0.456, 0.406), "image_std": (0.229, 0.224, 0.225)}


@pytest.mark.parametrize(
    ("model_type", "own"),
    [
        ("clip_vision_model", CLIPImageProcessor()),
        ("dinov2", BitImageProcessor(**IMAGENET, size={"shortest_edge": 256})),
        ("vit", ViTImageProcessor(**IMAGENET, resample=PILImageResampling.BICUBIC)),
        ("vit_mae", ViTImageProcessor(**IMAGENET)),
        ("siglip_vision_model", SiglipImageProcessor()),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_frame_encoder_sees_what_its_own_processor_makes_of_whole_frames(model_type, own, tokenizer, tmp_path):
    config = tiny_config(Sam2LoveConfig, vision_config={"model_type": model_type, "image_size": 64})
    if model_type != "vit":
        with pytest.raises(ValueError, match=f"vit_image_processor: missing; a {model_type} prepares frames"):
            Sam2LoveProcessor.from_config(config, tokenizer)
    Sam2LoveProcessor.from_config(config, tokenizer, vit_image_processor=own).save_pretrained(tmp_path)
    frames, sound = make_clip()
    found = Sam2LoveProcessor.from_pretrained(tmp_path)(frames, sound, TEXT, RATE)["vit_pixel_values"][0]
    whole = {"size": {"height": 64, "width": 64}, "do_center_crop": False}
    expected = own(list(torch.from_numpy(frames).permute(0, 3, 1, 2)), **whole, return_tensors="pt")["pixel_values"]
    torch.testing.assert_close(found, expected, atol=1e-6, rtol=0)


def test_an_image_processor_has_to_say_how_it_normalises(tokenizer):
    own = CLIPImageProcessor()
    own.image_mean = None
    with pytest.raises(ValueError, match="vit_image_processor: CLIPImageProcessor does not say its image_mean"):
        Sam2LoveProcessor.from_config(tiny_config(Sam2LoveConfig), tokenizer, vit_image_processor=own)


def test_colours_stay_in_order(tiny_processor):
    red = np.zeros((1, 30, 50, 3), np.uint8)
    red[..., 0] = 255
    inputs = tiny_processor(red, make_clip(1)[1], TEXT, RATE)
    for name, (_, mean, std) in NORMALISATION.items():
        expected = torch.tensor([(1 - mean[0]) / std[0], -mean[1] / std[1], -mean[2] / std[2]])
        torch.testing.assert_close(inputs[name].mean((0, 1, 3, 4)), expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize("shape", [(1, 1), (3, 3), (1, 3), (5, 1)])
def test_tiny_frames_are_read_as_colour_images(tiny_processor, shape, caplog):
    frames = np.full((2, *shape, 3), 128, np.uint8)
    frames[..., 0] = 255
    inputs = tiny_processor(frames, make_clip(2)[1], TEXT, RATE)
    assert torch.allclose(inputs["vit_pixel_values"][:, :, 0], torch.tensor(1.0))
    assert inputs["vit_pixel_values"][:, :, 1:].max() < 0.01
    assert not caplog.records


def test_sentences_are_padded_and_cut_to_25_tokens(tiny_processor, tokenizer):
    frames, sound = make_clip(1)
    inputs = tiny_processor(frames, sound, ["dog", "the " * 100], RATE)
    short, long = inputs["input_ids"][0]
    count = inputs["attention_mask"][0].sum(1)
    assert count[1] == 25 and 3 <= count[0] < 25
    assert long[-1] == tokenizer.eos_token_id and short[count[0] - 1] == tokenizer.eos_token_id
    assert (short[count[0] :] == tokenizer.pad_token_id).all()
    assert tokenizer.decode(short, skip_special_tokens=True).strip() == "dog"


def test_sound_too_short_for_a_patch_still_gives_one(tiny_processor):
    frames, sound = make_clip(1)
    inputs = tiny_processor(frames, sound[:, : RATE // 2], TEXT, RATE)
    assert inputs["input_features"].shape == (1, 1, 1, 96, 64) and inputs["audio_mask"].tolist() == [[True]]


def test_loading_twice_changes_no_file(tmp_path, tiny_processor):
    tiny_processor.save_pretrained(tmp_path / "first")
    AutoProcessor.from_pretrained(tmp_path / "first").save_pretrained(tmp_path / "second")
    name = "processor_config.json"
    assert (tmp_path / "first" / name).read_text() == (tmp_path / "second" / name).read_text()


def test_its_settings_are_saved(tmp_path, tiny_processor, tokenizer):
    parts = (tiny_processor.image_processor, tiny_processor.vit_image_processor, tiny_processor.feature_extractor)
    processor = Sam2LoveProcessor(*parts, tokenizer, fps=2.0, max_text_length=12)
    processor.save_pretrained(tmp_path)
    loaded = Sam2LoveProcessor.from_pretrained(tmp_path)
    assert (loaded.fps, loaded.max_text_length) == (2.0, 12)
    frames, sound = make_clip()
    assert loaded(frames, sound, TEXT, RATE)["input_ids"].shape == (1, 1, 12)


def test_key_frames_alone_are_prepared_for_sam2(tiny_processor):
    clips, sounds = zip(make_clip(3), make_clip(4, seed=1), strict=True)
    given = {"video": list(clips), "audio": list(sounds), "text": [[TEXT], [TEXT]], "sampling_rate": RATE}
    whole, found = tiny_processor(**given), tiny_processor(**given, key_frames=[2, 0])
    assert found["key_frames"].tolist() == [2, 0] and found.keys() == whole.keys() | {"key_frames"}
    assert torch.equal(found["pixel_values"], whole["pixel_values"][[0, 1], [2, 0]][:, None])
    rest = whole.keys() - {"pixel_values", "original_sizes"}
    assert all(torch.equal(found[name], whole[name]) for name in rest) and "vit_pixel_values" in rest
    for wrong in ([2], [3, 0], [-1, 0], [0, 1.0], 0):
        with pytest.raises(ValueError, match=r"^key_frames: one number of a frame for each clip of \[3, 4\] frames"):
            tiny_processor(**given, key_frames=wrong)
