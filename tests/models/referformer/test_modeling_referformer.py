import pytest
import torch
from tiny.configurations import tiny_config, tiny_pyramid_config
from torch import nn
from transformers import RobertaModel

from lavseg.backbones.pyramids import build_pyramid
from lavseg.models.referformer import ReferFormerConfig, ReferFormerModel


def make_model(**fields):
    torch.manual_seed(0)
    model = ReferFormerModel(tiny_config(ReferFormerConfig, **fields)).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    return model


def inputs(frames=3, height=64, width=80):
    torch.manual_seed(1)
    ids = torch.tensor([[[5, 6, 7, 1], [8, 9, 1, 1]]])
    return {
        "pixel_values": torch.randn(1, frames, 3, height, width),
        "input_ids": ids,
        "attention_mask": (ids != 1).long(),
    }


@torch.no_grad()
def test_masks_of_the_chosen_track_at_a_quarter_of_any_size():
    model = make_model()
    outputs = model(**inputs(height=65, width=50), output_query_masks=True)
    assert outputs.pred_masks.shape == (1, 2, 3, 17, 13)
    assert outputs.query_masks.shape == (1, 2, 3, 3, 17, 13) and outputs.pred_boxes.shape == (1, 2, 3, 3, 4)
    chances = outputs.query_logits.sigmoid().mean(2)
    for sentence in range(2):
        query = chances[0, sentence].argmax()
        torch.testing.assert_close(
            outputs.pred_masks[0, sentence], outputs.query_masks[0, sentence, :, query], atol=1e-4, rtol=1e-4
        )
        assert torch.equal(outputs.object_score_logits[0, sentence], outputs.query_logits[0, sentence, :, query])
        torch.testing.assert_close(outputs.presence_logits[0, sentence].sigmoid(), chances[0, sentence].max())
    alone = model(**inputs(height=65, width=50))
    assert alone.query_masks is None
    torch.testing.assert_close(alone.pred_masks, outputs.pred_masks, atol=1e-4, rtol=1e-4)


@torch.no_grad()
def test_a_clip_with_padding_gives_masks_of_its_frames():
    model, given = make_model(), inputs()
    padded = nn.functional.pad(given["pixel_values"], (0, 16, 0, 32))
    mask = torch.zeros(1, 96, 96, dtype=torch.bool)
    mask[:, :64, :80] = True
    outputs = model(**{**given, "pixel_values": padded}, pixel_mask=mask, output_query_masks=True)
    query = outputs.query_logits.sigmoid().mean(2)[0, 0].argmax()
    real = outputs.query_masks[0, 0, :, query, :16, :20]
    expected = nn.functional.interpolate(real[None], (24, 24), mode="bilinear")[0]
    torch.testing.assert_close(outputs.pred_masks[0, 0], expected, atol=1e-4, rtol=1e-4)


