import numpy as np
import pytest
import torch
from tiny.configurations import nano_sam_config
from torch import nn
from transformers import SamModel

from conftest import golden_files
from lavseg.backbones.sam.adapters_sam import SamAudioAdapters, encode_frames
from lavseg.models.sama_avs.convert_sama_avs import SAMA_AVS_KEYS
from sam_reference import assert_near, audio_input, fill, reference_keys


def make_encoder():
    torch.manual_seed(0)
    return SamModel(nano_sam_config()).vision_encoder.eval()


@pytest.mark.parity
@pytest.mark.parametrize("file", golden_files("sama_avs/generator_vith.npz"))
@torch.no_grad()
def test_generator(file):
    holder = nn.Module()
    holder.adapters = SamAudioAdapters(32, 128, 512, 1280)
    keys = reference_keys("sama_avs/keys_vith.json")
    fill(holder, [key for key in keys if "prompt_generator" in key], SAMA_AVS_KEYS)
    golden = np.load(file)
    for name in golden:
        prompts = holder.adapters.prompts(audio_input(int(name.removeprefix("prompts_seed")))[0])
        assert_near(prompts[:, :, ::8], golden[name], 1e-4)


@pytest.mark.parametrize("frames", [1, 4, 6])
@torch.no_grad()
def test_without_prompts_it_is_the_stock_encoder_for_any_number_of_frames(frames):
    encoder, pixel_values = make_encoder(), torch.randn(frames, 3, 128, 128)
    expected = encoder(pixel_values).last_hidden_state
    torch.testing.assert_close(encode_frames(encoder, pixel_values), expected, atol=1e-5, rtol=1e-5)


@torch.no_grad()
def test_the_prompt_is_added_to_the_input_of_every_block():
    encoder, seen = make_encoder(), []
    prompts = SamAudioAdapters(3, 8, 16, 32).prompts(torch.rand(2, 8))
    for layer in encoder.layers:
        layer.register_forward_hook(lambda module, args, output: seen.append((args[0], output)))
    encode_frames(encoder, torch.randn(2, 3, 128, 128), prompts)
    for index in range(1, len(seen)):
        added = seen[index][0] - seen[index - 1][1]
        torch.testing.assert_close(added, prompts[index][:, None, None].expand_as(added), atol=1e-6, rtol=0)


@torch.no_grad()
def test_every_frame_hears_its_own_sound_only():
    encoder, pixel_values = make_encoder(), torch.randn(6, 3, 128, 128)
    adapters, audio = SamAudioAdapters(3, 8, 16, 32), torch.rand(6, 8)
    before = encode_frames(encoder, pixel_values, adapters.prompts(audio))
    audio[4] += 1
    changed = (encode_frames(encoder, pixel_values, adapters.prompts(audio)) - before).abs().amax((1, 2, 3))
    assert (changed > 1e-4).tolist() == [False] * 4 + [True, False]
