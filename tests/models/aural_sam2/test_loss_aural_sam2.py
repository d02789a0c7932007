import json

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from golden_aural_sam2 import det_input
from hypothesis import given, settings
from hypothesis import strategies as st

from conftest import golden_files
from lavseg.models.aural_sam2 import loss_aural_sam2
from lavseg.models.aural_sam2.loss_aural_sam2 import (
    contrastive_loss,
    draw_pixels,
    draw_pixels_as_released,
    info_nce,
    supervised_contrast,
)

LOSSES = golden_files("auralsam2/losses.npz")


def tensors(file):
    return {name: torch.from_numpy(value) for name, value in np.load(file).items()}


def seeds(arrays, prefix):
    return sorted(int(name.rpartition("seed")[2]) for name in arrays if name.startswith(f"{prefix}_seed"))


def units(*shape, seed=0):
    return F.normalize(torch.randn(*shape, generator=torch.Generator().manual_seed(seed)), dim=-1)


@pytest.mark.parity
@pytest.mark.parametrize("file", LOSSES)
def test_info_nce_agrees_with_the_released_code(file):
    arrays, expected = tensors(file), json.loads(file.with_suffix(".json").read_text())
    for seed in seeds(arrays, "nce_la"):
        pixels, labels, sounds, heard = (arrays[f"nce_{name}_seed{seed}"] for name in ("anchor", "la", "audio", "lc"))
        found = info_nce(pixels, labels[:, 0], sounds, heard[:, 0])
        assert found.item() == pytest.approx(expected[f"info_nce_seed{seed}"], rel=1e-5)


@pytest.mark.parity
@pytest.mark.parametrize("file", LOSSES)
def test_audiocon_agrees_with_the_released_code_and_with_its_corrected_labels(file):
    arrays, expected = tensors(file), json.loads(file.with_suffix(".json").read_text())
    cases = [name for name in expected if name.startswith("audiocon_")]
    assert cases
    for case in cases:
        info, seed = expected[case], int(case.rpartition("seed")[2])
        number, size, count = info["frames"], info["image_size"], 3 * info["sample_limits"]
        frames = [
            F.normalize(det_input(f"cl_vis{k}", seed, number, 128, 16, 16), dim=1).flatten(2).transpose(1, 2)
            for k in range(3)
        ]
        sounds = [F.normalize(det_input(f"cl_aud{k}", seed, number, 128), dim=1) for k in range(3)]
        bits = np.unpackbits(arrays[f"{case}_masks"].numpy())[: number * size**2]
        targets, logits = torch.from_numpy(bits.reshape(number, size, size)), arrays[f"{case}_low"][:, 0]
        torch.manual_seed(info["torch_manual_seed"])
        found = contrastive_loss("audiocon_release", frames, sounds, logits, targets, count)
        assert found.item() == pytest.approx(info["loss"], rel=1e-5)

        small_logits = F.interpolate(logits[:, None], (16, 16), mode="bilinear").flatten(1)
        small = F.interpolate(targets[:, None].float(), (16, 16), mode="nearest").flatten(1) > 0
        torch.manual_seed(info["torch_manual_seed"])
        drawn = [
            (t, k, *draw_pixels_as_released(small_logits[t], small[t], count)) for t in range(number) for k in range(3)
        ]
        as_coded = torch.cat([labels for *_, labels in drawn])
        assert torch.equal(as_coded, arrays[f"{case}_labels_as_coded"].bool())
        pixels = torch.cat([frames[k][t][index] for t, k, index, _ in drawn])
        labels = torch.cat([small[t][index] for t, _, index, _ in drawn]).long()
        heard = torch.tensor(info["audio_labels"])
        corrected = info_nce(pixels, labels, torch.stack(sounds, 1).flatten(0, 1), heard)
        assert corrected.item() == pytest.approx(info["loss_with_true_labels"], rel=1e-5)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 40), st.integers(0, 40), st.integers(1, 60), st.integers(0, 5))
