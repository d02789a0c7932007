import pytest
import torch
import torch.nn.functional as F
from tiny.configurations import tiny_config

from lavseg.models.tpavi import TpaviConfig
from lavseg.models.tpavi.blocks_tpavi import (
    TpaviBlock,
    TpaviDecoder,
    TpaviDilatedConvolutions,
    TpaviResidualUnit,
    TpaviWords,
    mean_of_groups,
)


def make_block(**fields):
    torch.manual_seed(0)
    block = TpaviBlock(tiny_config(TpaviConfig, **fields)).double().eval()
    for parameter in block.parameters():
        parameter.data = torch.randn_like(parameter)
    return block


def explicit(block, vision, audio, to_audio):
    """The block on one group as the paper writes it: every position of every frame attends to every other."""
    frames, positions = vision.shape[1:3]
    sound = block.audio_projection(audio)[:, :, None].expand_as(vision)
    theta, phi, g = block.theta(vision), block.phi(sound if to_audio else vision), block.g(vision)
    product = theta.flatten(1, 2) @ phi.flatten(1, 2).mT / (frames * positions)
    read = block.output((product @ g.flatten(1, 2)).view_as(theta))
    normed = block.batch_norm(read.flatten(0, 2)).view_as(vision)
    return block.norm(normed + vision)


@pytest.mark.parametrize(("to_audio", "to_vision"), [(True, False), (False, True), (True, True)])
def test_the_small_product_is_the_large_one(to_audio, to_vision):
    block = make_block(attend_to_audio=to_audio, attend_to_vision=to_vision, frames_per_group=3)
    vision, audio = torch.randn(2, 5, 6, 32).double(), torch.randn(2, 5, 32).double()
    found, sound = block(vision, audio, torch.ones(2, 5, dtype=torch.bool))
    wanted = [kind for kind, asked in ((False, to_vision), (True, to_audio)) if asked]
    for part in (slice(0, 3), slice(3, 5)):
        expected = sum(explicit(block, vision[:, part], audio[:, part], kind) for kind in wanted) / len(wanted)
        torch.testing.assert_close(found[:, part], expected)
    torch.testing.assert_close(sound, block.audio_projection(audio))


def test_groups_are_means_over_real_frames():
    values = torch.arange(7.0).view(1, 7, 1)
    mask = torch.tensor([[True] * 4 + [False] * 3])
    assert mean_of_groups(values, mask, 3).flatten().tolist() == [1, 1, 1, 3, 3, 3, 6]
    assert mean_of_groups(values, mask, 5).flatten().tolist() == [1.5] * 5 + [5.5, 5.5]


def test_the_skip_of_a_unit_is_rectified():
    unit = TpaviResidualUnit(4)
    for parameter in unit.parameters():
        torch.nn.init.zeros_(parameter)
    maps = torch.randn(1, 4, 3, 3)
    assert torch.equal(unit(maps), F.relu(maps))


def test_convolutions_keep_the_size_and_add_up():
    layer, maps = TpaviDilatedConvolutions(3, 5), torch.randn(2, 3, 7, 9)
    found = layer(maps)
    assert found.shape == (2, 5, 7, 9)
    torch.testing.assert_close(found, sum(convolution(maps) for convolution in layer.convolutions))


def test_the_decoder_ends_at_the_size_of_the_frames():
    decoder = TpaviDecoder(16, 3)
    assert decoder.paths[3].skip is None
    stages = [torch.randn(2, 16, 64 // stride, 96 // stride) for stride in (4, 8, 16, 32)]
    assert decoder(stages).shape == (2, 3, 64, 96)


def test_words_that_are_padding_are_not_read():
    torch.manual_seed(0)
    config = tiny_config(TpaviConfig, use_text=True)
    config._attn_implementation = "eager"
    words = TpaviWords(config)
    vision, states = torch.randn(1, 2, 6, 32), torch.randn(1, 4, 64)
    mask = torch.tensor([[True, True, False, False]])
    found = words(vision, states, mask)
    states[:, 2:] = 9
    torch.testing.assert_close(words(vision, states, mask), found)
    assert not torch.allclose(words(vision, states, torch.ones_like(mask)), found)
