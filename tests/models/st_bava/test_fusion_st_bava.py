import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny.configurations import tiny_config
from torch import nn

from lavseg.backbones.sam.configuration_sam import vit_sam_config
from lavseg.models.st_bava import StBavaConfig
from lavseg.models.st_bava.fusion_st_bava import CmranFusion, HanFusion, JcaFusion, TpaviFusion

WIDTH = 32
MODULES = [TpaviFusion, HanFusion, CmranFusion, JcaFusion]


def make_module(kind, seed=0, **overrides):
    torch.manual_seed(seed)
    config = tiny_config(StBavaConfig, **overrides)
    config._attn_implementation = "sdpa"  # eager attention computes its softmax in single precision
    module = kind(config).double().eval()
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return module


def make_inputs(clips=2, frames=5, positions=6):
    shape = (clips, frames, positions, WIDTH)
    vision, audio = torch.randn(shape).double(), torch.randn((*shape[:2], WIDTH)).double()
    return vision, audio, torch.randn(positions, WIDTH).double(), torch.ones(clips, frames, dtype=torch.bool)


def count(module):
    return sum(parameter.numel() for parameter in module.parameters())


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        (TpaviFusion, 165_760 - 33_024),  # the linear layer that aligns the sound is shared by all fusions
        (HanFusion, 658_944),
        (CmranFusion, 6 * 1_315_072 + 8 * 65_792 + 256 + 263_168 + 512),
        (JcaFusion, 2 * (25 + 512 * 32 + 5 * 32 + 32 * 5)),
    ],
)
def test_sizes_at_sams_width(kind, expected):
    assert count(kind(StBavaConfig(sam_config=vit_sam_config("huge")))) == expected


@given(
    clips=st.integers(1, 3),
    frames=st.integers(1, 4),
    positions=st.integers(1, 5),
    lengths=st.lists(st.integers(1, 4), min_size=3, max_size=3),
    seed=st.integers(0, 9),
)
@settings(max_examples=25, deadline=None)
@torch.no_grad()
def test_tpavi_equals_the_form_that_makes_the_whole_map(clips, frames, positions, lengths, seed):
    module = make_module(TpaviFusion, seed)
    vision, audio, code, _ = make_inputs(clips, frames, positions)
    lengths = [min(length, frames) for length in lengths[:clips]]
    mask = torch.arange(frames) < torch.tensor(lengths)[:, None]
    fused = module(vision, audio, code, mask)
    assert torch.equal(fused.audio, audio)
    for clip, length in enumerate(lengths):
        tokens = vision[clip, :length].flatten(0, 1)
        sounds = audio[clip, :length].repeat_interleave(positions, dim=0)
        agreement = module.query(tokens) @ module.key(sounds).T / len(tokens)
        update = module.norm_output(module.output(agreement @ module.value(tokens)))
        expected = module.norm(update + tokens).unflatten(0, (length, positions))
        torch.testing.assert_close(fused.vision[clip, :length], expected, atol=1e-12, rtol=0)


def test_padding_frames_stay_out_of_tpavis_statistics():
    vision, audio, code, mask = make_inputs()
    mask[1, 3:] = False
    running = []
    for scale in (1, 100):
        module = make_module(TpaviFusion).train()
        module(vision.where(mask[:, :, None, None], scale * vision), audio, code, mask)
        running.append(module.norm_output.running_var.clone())
    assert torch.equal(*running)


@torch.no_grad()
def test_han_adds_attention_within_and_across_with_one_set_of_weights():
    module, (vision, audio, code, mask) = make_module(HanFusion), make_inputs()
    frames = vision.mean(2)

    def layer(query, other):
        across, within = (
            nn.MultiheadAttention.forward(attention, query, memory, memory)[0]
            for attention, memory in ((module.across, other), (module.within, query))
        )
        query = module.norm1(query + across + within)
        return module.norm2(query + module.linear2(module.linear1(query).relu()))

    fused = module(vision, audio, code, mask)
    torch.testing.assert_close(fused.audio, layer(audio, frames), atol=1e-10, rtol=0)
    torch.testing.assert_close(fused.vision, vision + layer(frames, audio)[:, :, None], atol=1e-10, rtol=0)


@torch.no_grad()
def test_jca_follows_its_formulas():
    module, (vision, audio, code, mask) = make_module(JcaFusion), make_inputs(clips=1)
    frames = vision.mean(2)
    joint = torch.cat([audio, frames], -1)[0]
    for branch, tokens in ((module.audio, audio[0]), (module.vision, frames[0])):
        correlation = torch.tanh(tokens.T @ (branch.joint.weight @ joint) / (2 * WIDTH) ** 0.5)
        hidden = (correlation @ branch.correlation.weight.T + tokens.T @ branch.input.weight.T).relu()
        expected = (hidden @ branch.output.weight.T).T + tokens
        torch.testing.assert_close(branch(tokens[None], joint[None])[0], expected, atol=1e-12, rtol=0)
    fused = module(vision, audio, code, mask)
    torch.testing.assert_close(fused.vision - vision, module.vision(frames, joint[None])[:, :, None].expand_as(vision))


@pytest.mark.parametrize(("frames", "padded"), [(4, False), (5, True)])
def test_jca_refuses_clips_it_has_no_weights_for(frames, padded):
    module, (vision, audio, code, mask) = make_module(JcaFusion), make_inputs(frames=frames)
    if padded:
        mask[1, 3:] = False
    with pytest.raises(ValueError, match=r"exactly 5 frames.*jca_num_frames"):
        module(vision, audio, code, mask)


@torch.no_grad()
def test_cmran_gates_channels_and_relates_along_time():
    module, (vision, audio, _code, mask) = make_module(CmranFusion), make_inputs()
    gate = module._gate_channels(vision, audio) / vision
    assert ((gate > 1) & (gate < 2)).all()
    torch.testing.assert_close(gate, gate[:, :, :1].expand_as(gate))
    picked = module._pick_positions(vision, audio)
    assert (picked <= vision.amax(2)).all() and (picked >= vision.amin(2)).all()
    # With attention and feed-forward silenced, a relation layer is two norms.
    relation = module.audio_relation
    for part in (relation.attention.out_proj, relation.linear2):
        nn.init.zeros_(part.weight)
        nn.init.zeros_(part.bias)
    torch.testing.assert_close(relation(audio, audio, mask), relation.norm2(relation.norm1(audio)))


@pytest.mark.parametrize("kind", MODULES)
@torch.no_grad()
def test_both_outputs_listen_to_both_inputs_except_tpavis_sound(kind):
    module, (vision, audio, code, mask) = make_module(kind), make_inputs()
    base = module(vision, audio, code, mask)
    louder, brighter = module(vision, 2 * audio, code, mask), module(vision + 1, audio, code, mask)
    assert (louder.vision - base.vision).abs().max() > 1e-3
    assert ((brighter.audio - base.audio).abs().max() > 1e-3) == (kind is not TpaviFusion)
    assert not base.attentions
    assert base.vision.shape == vision.shape and base.audio.shape == audio.shape
