"""Eq. 1 to 4 of SAM2-LOVE, and the mean of its table 5, in plain tensor code from a model's weights by name."""

import math

import pytest
import torch
from tiny.configurations import tiny_config

from lavseg.models.sam2_love import Sam2LoveConfig, Sam2LoveModel

PATCHES, WORDS, FRAMES, POSITIONS = 5, 6, 3, 16


@torch.no_grad()
def random_prompter(**overrides):
    """In double precision, with weights of a size at which every term counts."""
    torch.manual_seed(0)
    prompter = Sam2LoveModel(tiny_config(Sam2LoveConfig, **overrides)).eval().prompter.double()
    for parameter in prompter.parameters():
        parameter.copy_(torch.randn_like(parameter) / math.sqrt(parameter.shape[-1]))
    return prompter


def features(config):
    """What the encoders of one clip and one sentence give: sound, words, and frames with their class tokens first."""
    generator = torch.Generator().manual_seed(1)
    widths = (config.audio_config.embedding_size, config.text_config.hidden_size, config.vision_config.hidden_size)
    shapes = ((PATCHES,), (WORDS,), (FRAMES, 1 + POSITIONS))
    return [
        torch.randn(*shape, width, generator=generator, dtype=torch.float64)
        for shape, width in zip(shapes, widths, strict=True)
    ]


def prompt_of(prompter, sound, words, frames):
    real = [torch.ones(1, PATCHES), torch.ones(1, 1, WORDS), torch.ones(1, FRAMES)]
    with torch.no_grad():
        return prompter(sound[None], words[None, None], frames[None], *(mask.bool() for mask in real))[0][0]


def linear(weights, name, values):
    return values @ weights[f"{name}.weight"].T + weights[f"{name}.bias"]


def mlp(weights, name, values):
    """Eq. 1."""
    return linear(weights, f"{name}.linear2", linear(weights, f"{name}.linear1", values).clamp(min=0))


def norm(weights, name, values):
    centred = values - values.mean(-1, keepdim=True)
    scaled = centred / torch.sqrt((centred**2).mean(-1, keepdim=True) + 1e-5)
    return scaled * weights[f"{name}.weight"] + weights[f"{name}.bias"]


def attend(weights, block, values, num_heads):
    """Multi-head self-attention, one head and one query at a time."""
    query = linear(weights, f"{block}.query", values)
    key, value = linear(weights, f"{block}.key_value", values).chunk(2, dim=-1)
    size = values.shape[-1] // num_heads
    heads = []
    for start in range(0, values.shape[-1], size):
        part = slice(start, start + size)
        rows = []
        for asked in query[:, part]:
            likeness = torch.exp((key[:, part] * asked).sum(-1) / math.sqrt(size))
            rows.append((likeness[:, None] * value[:, part]).sum(0) / likeness.sum())
        heads.append(torch.stack(rows))
    return linear(weights, f"{block}.output", torch.cat(heads, dim=-1))


def transform(weights, config, sequence):
    """Eq. 2, and the LayerNorm behind it that the paper does not name."""
    for index in range(config.num_hidden_layers):
        block = f"fusion.layers.{index}"
        sequence = attend(weights, block, norm(weights, f"{block}.norm1", sequence), config.num_attention_heads) + (
            sequence
        )
        inner = linear(weights, f"{block}.linear1", norm(weights, f"{block}.norm2", sequence))
        inner = inner * (1 + torch.erf(inner / math.sqrt(2))) / 2
        sequence = linear(weights, f"{block}.linear2", inner) + sequence
    return norm(weights, "fusion.norm", sequence)


def projected(prompter, sound, words, frames):
    """Weights by name, the embeddings of Eq. 1, and the two fixed tokens."""
    weights = prompter.state_dict()
    sound, words = mlp(weights, "audio_projection", sound), mlp(weights, "text_projection", words)
    aud, vis = torch.zeros(1, sound.shape[-1]), torch.ones(1, sound.shape[-1])
    return weights, sound, aud.double(), words, vis.double(), mlp(weights, "vision_projection", frames)


@pytest.mark.parametrize("num_seg_tokens", [1, 4])
@pytest.mark.parametrize("accumulate", [True, False])
def test_the_prompt_is_what_propagation_and_accumulation_give(num_seg_tokens, accumulate):
    prompter = random_prompter(num_seg_tokens=num_seg_tokens, accumulate_history=accumulate)
    clip = features(prompter.config)
    weights, sound, aud, words, vis, frames = projected(prompter, *clip)
    seg, history = weights["seg_tokens"], []
    for frame in frames:
        if accumulate:
            history.append(frame[:1])  # Eq. 4, which counts the present frame
        sequence = torch.cat([seg, sound, aud, words, vis, *history, frame[1:]])  # Eq. 3
        seg = transform(weights, prompter.config, sequence)[:num_seg_tokens]
    torch.testing.assert_close(prompt_of(prompter, *clip), mlp(weights, "projector", seg[0]), atol=1e-6, rtol=1e-6)


@pytest.mark.parametrize("accumulate", [True, False])
def test_the_mean_is_that_of_sound_words_and_patches(accumulate):
    prompter = random_prompter(prompt_pooling="mean", accumulate_history=accumulate)
    clip = features(prompter.config)
    weights, sound, aud, words, vis, frames = projected(prompter, *clip)
    classes = frames[:, 0] if accumulate else frames[:0, 0]
    sequence = torch.cat([sound, words, frames[:, 1:].flatten(0, 1), aud, vis, classes])
    averaged = transform(weights, prompter.config, sequence)[: PATCHES + WORDS + FRAMES * POSITIONS].mean(0)
    torch.testing.assert_close(prompt_of(prompter, *clip), mlp(weights, "projector", averaged), atol=1e-6, rtol=1e-6)
