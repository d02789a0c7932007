"""Every registered method as an untrained tiny model with its processor."""

import pytest
import torch
from safetensors.torch import load_file, save_file
from tiny.configurations import tiny_config

from lavseg.auto import METHODS

EVERY_METHOD = [pytest.param(classes, id=classes[0].model_type) for classes in METHODS]


def method_named(model_type):
    """The entry of `METHODS` that a model type names."""
    return next(classes for classes in METHODS if classes[0].model_type == model_type)


def tiny_method(classes, tokenizer):
    """Model, in evaluation mode, and processor of one entry of `METHODS`."""
    config_class, model_class, processor_class = classes
    reads = getattr(tiny_config(config_class), "use_text", processor_class.needs_text)
    config = tiny_config(config_class, vocab_size=len(tokenizer)) if reads else tiny_config(config_class)
    torch.manual_seed(0)
    processor = processor_class.from_config(config, *([tokenizer] if reads else []))
    return model_class(config).eval(), processor


def sound_for(processor, waveform, rate=16000):
    """Arguments with a sound, for a processor that takes one."""
    return {"audio": waveform, "sampling_rate": rate} if processor.needs_audio else {}


def texts_for(processor):
    return ["the red circle"] if processor.needs_text else []


def damage_weights(folder, value):
    """One number in the last floating tensor of a saved model becomes `value`; returns the tensor's name."""
    weights = load_file(folder / "model.safetensors")
    name = [name for name, tensor in weights.items() if tensor.is_floating_point()][-1]
    weights[name].view(-1)[-1] = value
    save_file(weights, folder / "model.safetensors", {"format": "pt"})
    return name


@torch.no_grad()
def poison(model):
    """Every parameter that floats becomes NaN."""
    for parameter in model.parameters():
        parameter.fill_(float("nan"))
    return model
