import math

import pytest
import torch
from tiny.configurations import tiny_config
from transformers import AutoModel

from lavseg.backbones.vggish import VggishConfig, VggishModel
from tiny_methods import EVERY_METHOD, damage_weights, texts_for, tiny_method


@pytest.mark.parametrize("classes", EVERY_METHOD)
@pytest.mark.parametrize("value", [math.nan, -math.inf])
def test_weights_that_are_not_finite_are_refused_by_name(classes, value, tokenizer, tmp_path):
    model, _ = tiny_method(classes, tokenizer)
    model.save_pretrained(tmp_path)
    AutoModel.from_pretrained(tmp_path)
    name = damage_weights(tmp_path, value)
    with pytest.raises(ValueError, match=f"^{name} of {type(model).__name__} holds NaN or infinite values"):
        AutoModel.from_pretrained(tmp_path)


def test_so_are_those_of_a_sound_encoder(tmp_path):
    VggishModel(tiny_config(VggishConfig, postprocess=True)).save_pretrained(tmp_path)
    name = damage_weights(tmp_path, math.inf)
    with pytest.raises(ValueError, match=f"^{name} of VggishModel holds NaN or infinite values"):
        VggishModel.from_pretrained(tmp_path)


@pytest.mark.parametrize("classes", EVERY_METHOD)
def test_encoders_that_are_not_finite_are_refused(classes, tokenizer):
    model, _ = tiny_method(classes, tokenizer)
    parts = model.backbones()
    part = next(iter(parts.values()))
    torch.nn.init.constant_(next(part.parameters()), math.nan)
    with pytest.raises(ValueError, match=f"of {type(part).__name__} holds NaN or infinite values"):
        model.load_backbones(parts)


@torch.no_grad()
@pytest.mark.parametrize("classes", EVERY_METHOD)
def test_no_mask_is_made_of_inputs_that_are_not_finite(classes, tokenizer):
    model, processor = tiny_method(classes, tokenizer)
    frames = torch.zeros(2, 40, 56, 3, dtype=torch.uint8)
    inputs = processor(frames, torch.zeros(32000), texts_for(processor) or None, sampling_rate=16000)
    size = inputs["original_sizes"]
    processor.post_process_masks(model(**inputs).pred_masks, size)
    inputs["pixel_values"][0, 1, 0, 0, 0] = math.nan
    with pytest.raises(ValueError, match=r"^pred_masks: the model gives NaN or infinite values"):
        processor.post_process_masks(model(**inputs).pred_masks, size)