def test_half_of_the_drawn_pixels_are_mispredicted_where_there_are_enough(num_hard, num_easy, count, seed):
    if not num_hard + num_easy:
        return
    torch.manual_seed(seed)
    targets = torch.rand(2, num_hard + num_easy) > 0.5
    wrong = torch.arange(num_hard + num_easy) < num_hard
    logits = torch.where(targets ^ wrong, 3.0, -3.0)
    drawn = draw_pixels(logits, targets, count)
    total, hard = min(count, num_hard + num_easy), wrong[drawn].sum(1)
    assert all(len(set(row.tolist())) == total for row in drawn)
    assert ((hard - count // 2).abs() <= max(0, count // 2 - num_hard, count - count // 2 - num_easy)).all()


def test_without_counterparts_the_contrast_has_no_value_and_finite_gradients():
    pixels = units(6, 4).requires_grad_()
    background = torch.zeros(6, dtype=torch.long)
    for heard in (0, 1):
        loss = info_nce(pixels, background, units(2, 4, seed=1), torch.full((2,), heard), sound_negatives=False)
        assert loss.item() == pytest.approx(0.0, abs=1e-6)
        assert torch.isfinite(torch.autograd.grad(loss, pixels, allow_unused=True)[0]).all()


@pytest.mark.parametrize("kind", ["audiocon", "supcon"])
def test_contrast_falls_as_pixels_and_sounds_of_one_label_meet(kind):
    targets = torch.zeros(2, 8, 8)
    targets[:, :4] = 1
    foreground = F.one_hot(targets.flatten(1).long(), 4).float()
    apart = [units(2, 64, 4)]
    sounds = [torch.tensor([[0.0, 1, 0, 0]] * 2)]
    logits = torch.randn(2, 8, 8, generator=torch.Generator().manual_seed(3))
    torch.manual_seed(0)
    together = contrastive_loss(kind, [foreground], sounds, logits, targets, 40)
    torch.manual_seed(0)
    assert together < contrastive_loss(kind, apart, sounds, logits, targets, 40)


def test_supervised_contrast_equals_its_definition():
    vectors, labels = units(7, 5).double(), torch.tensor([0, 0, 1, 1, 1, 0, 1])
    scores = (vectors @ vectors.T / 0.1).exp()
    expected = []
    for i in range(7):
        others = [j for j in range(7) if j != i]
        positives = [j for j in others if labels[j] == labels[i]]
        total = sum(scores[i, j] for j in others)
        expected.append(-sum((scores[i, j] / total).log() for j in positives) / len(positives))
    torch.testing.assert_close(supervised_contrast(vectors, labels), torch.stack(expected).mean())


@pytest.mark.parametrize("kind", ["audiocon", "audiocon_release", "supcon"])
def test_pairs_by_blocks_cost_what_all_pairs_do(monkeypatch, kind):
    """The same value and gradient, and nothing with a row for each pixel and a column for each is held."""
    targets = torch.zeros(3, 8, 8)
    targets[:2, 2:6, 1:5] = 1
    logits = torch.randn(3, 8, 8, generator=torch.Generator().manual_seed(1))
    found, largest = [], []
    for block in (1024, 7):
        monkeypatch.setattr(loss_aural_sam2, "BLOCK", block)
        frames, sounds = ([units(3, *shape, 8, seed=k).requires_grad_() for k in (0, 1)] for shape in ((64,), ()))
        kept = []
        torch.manual_seed(0)
        with torch.autograd.graph.saved_tensors_hooks(lambda x, kept=kept: kept.append(x.numel()) or x, lambda x: x):
            loss = contrastive_loss(kind, frames, sounds, logits, targets, samples=40)
        loss.backward()
        found.append([loss.detach(), *(part.grad for part in (*frames, *sounds))])
        largest.append(max(kept))
    for value, expected in zip(*found[::-1], strict=True):
        torch.testing.assert_close(value, expected, atol=1e-6, rtol=1e-5)
    assert largest[1] < largest[0] / 4
