import pytest
import torch
from tiny.configurations import nano_sam2_config
from transformers import Sam2VideoConfig, Sam2VideoModel

from lavseg.backbones.sam2.configuration_sam2 import hiera_sam2_config


def on_meta(config):
    with torch.device("meta"):
        return Sam2VideoModel(config)


def count(module):
    return sum(parameter.numel() for parameter in module.parameters())


# Millions of parameters of SAM 2.1, in all and in the image encoder.
MILLIONS = {"tiny": (38.96, 27.22), "small": (46.06, 34.32), "base_plus": (80.85, 69.11), "large": (224.45, 212.70)}
# SAM 2.1's projection of the pointers' time code (256 x 64 + 64) and its 64 numbers for hidden objects.
NEW_IN_2_1 = 256 * 64 + 64 + 64


@pytest.mark.parametrize("size", MILLIONS)
def test_every_size_has_the_published_number_of_parameters(size):
    model = on_meta(hiera_sam2_config(size))
    total, vision = MILLIONS[size]
    assert (count(model) + NEW_IN_2_1) / 1e6 == pytest.approx(total, abs=0.005)
    assert count(model.vision_encoder) / 1e6 == pytest.approx(vision, abs=0.005)
    assert count(model.mask_decoder) == 4_215_109
    assert count(model.prompt_encoder) == 6_220
    assert count(model.memory_attention) / 1e6 == pytest.approx(5.92, abs=0.005)
    assert count(model.memory_encoder) / 1e6 == pytest.approx(1.38, abs=0.005)


@pytest.mark.parametrize(
    ("size", "total", "vision"), [("base_plus", 80_833_666, 69_106_816), ("large", 224_430_130, 212_703_280)]
)
def test_exact_parameters_of_sam_2_0(size, total, vision):
    model = on_meta(hiera_sam2_config(size))
    assert (count(model), count(model.vision_encoder)) == (total, vision)


def test_the_default_is_large_at_1024():
    assert hiera_sam2_config().to_dict() == hiera_sam2_config("large", 1024).to_dict()


@pytest.mark.parametrize("size", MILLIONS)
def test_all_sizes_of_maps_follow_the_image(size):
    config = hiera_sam2_config(size, 256)
    assert config.image_size == config.prompt_encoder_config.image_size == 256
    assert list(config.vision_config.backbone_config.image_size) == [256, 256]
    assert config.vision_config.backbone_feature_sizes == [[64, 64], [32, 32], [16, 16]]
    assert config.memory_attention_rope_feat_sizes == [16, 16]


def test_a_configuration_survives_saving(tmp_path):
    config = hiera_sam2_config("base_plus", 512)
    config.save_pretrained(tmp_path)
    loaded = Sam2VideoConfig.from_pretrained(tmp_path)
    assert loaded.to_diff_dict() == config.to_diff_dict()
    assert count(on_meta(loaded)) == count(on_meta(config))


@pytest.mark.parametrize("image_size", [64, 128])
@torch.no_grad()
def test_the_smallest_host_runs(image_size):
    model = Sam2VideoModel(nano_sam2_config(image_size)).eval()
    assert count(model) / 1e6 == pytest.approx(1.55, abs=0.01)
    maps = model.vision_encoder(torch.zeros(1, 3, image_size, image_size)).fpn_hidden_states
    assert [m.shape for m in maps] == [(1, 128, image_size // stride, image_size // stride) for stride in (4, 8, 16)]


@pytest.mark.parametrize("build", [hiera_sam2_config, nano_sam2_config])
@pytest.mark.parametrize("image_size", [1000, 0, -1024, 1024.0, "1024", True])
def test_an_edge_that_does_not_fit_is_named(build, image_size):
    with pytest.raises(ValueError, match=rf"image_size: {image_size!r} was given, SAM2 takes multiples of 32"):
        build(image_size=image_size)


def test_an_unknown_size_is_named():
    with pytest.raises(ValueError, match=r"size: 'huge' was given, accepted are 'tiny', 'small', 'base_plus', 'large'"):
        hiera_sam2_config("huge")
