"""Eq. 1 to 4, 8 and 10 of AuralSAM2, as `behavior="paper"` has them, in plain tensor code from weights by name."""

import math

import pytest
import torch
import torch.nn.functional as F
from tiny.configurations import tiny_config

from lavseg.models.aural_sam2 import AuralSam2Config
from lavseg.models.aural_sam2.fuser_aural_sam2 import AuralSam2Fuser
from lavseg.models.aural_sam2.loss_aural_sam2 import contrastive_loss

FRAMES, WORDS, PADDED, EDGE = 2, 3, 2, 8
PATCH_SIZES = (4, 2, 1)


@torch.no_grad()
def random_fuser():
    """In double precision, with weights and statistics at which every term counts."""
    torch.manual_seed(0)
    fuser = AuralSam2Fuser(tiny_config(AuralSam2Config)).eval().double()
    for name, value in fuser.state_dict().items():
        if name.endswith("running_var"):
            value.uniform_(0.5, 1.5)
        elif value.is_floating_point():
            value.copy_(torch.randn_like(value) / math.sqrt(value[0].numel() if value.dim() > 1 else 4))
    return fuser


def linear(weights, name, values):
    return values @ weights[f"{name}.weight"].T + weights[f"{name}.bias"]


def norm(weights, name, values):
    centred = values - values.mean(-1, keepdim=True)
    scaled = centred / torch.sqrt((centred**2).mean(-1, keepdim=True) + 1e-5)
    return scaled * weights[f"{name}.weight"] + weights[f"{name}.bias"]


def batch_norm(weights, name, values):
    scale = weights[f"{name}.weight"] / torch.sqrt(weights[f"{name}.running_var"] + 1e-5)
    return (values - weights[f"{name}.running_mean"]) * scale + weights[f"{name}.bias"]


def gelu(values):
    return values * (1 + torch.erf(values / math.sqrt(2))) / 2


def softmax_attention(query, key, value):
    """Eq. 10."""
    likeness = torch.exp(query @ key.T / math.sqrt(query.shape[-1]))
    return likeness / likeness.sum(-1, keepdim=True) @ value


def embed_patches(weights, name, level_map, size):
    """Eq. 1: one linear layer on all patches `[C, size, size]` of a map `[T, C, H, W]`."""
    patches = level_map.unfold(2, size, size).unfold(3, size, size).permute(0, 2, 3, 1, 4, 5)
    flat = patches.reshape(*patches.shape[:3], -1)
    return (flat @ weights[f"{name}.weight"].flatten(1).T + weights[f"{name}.bias"]).flatten(1, 2)


def over_heads(weights, name, values, source, num_heads):
    query = linear(weights, f"{name}.query", values)
    key, value = linear(weights, f"{name}.key_value", source).chunk(2, dim=-1)
    parts = zip(*(part.chunk(num_heads, dim=-1) for part in (query, key, value)), strict=True)
    return linear(weights, f"{name}.output", torch.cat([softmax_attention(*part) for part in parts], dim=-1))


def token_block(weights, name, tokens, config):
    normed = norm(weights, f"{name}.norm1", tokens)
    tokens = tokens + over_heads(weights, f"{name}.attention", normed, normed, config.num_attention_heads)
    inner = gelu(linear(weights, f"{name}.linear1", norm(weights, f"{name}.norm2", tokens)))
    return tokens + linear(weights, f"{name}.linear2", inner)


def frame_block(weights, name, frame, config):
    """PVT's block on one frame `[P, C]`: keys of patches, and a depthwise convolution in the MLP."""
    normed = norm(weights, f"{name}.norm1", frame)
    grid = normed.T.unflatten(1, (EDGE, EDGE))[None]
    reduced = embed_patches(weights, f"{name}.attention.reduction", grid, config.reduction_ratio)[0]
    reduced = norm(weights, f"{name}.attention.reduction_norm", reduced)
    frame = frame + over_heads(weights, f"{name}.attention", normed, reduced, config.num_attention_heads)
    inner = linear(weights, f"{name}.linear1", norm(weights, f"{name}.norm2", frame)).unflatten(0, (EDGE, EDGE))
    kernel, around = weights[f"{name}.depthwise.weight"][:, 0], F.pad(inner, (0, 0, 1, 1, 1, 1))
    mixed = weights[f"{name}.depthwise.bias"] + sum(
        around[row : row + EDGE, column : column + EDGE] * kernel[:, row, column]
        for row in range(3)
        for column in range(3)
    )
    return frame + linear(weights, f"{name}.linear2", gelu(mixed).flatten(0, 1))


def cross_fusion(weights, name, frames, tokens):
    """Eq. 3 and 10 for `frames [T, P, C]` and `tokens [M, C]`."""
    tokens, flat = linear(weights, f"{name}.align", tokens), frames.flatten(0, 1)
    of = {
        f"{kind}_{role}": linear(weights, f"{name}.{kind}_{role}", values)
        for kind, values in (("frame", flat), ("token", tokens))
        for role in ("query", "key", "value")
    }
    found = []
    for kind, other, values in (("frame", "token", flat), ("token", "frame", tokens)):
        attended = softmax_attention(of[f"{kind}_query"], of[f"{other}_key"], of[f"{other}_value"])
        attended = batch_norm(weights, f"{name}.{kind}_batch_norm", linear(weights, f"{name}.{kind}_output", attended))
        found.append(norm(weights, f"{name}.{kind}_norm", values + attended))
    return found[0].view_as(frames), found[1]


