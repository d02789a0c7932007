"""Small models whose every part does something, clips for them, and the test that they survive a save."""

import subprocess
import sys

import torch

RELOAD = """
import sys, torch
import lavseg
from transformers import AutoModel
for folder in sys.argv[1:]:
    saved = torch.load(folder + ".pt")
    model = AutoModel.from_pretrained(folder).eval()
    assert type(model).__name__ == saved["name"]
    state = model.state_dict()
    assert state.keys() == saved["state"].keys()
    for name, value in saved["state"].items():
        assert torch.equal(state[name], value), name
    assert {n for n, p in model.named_parameters() if p.requires_grad} == saved["trainable"]
    with torch.no_grad():
        # Weights in other places of the memory may round otherwise.
        torch.testing.assert_close(model(**saved["inputs"]).pred_masks, saved["pred_masks"], atol=1e-6, rtol=1e-5)
"""


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


def check_reload(folder, models):
    """Models with their inputs, `[(model, inputs), ...]`, are saved in `folder` and the same in a fresh process."""
    paths = [str(folder / str(index)) for index in range(len(models))]
    for path, (model, inputs) in zip(paths, models, strict=True):
        with torch.no_grad():
            pred_masks = model(**inputs).pred_masks
        model.save_pretrained(path)
        trainable = {name for name, parameter in model.named_parameters() if parameter.requires_grad}
        saved = {"inputs": inputs, "pred_masks": pred_masks, "state": model.state_dict(), "trainable": trainable}
        torch.save({**saved, "name": type(model).__name__}, path + ".pt")
    result = subprocess.run([sys.executable, "-c", RELOAD, *paths], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
