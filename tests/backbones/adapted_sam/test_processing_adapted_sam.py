import numpy as np
import pytest
import torch
from PIL import Image
from tiny.configurations import nano_sam2_config, tiny_config

from lavseg.models.gavs import GavsConfig, GavsProcessor
from lavseg.models.sama_avs import SamaAvsConfig, SamaAvsProcessor

METHODS = [(SamaAvsConfig, SamaAvsProcessor), (GavsConfig, GavsProcessor)]


@pytest.mark.parametrize(("config_class", "processor_class"), METHODS)
def test_a_tokenizer_belongs_to_a_model_that_reads(config_class, processor_class, tokenizer):
    with pytest.raises(ValueError, match="tokenizer: missing"):
        processor_class.from_config(tiny_config(config_class, use_text=True))
    with pytest.raises(ValueError, match="tokenizer: a model with use_text=False"):
        processor_class.from_config(tiny_config(config_class), tokenizer)


@pytest.mark.parametrize(
    ("fields", "resample"),
    [({}, Image.BILINEAR), ({"sam_config": nano_sam2_config(128)}, Image.BICUBIC)],
    ids=["sam", "sam2"],
)
def test_frames_are_resized_as_the_host_is_used_to(fields, resample):
    processor = SamaAvsProcessor.from_config(tiny_config(SamaAvsConfig, **fields))
    video = np.random.default_rng(0).integers(0, 256, (1, 48, 80, 3), np.uint8)
    found = processor(video, np.zeros(16000), sampling_rate=16000)["pixel_values"][0, 0]
    resized = np.asarray(Image.fromarray(video[0]).resize((128, 128), resample)) / 255
    expected = (resized - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225]
    difference = (found - torch.from_numpy(expected).permute(2, 0, 1)).abs()
    assert difference.max() < 2.01 / 255 / 0.224
