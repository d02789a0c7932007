"""Small models whose every part does something, and clips for them."""

import torch


@torch.no_grad()
def away_from_zero(model):
    """`model` in evaluation mode, with noise on what starts at zero."""
    for name, parameter in model.eval().named_parameters():
        if "positional_embedding" not in name:
            parameter.add_(0.05 * torch.randn_like(parameter))
    return model


def make_inputs(clips=1, frames=4, seed=1):
    generator = torch.Generator().manual_seed(seed)
    return {
        "pixel_values": torch.randn(clips, frames, 3, 128, 128, generator=generator),
        "input_features": torch.randn(clips, frames, 1, 96, 64, generator=generator),
    }


def make_labels(clips=1, frames=4, size=(56, 72)):
    labels = torch.zeros(clips, frames, *size, dtype=torch.uint8)
    labels[..., 10:30, 20:50] = 1
    return labels
