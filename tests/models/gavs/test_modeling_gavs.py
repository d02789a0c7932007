import pytest
import torch
from tiny.configurations import nano_sam2_config, nano_sam_config, tiny_config
from torch import nn
from transformers import Sam2VideoModel, SamModel

import tiny_clips
from lavseg import VggishConfig, VggishModel
from lavseg.backbones.sam2.configuration_sam2 import hiera_sam2_config
from lavseg.models.gavs import GavsConfig, GavsModel
from lavseg.models.sama_avs import SamaAvsConfig, SamaAvsModel
from tiny_clips import away_from_zero

COVERED = (72, 128)


def make_model(seed=0, **overrides):
    torch.manual_seed(seed)
    return away_from_zero(GavsModel(tiny_config(GavsConfig, **overrides)))


def make_inputs(clips=1, frames=3):
    sizes = torch.tensor(COVERED).expand(clips, frames, 2)
    return tiny_clips.make_inputs(clips, frames) | {"reshaped_input_sizes": sizes}


def trained_parts(**overrides):
    with torch.device("meta"):
        model = GavsModel(GavsConfig(**overrides))
    counts = dict.fromkeys(("blocks", "decoder", "sentences", "text_projection", "audio_prompt", "norms"), 0)
    for name, parameter in model.named_parameters():
        if not parameter.requires_grad:
            continue
        part = "norms" if name.startswith("sam.") else name.split(".")[1]
        counts["sentences" if ".sentence." in name else part] += parameter.numel()
    return counts


def test_parameters_on_sam_at_the_defaults():
    counts = trained_parts()
    assert counts["blocks"] == 3 * 197_504 and counts["decoder"] == 2 * 65_920
    assert counts["audio_prompt"] == 197_376 and counts["norms"] == 4 * 2 * 768
    assert sum(counts.values()) == 927_872


@pytest.mark.parametrize(("size", "blocks", "total"), [("base_plus", 2_074_368, 2_433_152), ("large", 6_370_368, None)])
def test_parameters_on_sam2(size, blocks, total):
    counts = trained_parts(sam_config=hiera_sam2_config(size))
    assert counts["blocks"] == blocks and counts["decoder"] == 131_840 and counts["audio_prompt"] == 197_376
    if total is not None:
        assert counts["norms"] == 29_568 and sum(counts.values()) == total


def test_parameters_that_read():
    counts = trained_parts(sam_config=hiera_sam2_config("base_plus"), use_text=True)
    assert counts["sentences"] == (15 + 2) * 66_304 and counts["text_projection"] == 98_432