@torch.no_grad()
def test_logits_and_boxes_of_a_frame_do_not_depend_on_others_but_masks_do():
    model, given = make_model(), inputs()
    outputs = model(**given, output_query_masks=True)
    less = model(**{**given, "pixel_values": given["pixel_values"][:, :2]}, output_query_masks=True)
    torch.testing.assert_close(less.query_logits, outputs.query_logits[:, :, :2], atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(less.pred_boxes, outputs.pred_boxes[:, :, :2], atol=1e-5, rtol=1e-5)
    assert (less.query_masks - outputs.query_masks[:, :, :2]).abs().max() > 1e-3


@torch.no_grad()
def test_a_frame_of_one_place_at_the_coarsest_stride_is_segmented_alone_as_in_a_clip():
    model, given = make_model(), inputs(frames=2, height=64, width=40)
    outputs = model(**given)
    first = model(**{**given, "pixel_values": given["pixel_values"][:, :1]})
    torch.testing.assert_close(first.query_logits, outputs.query_logits[:, :, :1], atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("kind", ["resnet", "swin"])
def test_it_starts_from_published_encoders(tmp_path, kind):
    source = make_model(vision_config=tiny_pyramid_config(kind))
    build_pyramid(source.config.vision_config, (kind,)).save_pretrained(tmp_path / "vision")
    source.text_encoder.save_pretrained(tmp_path / "text")
    fields = {"hidden_size": 32, "num_attention_heads": 2}
    model = ReferFormerModel.from_backbones(str(tmp_path / "vision"), str(tmp_path / "text"), **fields)
    assert isinstance(model.text_encoder, RobertaModel)
    saved = RobertaModel.from_pretrained(tmp_path / "text").state_dict()
    for name, value in model.text_encoder.state_dict().items():
        assert torch.equal(value, saved[name]), name
    frozen = {name for name, parameter in model.vision_encoder.named_parameters() if not parameter.requires_grad}
    first = ("embedder.", "encoder.stages.0.")
    assert frozen == {
        name for name, _ in model.vision_encoder.named_parameters() if kind == "resnet" and name.startswith(first)
    }
    assert not any(isinstance(part, nn.BatchNorm2d) for part in model.modules())
    with pytest.raises(ValueError, match=r"^vision: is a 'roberta', 'resnet' or 'swin' is needed"):
        ReferFormerModel.from_backbones(str(tmp_path / "text"), str(tmp_path / "text"))


def test_without_sound_it_takes_none():
    with pytest.raises(ValueError, match=r"^input_features: ReferFormerModel hears nothing without use_audio"):
        make_model()(**inputs(), input_features=torch.zeros(1, 3, 1, 96, 64))


@torch.no_grad()
def test_with_sound_it_starts_as_the_model_without():
    plain = make_model()
    torch.manual_seed(2)
    model = ReferFormerModel(tiny_config(ReferFormerConfig, use_audio=True)).eval()
    model.load_state_dict({**model.state_dict(), **plain.state_dict()})
    heard = torch.randn(1, 3, 1, 96, 64)
    expected, found = plain(**inputs()), model(**inputs(), input_features=heard)
    torch.testing.assert_close(found.pred_masks, expected.pred_masks, atol=1e-4, rtol=1e-4)
    # Each of the two ways in is heard once it is no longer zero.
    for layer in (model.sound.query, model.sound_fusion.attention.out_proj):
        layer.weight.normal_()
        changed = model(**inputs(), input_features=heard).query_logits
        assert (changed - found.query_logits).abs().max() > 1e-4
        layer.weight.zero_()


@torch.no_grad()
def test_what_was_made_of_frames_and_sentences_takes_their_place():
    model, given = make_model(), inputs(height=65)
    embeddings = model.embed_frames(given["pixel_values"][0])
    assert [tuple(each.shape[1:]) for each in embeddings[:2]] == [(32, 17, 20), (32, 9, 10)]
    assert embeddings[-1].tolist() == [[80, 65]] * 3
    made = {
        "image_embeddings": [each[None] for each in embeddings],
        "text_embeddings": model.embed_text(given["input_ids"], given["attention_mask"]),
        "attention_mask": given["attention_mask"],
    }
    torch.testing.assert_close(model(**made).pred_masks, model(**given).pred_masks, atol=1e-4, rtol=1e-4)
    labels = torch.zeros(1, 2, 3, 65, 80)
    labels[..., 10:30, 20:50] = 1
    torch.testing.assert_close(model(**made, labels=labels).loss, model(**given, labels=labels).loss)
    with pytest.raises(ValueError, match=r"^pixel_mask: goes with pixel_values"):
        model(**made, pixel_mask=torch.ones(1, 65, 80, dtype=torch.bool))
    with pytest.raises(ValueError, match=r"^image_embeddings: have to be the 6 tensors of embed_frames, got 1"):
        model(**{**made, "image_embeddings": made["image_embeddings"][:1]})
