"""The fusion against its equations, written out plainly."""

import pytest
import torch
from tiny.configurations import tiny_config

from lavseg.models.eemc import EemcConfig
from lavseg.models.eemc.fusion_eemc import EemcFusion, cached_memory

FRAMES, SECONDS, WORDS = 3, 2, 4


def test_cached_memory_of_release_and_paper():
    rows = torch.randn(2, 5, 3)
    for with_present in (True, False):
        found = cached_memory(rows, with_present)
        for index in range(5):
            before = rows[:, : index + with_present]
            mean = before.mean(1) if before.shape[1] else torch.zeros(2, 3)
            torch.testing.assert_close(found[:, index], 2 * rows[:, index] - mean)


@pytest.fixture
def given():
    torch.manual_seed(0)
    return torch.randn(FRAMES, 64, 2, 2), torch.randn(SECONDS, 32), torch.randn(2, WORDS, 64)


def fusion_of(**fields):
    torch.manual_seed(0)
    return EemcFusion(tiny_config(EemcConfig, **fields)).eval()


@torch.no_grad()
def test_a_row_of_the_release_is_a_run_of_memory_and_one_of_the_paper_a_position(given):
    maps, audio, text = given
    for behavior in ("release", "paper"):
        fusion, seen = fusion_of(behavior=behavior), []
        fusion.image_text.register_forward_hook(lambda module, args, output, seen=seen: seen.append(args[0]))
        fusion.cues(maps, audio, text)
        row = maps[1].flatten()[64:128] if behavior == "release" else maps[1, :, 0, 1]
        assert torch.equal(seen[0][1, 4 + 1], row)


@torch.no_grad()
def test_marks_stand_between_the_cues_and_sound_and_words_are_those_of_every_frame(given):
    cues = fusion_of().cues(*given)
    assert cues.shape == (2, FRAMES, SECONDS + 1 + 4 + 1 + WORDS, 64)
    assert (cues[:, :, SECONDS] == 0).all() and (cues[:, :, SECONDS + 5] == 1).all()
    for part in (cues[:, :, :SECONDS], cues[:, :, -WORDS:]):
        assert torch.equal(part, part[:, :1].expand_as(part))


@torch.no_grad()
def test_who_attends_to_whom_when_cues_are_integrated(given):
    cues = fusion_of().cues(*given)
    other = cues.clone()
    other[0, 0, 0] += 1
    reached = {}
    for name, fields in (("alone", {}), ("clips", {"across_clips": True}), ("paper", {"behavior": "paper"})):
        fusion = fusion_of(**fields)
        changed = (fusion.integrate(other) - fusion.integrate(cues)).abs().amax(-1) > 1e-7
        reached[name] = {tuple(place) for place in changed.nonzero().tolist()}
    assert reached["alone"] == {(0, 0, 0)}
    assert reached["clips"] == {(0, 0, 0), (1, 0, 0)}
    assert reached["paper"] == {(0, 0, cue) for cue in range(cues.shape[2])}


@torch.no_grad()
def test_without_company_the_integration_is_a_linear_layer(given):
    fusion = fusion_of()
    cues, layer = fusion.cues(*given), fusion.integration
    values = torch.nn.functional.linear(cues, layer.in_proj_weight[-64:], layer.in_proj_bias[-64:])
    torch.testing.assert_close(fusion.integrate(cues), layer.out_proj(values), atol=1e-5, rtol=1e-5)
