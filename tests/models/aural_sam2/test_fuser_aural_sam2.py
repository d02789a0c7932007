import pytest
import torch
from tiny.configurations import tiny_config

from lavseg.models.aural_sam2 import AuralSam2Config
from lavseg.models.aural_sam2.fuser_aural_sam2 import AuralSam2CrossFusion, AuralSam2Fuser

BEHAVIORS = ["release", "paper"]


def plain_cross_fusion(fusion, frames, tokens, as_released):
    """The two attentions of one clip, `frames [T, P, C]` and `tokens [M, C]`, written out with their maps."""
    num_frames, positions, _ = frames.shape
    query_key_value = [layer(frames) for layer in (fusion.frame_query, fusion.frame_key, fusion.frame_value)]
    query, key, value = (layer(tokens) for layer in (fusion.token_query, fusion.token_key, fusion.token_value))
    if as_released:
        size = query.shape[-1]
        of = [part.transpose(1, 2).contiguous().view(num_frames * positions, size) for part in query_key_value]
        of_frames = (of[0] @ key.T / (num_frames * positions)) @ value
        of_tokens = (query @ of[1].T / (num_frames * positions)) @ of[2]
        of_frames = of_frames.T.contiguous().view(num_frames, size, positions).transpose(1, 2)
        return of_frames, of_tokens.T.contiguous().view(-1, size)
    of = [part.flatten(0, 1) for part in query_key_value]
    scale = query.shape[-1] ** -0.5
    of_frames = (of[0] @ key.T * scale).softmax(-1) @ value
    of_tokens = (query @ of[1].T * scale).softmax(-1) @ of[2]
    return of_frames.view(num_frames, positions, -1), of_tokens


@pytest.mark.parametrize("behavior", BEHAVIORS)
@torch.no_grad()
def test_cross_fusion_equals_the_formula_with_maps_of_positions_by_tokens(behavior):
    torch.manual_seed(0)
    fusion = AuralSam2CrossFusion(tiny_config(AuralSam2Config, behavior=behavior)).eval()
    frames, tokens = torch.randn(2, 3, 16, 128), torch.randn(2, 7, 128)
    found = fusion(frames, tokens, None)
    for clip in range(2):
        aligned = fusion.align(tokens[clip])
        of_frames, of_tokens = plain_cross_fusion(fusion, frames[clip], aligned, behavior == "release")
        term = fusion.frame_batch_norm(fusion.frame_output(of_frames))
        torch.testing.assert_close(found.frames[clip], fusion.frame_norm(frames[clip] + term), atol=1e-5, rtol=0)
        term = fusion.token_batch_norm(fusion.token_output(of_tokens))
        torch.testing.assert_close(found.tokens[clip], fusion.token_norm(aligned + term), atol=1e-5, rtol=0)


@torch.no_grad()
def test_cross_fusion_keeps_its_precision_for_ten_frames_at_1024():
    """Sums over all 40,960 positions, with weights that keep the variance, against the maps in float64."""
    torch.manual_seed(0)
    fusion = AuralSam2CrossFusion(AuralSam2Config(behavior="release")).eval()
    for parameter in fusion.parameters():
        if parameter.dim() == 2:
            torch.nn.init.normal_(parameter, std=parameter.shape[1] ** -0.5)
    frames, tokens = torch.randn(1, 10, 4096, 256), torch.randn(1, 35, 256)
    found = fusion._without_softmax(frames, tokens)
    fusion.double()
    expected = plain_cross_fusion(fusion, frames[0].double(), tokens[0].double(), as_released=True)
    for ours, exact in zip(found, expected, strict=True):
        torch.testing.assert_close(ours[0].double(), exact, atol=2e-6, rtol=1e-4)


def make_fuser(**overrides):
    torch.manual_seed(0)
    return AuralSam2Fuser(tiny_config(AuralSam2Config, **overrides)).eval()


def make_inputs(fuser, clips=2, frames=3, sentences=2):
    maps = [torch.randn(clips * frames, 128, edge, edge) for edge in (32, 16, 8)]
    patches = [level.unflatten(0, (clips, frames)) for level in fuser.embed_patches(tuple(maps))]
    text = torch.randn(clips, sentences, 6, fuser.config.text_config.hidden_size)
    return {"patches": patches, "audio": torch.randn(clips, frames, 128), "text": text}


@pytest.mark.parametrize("levels", [(1, 2, 3), (2, 3), (3,)])
@torch.no_grad()
def test_every_level_has_features_at_stride_16_for_each_clip_and_sentence(levels):
    fuser = make_fuser(pyramid_levels=levels)
    fused = fuser(**make_inputs(fuser))
    assert len(fused) == len(levels)
    for level in fused:
        assert level.frames.shape == level.frame_attention.shape == (4, 3, 64, 128)
        assert level.tokens.shape == (4, 3 + 6, 128)


@pytest.mark.parametrize("behavior", BEHAVIORS)
@torch.no_grad()
def test_padded_words_are_hidden_in_the_paper_alone(behavior):
    fuser = make_fuser(behavior=behavior)
    inputs = make_inputs(fuser) | {"text_mask": (torch.arange(6) < 4).expand(2, 2, 6)}
    before = fuser(**inputs)[-1].frames
    inputs["text"][:, :, 4:] += 3
    assert torch.equal(fuser(**inputs)[-1].frames, before) == (behavior == "paper")


@pytest.mark.parametrize(("behavior", "axis"), [("release", 2), ("paper", 3)])
@torch.no_grad()
def test_contrastive_features_have_unit_length(behavior, axis):
    fuser = make_fuser(behavior=behavior)
    frames, sounds = fuser.contrastive_features(fuser(**make_inputs(fuser))[0], num_frames=3)
    assert frames.shape[:3] == (4, 3, 64) and sounds.shape == (4, 3, frames.shape[-1])
    torch.testing.assert_close(sounds.norm(dim=-1), torch.ones(4, 3))
    lengths = frames.norm(dim=axis)
    torch.testing.assert_close(lengths, torch.ones_like(lengths))
