import pytest
import torch

from lavseg.models.tpavi.loss_tpavi import audio_visual_mapping


@pytest.mark.parametrize("soft", [True, False])
def test_it_is_the_divergence_of_what_is_shown_from_the_sound(soft):
    torch.manual_seed(0)
    shown = torch.randn(3, 8, 8) if soft else (torch.randn(3, 8, 8) > 0).float()
    vision, sound = torch.rand(3, 5, 4, 4), torch.randn(3, 5)
    pooled = shown.unflatten(-1, (4, 2)).unflatten(-3, (4, 2)).mean((-3, -1))
    mask = pooled.sigmoid() if soft else pooled
    seen = (vision * mask[:, None]).mean((-2, -1)).softmax(-1)
    heard = sound.softmax(-1)
    expected = (heard * (heard / seen).log()).sum(-1)
    torch.testing.assert_close(audio_visual_mapping(shown, [vision], [sound], soft), expected)
    both = audio_visual_mapping(shown, [vision, vision], [sound, 2 * sound], soft)
    other = audio_visual_mapping(shown, [vision], [2 * sound], soft)
    torch.testing.assert_close(both, (expected + other) / 2)
