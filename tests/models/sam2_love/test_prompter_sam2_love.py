import pytest
import torch
from tiny.configurations import tiny_config

from lavseg.models.sam2_love import Sam2LoveConfig, Sam2LoveModel
from lavseg.models.sam2_love.prompter_sam2_love import Sam2LoveFusion


@torch.no_grad()
def make_prompter(**overrides):
    torch.manual_seed(0)
    prompter = Sam2LoveModel(tiny_config(Sam2LoveConfig, **overrides)).eval().prompter
    for parameter in prompter.parameters():  # away from zero-initialised parts
        parameter.add_(0.03 * torch.randn_like(parameter))
    return prompter


def fixed_and_frames(batch=1, frames=3):
    width = {"audio": 32, "text": 64, "frames": 96}
    generator = torch.Generator().manual_seed(0)
    return dict(
        audio=torch.randn(batch, 5, width["audio"], generator=generator),
        text=torch.randn(batch, 1, 6, width["text"], generator=generator),
        frames=torch.randn(batch, frames, 1 + 16, width["frames"], generator=generator),
        audio_mask=torch.ones(batch, 5, dtype=torch.bool),
        text_mask=torch.ones(batch, 1, 6, dtype=torch.bool),
        frame_mask=torch.ones(batch, frames, dtype=torch.bool),
    )


@torch.no_grad()
def test_without_positions_the_order_of_sound_and_patches_does_not_matter():
    prompter = make_prompter()
    parts = fixed_and_frames()
    prompts, _, _ = prompter(**parts)
    shuffled = dict(parts, audio=parts["audio"][:, torch.randperm(5)])
    shuffled["frames"] = torch.cat([parts["frames"][:, :, :1], parts["frames"][:, :, 1 + torch.randperm(16)]], 2)
    torch.testing.assert_close(prompter(**shuffled)[0], prompts, atol=1e-5, rtol=1e-5)
    other_order = dict(parts, frames=parts["frames"].flip(1))
    assert (prompter(**other_order)[0] - prompts).abs().max() > 1e-3


@torch.no_grad()
def test_time_codes_make_the_order_of_sound_matter():
    prompter = make_prompter(audio_temporal_embedding=True)
    parts = fixed_and_frames()
    flipped = dict(parts, audio=parts["audio"].flip(1))
    assert (prompter(**flipped)[0] - prompter(**parts)[0]).abs().max() > 1e-4


@torch.no_grad()
def test_sound_that_there_is_no_time_code_for_is_left_out():
    prompter = make_prompter(audio_temporal_embedding=True, max_frames=4)
    longer = fixed_and_frames()
    shorter = dict(longer, audio=longer["audio"][:, :4], audio_mask=longer["audio_mask"][:, :4])
    expected, _, maps = prompter(**shorter, output_attentions=True)
    found, _, maps_of_longer = prompter(**longer, output_attentions=True)
    assert torch.equal(found, expected)
    assert maps_of_longer["audio_attentions"][0].shape == maps["audio_attentions"][0].shape
    plain = make_prompter(max_frames=4)
    assert not torch.allclose(plain(**longer)[0], plain(**shorter)[0])


def test_time_codes_refuse_clips_they_have_no_code_for():
    prompter = make_prompter(audio_temporal_embedding=True, max_frames=5)
    with pytest.raises(ValueError, match=r"^pixel_values: a clip has 6 frames, .*max_frames"):
        prompter(**fixed_and_frames(frames=6))


def test_a_fresh_prompter_is_initialised_as_described():
    prompter = Sam2LoveModel(tiny_config(Sam2LoveConfig)).prompter
    for layer in prompter.fusion.layers:
        assert 0.015 < layer.linear1.weight.std() < 0.025
        assert not layer.linear1.bias.any()
    bound = prompter.audio_projection.linear1.in_features**-0.5
    weight, bias = prompter.audio_projection.linear1.weight, prompter.audio_projection.linear1.bias
    assert 0.9 * bound < weight.abs().max() <= bound and 0.5 * bound < bias.abs().max() <= bound
    assert 0 < prompter.seg_tokens.abs().max() < 0.1
    assert torch.equal(prompter.modality_tokens[:, 0], torch.tensor([0.0, 1.0]))


@torch.no_grad()
def test_the_last_block_is_computed_for_the_tokens_that_are_read_alone():
    fusion, tokens = make_prompter().fusion, torch.randn(2, 9, tiny_config(Sam2LoveConfig).hidden_size)
    mask = (torch.arange(9) < torch.tensor([[9], [6]]))[:, None, None]
    assert isinstance(fusion, Sam2LoveFusion)
    torch.testing.assert_close(fusion(tokens, mask, 2)[0], fusion(tokens, mask)[0][:, :2])