@torch.no_grad()
def test_a_decoder_without_adapters_and_the_sound_as_a_token_is_sam():
    model, inputs = make_model(), tiny_clips.make_inputs(frames=3)
    for adapter in (*model.adapters.blocks, *model.adapters.decoder):
        nn.init.zeros_(adapter.up.weight)
        nn.init.zeros_(adapter.up.bias)
    images = model.sam.get_image_embeddings(inputs["pixel_values"][0])
    token = model.adapters.audio_prompt(model.audio_encoder(inputs["input_features"]).embeddings[0, :, 0])
    masks, scores = model.sam.mask_decoder(
        image_embeddings=images,
        image_positional_embeddings=model.sam.get_image_wide_positional_embeddings(),
        sparse_prompt_embeddings=token[:, None],
        dense_prompt_embeddings=model.sam.prompt_encoder(None, None, None, None)[1],
        multimask_output=False,
    )
    output = model(**inputs)
    torch.testing.assert_close(output.pred_masks[0, 0], masks[:, 0, 0], atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(output.iou_scores[0, 0], scores[:, 0, 0], atol=1e-5, rtol=1e-4)


def test_embeddings_made_before_stand_in_for_frames_and_sound():
    model, inputs = make_model(), make_inputs()
    with torch.no_grad():
        audio = model.audio_encoder(inputs["input_features"]).embeddings[:, :, 0]
        images = model.encode(inputs["pixel_values"][0], audio[0])[None]
        given = {
            "image_embeddings": images,
            "audio_embeddings": audio,
            "reshaped_input_sizes": inputs["reshaped_input_sizes"],
        }
        torch.testing.assert_close(model(**given).pred_masks, model(**inputs).pred_masks)


@pytest.mark.parametrize("audio_noise", ["none", "add", "replace"])
@torch.no_grad()
def test_noise_on_the_sound_is_for_training(audio_noise):
    model = make_model(audio_noise=audio_noise)
    audio = torch.rand(2, 3, 32)
    assert torch.equal(model.with_noise(audio), audio)
    model.train()
    torch.manual_seed(0)
    change = torch.stack([model.with_noise(audio) for _ in range(200)])
    scale = audio.std(-1).mean().item()
    if audio_noise == "none":
        assert torch.equal(change[0], audio)
    elif audio_noise == "add":
        assert (change - audio).std().item() == pytest.approx(0.1 * scale, rel=0.1)
        torch.testing.assert_close(change.mean(0), audio, atol=0.03, rtol=0)
    else:
        assert change.std().item() == pytest.approx(scale, rel=0.1)
        assert change.mean(0).abs().max() < 0.1


@torch.no_grad()
def test_padded_frames_are_scored_without_their_padding():
    model, inputs = make_model(), make_inputs(clips=2)
    inputs["reshaped_input_sizes"] = torch.tensor([[[72, 128]] * 3, [[128, 72]] * 3])
    found = model(**inputs).pred_masks
    del inputs["reshaped_input_sizes"]
    raw = model(**inputs).pred_masks
    # 36 of 64 rows (columns) of the square show the frame: output row r lies at input row (r + 0.5) * 36 / 64 - 0.5.
    at = (torch.arange(32) + 0.5) * 36 / 64 - 0.5
    low, share = at.clamp(min=0).floor().long(), at.clamp(min=0).frac()
    mix = raw[..., low, :] * (1 - share)[:, None] + raw[..., low + 1, :] * share[:, None]
    torch.testing.assert_close(found[0], mix[0], atol=1e-4, rtol=1e-4)
    mix = raw[..., low] * (1 - share) + raw[..., low + 1] * share
    torch.testing.assert_close(found[1], mix[1], atol=1e-4, rtol=1e-4)


def test_sizes_of_padded_frames_are_checked():
    inputs = make_inputs()
    with pytest.raises(ValueError, match=r"reshaped_input_sizes: has to be \[1, 3, 2\] for 1 clips of 3 frames"):
        make_model()(**{**inputs, "reshaped_input_sizes": torch.tensor([COVERED])})
    with pytest.raises(ValueError, match="reshaped_input_sizes: SAM2 takes frames that fill the square"):
        make_model(sam_config=nano_sam2_config())(**inputs)
    with pytest.raises(ValueError, match="reshaped_input_sizes: this method was made for frames that fill the square"):
        SamaAvsModel(tiny_config(SamaAvsConfig))(**inputs)


@pytest.mark.parametrize("first", [-1, 3])
def test_the_first_adapted_block_has_to_be_one_of_the_hosts(first):
    with pytest.raises(ValueError, match=rf"first_adapted_block: {first} .* blocks 0 to 2"):
        GavsModel(tiny_config(GavsConfig, first_adapted_block=first))


@torch.no_grad()
def test_on_sam_each_sentence_is_read_on_every_frame():
    """With more frames than SAM encodes at a time, sound and padding of frames as without text."""
    model, clips = make_model(use_text=True, sam_config=nano_sam_config(128)), make_inputs(2, 3)
    ids = torch.randint(5, 300, (2, 2, 7), generator=torch.Generator().manual_seed(0))
    both = model(**clips, input_ids=ids).pred_masks
    for number in range(2):
        alone = model(**clips, input_ids=ids[:, number]).pred_masks[:, 0]
        torch.testing.assert_close(both[:, number], alone)
    assert not torch.allclose(both[:, 0], both[:, 1])
    first = model(**{name: value[1:, 2:] for name, value in clips.items()}, input_ids=ids[1:]).pred_masks
    torch.testing.assert_close(first[0, :, 0], both[1, :, 2], rtol=1e-4, atol=1e-4)


@torch.no_grad()
def test_from_published_encoders_vggish_has_no_final_relu_on_sam(tmp_path):
    vggish, patches = VggishModel(tiny_config(VggishConfig)), torch.randn(8, 1, 96, 64)
    for name, host in (("sam", SamModel(nano_sam_config())), ("sam2", Sam2VideoModel(nano_sam2_config()))):
        host.save_pretrained(tmp_path / name)
        model = GavsModel.from_backbones(str(tmp_path / name), vggish, first_adapted_block=1)
        assert model.config.audio_config.final_relu == (name == "sam2")
        assert (model.audio_encoder(patches).embeddings < 0).any() == (name == "sam")
    asked = {"first_adapted_block": 1, "audio_config": {"final_relu": True}}
    assert GavsModel.from_backbones(str(tmp_path / "sam"), vggish, **asked).config.audio_config.final_relu
    assert vggish.config.final_relu
