import pytest
import torch
from tiny.configurations import tiny_config
from torch import nn

from lavseg.backbones.pyramids.configuration_pyramids import resnet50_config
from lavseg.backbones.vggish import VggishConfig, VggishModel
from lavseg.models.avsegformer import AvsegFormerConfig, AvsegFormerForSemanticSegmentation, AvsegFormerModel
from lavseg.models.avsegformer.layers_avsegformer import DeformableAttention


def make_model(**fields):
    torch.manual_seed(0)
    return AvsegFormerModel(tiny_config(AvsegFormerConfig, **fields)).eval()


def clip(frames=3, edge=64):
    return {"pixel_values": torch.randn(1, frames, 3, edge, edge), "input_features": torch.randn(1, frames, 1, 96, 64)}


# Of the release, less its two parts without use and the second branch of its ResNet.
@pytest.mark.parametrize(
    ("model_class", "fields", "count"),
    [
        (AvsegFormerModel, {}, 186_053_504 - 1_770_240 - 331_968),
        (AvsegFormerForSemanticSegmentation, {"num_labels": 71}, 186_057_984 - 1_770_240 - 334_208),
        (
            AvsegFormerModel,
            {"vision_config": resnet50_config()},
            150_902_528 - 1_770_240 - 331_968 - (45_571_136 - 23_508_032),
        ),
    ],
    ids=["masks", "classes", "resnet"],
)
def test_it_has_as_many_parameters_as_the_release(model_class, fields, count):
    with torch.device("meta"):
        model = model_class(AvsegFormerConfig(**fields))
    assert sum(parameter.numel() for parameter in model.parameters()) == count


@torch.no_grad()
def test_frames_are_segmented_by_themselves_also_a_single_one():
    model, inputs = make_model(), clip()
    masks = model(**inputs).pred_masks
    assert masks.shape == (1, 1, 3, 64, 64)
    for frame in range(3):
        alone = model(**{name: value[:, frame : frame + 1] for name, value in inputs.items()}).pred_masks
        torch.testing.assert_close(alone[:, :, 0], masks[:, :, frame], atol=1e-5, rtol=1e-4)


@torch.no_grad()
def test_frames_need_not_be_square_but_fit_the_coarsest_map():
    model, inputs = make_model(), clip()
    wide = {**inputs, "pixel_values": torch.randn(1, 3, 3, 64, 96)}
    assert model(**wide).pred_masks.shape == (1, 1, 3, 64, 96)
    with pytest.raises(ValueError, match=r"^pixel_values: .* multiples of 32, got 64 x 80"):
        model(**{**inputs, "pixel_values": torch.randn(1, 3, 3, 64, 80)})


@torch.no_grad()
def test_what_was_made_of_frames_sounds_and_sentences_takes_their_place():
    model, inputs = make_model(use_text=True), clip()
    ids = {
        "input_ids": torch.tensor([[[5, 6, 7], [8, 9, 1]]]),
        "attention_mask": torch.tensor([[[1, 1, 1], [1, 1, 0]]]),
    }
    embeddings = model.embed_frames(inputs["pixel_values"][0])
    assert [tuple(each.shape) for each in embeddings] == [(3, 8 * 8 + 4 * 4 + 2 * 2, 64), (3, 64, 16, 16)]
    given = {
        "image_embeddings": [each[None] for each in embeddings],
        "audio_embeddings": model.embed_audio(inputs["input_features"]),
        "text_embeddings": model.embed_text(**ids),
        "attention_mask": ids["attention_mask"],
    }
    torch.testing.assert_close(model(**given).pred_masks, model(**inputs, **ids).pred_masks)
    with pytest.raises(ValueError, match=r"^image_embeddings: have to be the 2 tensors of embed_frames, got 1"):
        model(**{**given, "image_embeddings": given["image_embeddings"][:1]})
    with pytest.raises(ValueError, match=r"^pixel_values: image_embeddings was given, too"):
        model(**given, pixel_values=inputs["pixel_values"])


def test_an_empty_mask_teaches_nothing_as_published_and_something_with_cross_entropy():
    model, inputs = make_model(), {**clip(), "labels": torch.zeros(1, 3, 64, 64)}
    weight = model.mask_decoder.predictor[-1].weight
    published = model(**inputs)
    assert published.loss_dict.keys() == {"dice", "mix_dice"}
    assert published.loss.item() == pytest.approx(1.1)
    assert torch.autograd.grad(published.loss, weight)[0].abs().max() < 1e-7
    model.set_loss_weights({"bce": 1.0})
    assert torch.autograd.grad(model(**inputs).loss, weight)[0].abs().max() > 1e-4


@torch.no_grad()
def test_a_sentence_is_read_beside_the_sound():
    model, inputs = make_model(use_text=True), clip()
    assert not model.sentence.mean.weight.any()
    ids, mask = torch.tensor([[[5, 6, 7, 1], [8, 9, 1, 1]]]), torch.tensor([[[1, 1, 1, 0], [1, 1, 0, 0]]])
    both = model(**inputs, input_ids=ids, attention_mask=mask).pred_masks
    assert both.shape == (1, 2, 3, 64, 64) and (both[:, 0] - both[:, 1]).abs().max() > 1e-6
    shorter = model(**inputs, input_ids=ids[:, 1:, :2], attention_mask=mask[:, 1:, :2]).pred_masks
    torch.testing.assert_close(shorter[:, 0], both[:, 1], atol=1e-5, rtol=1e-4)


def test_the_deformable_attention_starts_by_looking_around():
    attention = next(part for part in make_model().modules() if isinstance(part, DeformableAttention))
    offsets = attention.sampling_offsets.bias.view(4, 3, 4, 2)
    assert not attention.sampling_offsets.weight.any() and not attention.attention_weights.weight.any()
    torch.testing.assert_close(offsets[1, 2], torch.tensor([[0.0, 1], [0, 2], [0, 3], [0, 4]]), atol=1e-6, rtol=0)


def test_it_starts_from_published_encoders(tmp_path):
    source = make_model()
    source.vision_encoder.save_pretrained(tmp_path)
    sizes = tiny_config(AvsegFormerConfig).to_dict()
    fields = {name: sizes[name] for name in ("hidden_size", "num_attention_heads", "num_queries", "frame_size")}
    heard = VggishModel(tiny_config(VggishConfig))
    model = AvsegFormerModel.from_backbones(str(tmp_path), heard, **fields)
    for name, value in source.vision_encoder.state_dict().items():
        assert torch.equal(model.vision_encoder.state_dict()[name], value), name
    assert isinstance(model.audio_projection, nn.Linear) and not any(
        parameter.requires_grad for parameter in model.audio_encoder.parameters()
    )
    with pytest.raises(ValueError, match=r"^audio: "):
        AvsegFormerModel.from_backbones(str(tmp_path))
