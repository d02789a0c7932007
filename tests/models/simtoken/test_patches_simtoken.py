import torch
from tiny.configurations import tiny_config
from transformers import CLIPVisionModel

from lavseg import SimTokenConfig
from lavseg.models.simtoken.patches_simtoken import SimTokenPatches


@torch.no_grad()
def test_they_are_those_of_the_last_but_one_layer_of_clip():
    config, frames = tiny_config(SimTokenConfig).vision_config, torch.randn(2, 3, 56, 56)
    torch.manual_seed(0)
    clip, patches = CLIPVisionModel(config).eval(), SimTokenPatches(config).eval()
    patches.load_state_dict(clip.state_dict())
    runs = []
    patches.encoder.layers[-1].register_forward_hook(lambda *args: runs.append(1))
    expected = clip(frames, output_hidden_states=True).hidden_states[-2][:, 1:]
    torch.testing.assert_close(patches(frames), expected)
    assert not runs


def test_they_compile_without_having_run_before():
    patches = SimTokenPatches(tiny_config(SimTokenConfig).vision_config).eval()
    patches.compile(fullgraph=True, backend="eager")
    assert patches(torch.randn(1, 3, 56, 56)).shape == (1, 16, 32)