def waves(places, size, together):
    """Sines and cosines of `places`, `size` of them: of one frequency next to each other, or all sines first."""
    angles = torch.stack([places / 10000 ** (2 * (index // 2) / size) for index in range(size)], dim=-1)
    if not together:
        return torch.cat([angles.sin(), angles.cos()], dim=-1)
    return torch.where(torch.arange(size) % 2 == 0, angles.sin(), angles.cos())


def fuse(fuser, maps, sound, words):
    """All levels' `r_v` and `r_c`."""
    weights, config = fuser.state_dict(), fuser.config
    words = linear(weights, "text_projection.2", gelu(linear(weights, "text_projection.0", words)))
    start = torch.cat([sound, words])
    width = start.shape[-1]
    token_code = waves(torch.arange(len(start), dtype=torch.float64), width // 2, together=False)
    along = waves(torch.arange(1, EDGE + 1, dtype=torch.float64) / EDGE * 2 * math.pi, width // 2, together=True)
    down, across = (along[:, None].expand(EDGE, EDGE, -1), along[None].expand(EDGE, EDGE, -1))
    frame_code = torch.cat([down, across], dim=-1).flatten(0, 1)
    levels = []
    for index, (level_map, size) in enumerate(zip(maps, PATCH_SIZES, strict=True)):
        name = f"levels.{index}"
        frames = embed_patches(weights, f"{name}.patch_embed", level_map, size)
        if levels:
            frames = linear(weights, f"{name}.smooth", levels[-1][0] + frames)  # Eq. 4
        frames, tokens = frames + frame_code, start + token_code  # Eq. 2
        for block in range(config.token_depths[index]):
            tokens = token_block(weights, f"{name}.token_blocks.{block}", tokens, config)
        for block in range(config.visual_depths[index]):
            block_name = f"{name}.frame_blocks.{block}"
            frames = torch.stack([frame_block(weights, block_name, frame, config) for frame in frames])
        levels.append(cross_fusion(weights, f"{name}.fusion", frames + frame_code, tokens + token_code))
    return levels


@torch.no_grad()
def test_every_level_is_what_the_equations_give():
    """The sentence has padding too, which is as if it were not there."""
    fuser = random_fuser()
    width, words_width = fuser.config.hidden_size, fuser.config.text_config.hidden_size
    maps = [torch.randn(FRAMES, width, EDGE * size, EDGE * size, dtype=torch.float64) for size in PATCH_SIZES]
    sound = torch.randn(FRAMES, width, dtype=torch.float64)
    words = torch.randn(WORDS + PADDED, words_width, dtype=torch.float64)
    real = torch.arange(WORDS + PADDED) < WORDS
    patches = [level[None] for level in fuser.embed_patches(tuple(maps))]
    found = fuser(patches, sound[None], words[None, None], real[None, None])
    for level, (frames, tokens) in zip(found, fuse(fuser, maps, sound, words[:WORDS]), strict=True):
        torch.testing.assert_close(level.frames[0], frames, atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(level.tokens[0, : FRAMES + WORDS], tokens, atol=1e-5, rtol=1e-5)


def equation_8(pixels, pixel_labels, sounds, sound_labels, temperature):
    total = 0.0
    for pixel, label in zip(pixels, pixel_labels, strict=True):
        away = sum(
            math.exp(pixel @ other / temperature)
            for other, other_label in zip(pixels, pixel_labels, strict=True)
            if other_label != label
        )
        for sound, sound_label in zip(sounds, sound_labels, strict=True):
            if sound_label == label:
                near = math.exp(pixel @ sound / temperature)
                total -= math.log(near / (near + away))
    return total / len(pixels) / len(sounds)


@pytest.mark.parametrize("temperature", [0.1, 0.5])
def test_audiocon_is_equation_8_where_every_frame_shows_the_object(temperature):
    """All pixels are drawn, of two levels and three frames."""
    generator = torch.Generator().manual_seed(2)
    levels, frames, positions = 2, 3, 4
    features = [torch.randn(frames, positions, 5, generator=generator, dtype=torch.float64) for _ in range(levels)]
    sounds = [torch.randn(frames, 5, generator=generator, dtype=torch.float64) for _ in range(levels)]
    features, sounds = ([F.normalize(value, dim=-1) for value in values] for values in (features, sounds))
    targets = torch.tensor([[[1, 0], [0, 0]], [[1, 1], [0, 1]], [[1, 0], [1, 0]]])
    logits = torch.randn(frames, 2, 2, generator=generator, dtype=torch.float64)
    found = contrastive_loss("audiocon", features, sounds, logits, targets, positions, temperature)
    pixel_labels = targets.flatten().repeat(levels).tolist()
    expected = equation_8(
        torch.cat(features).flatten(0, 1), pixel_labels, torch.cat(sounds), [1] * levels * frames, temperature
    )
    assert found.item() == pytest.approx(expected, abs=1e-6)
