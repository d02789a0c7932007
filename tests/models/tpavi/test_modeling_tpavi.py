import pytest
import torch
from tiny.configurations import tiny_config, tiny_pyramid_config

from lavseg import VggishModel
from lavseg.backbones.pyramids import build_pyramid
from lavseg.models.tpavi import TpaviConfig, TpaviModel, modeling_tpavi


def make_model(**fields):
    torch.manual_seed(0)
    model = TpaviModel(tiny_config(TpaviConfig, frame_size=64, **fields)).eval()
    for block in model.blocks.values():
        torch.nn.init.ones_(block.batch_norm.weight)
    return model


def make_inputs(frames=7):
    torch.manual_seed(1)
    return {"pixel_values": torch.randn(1, frames, 3, 64, 64), "audio_embeddings": torch.rand(1, frames, 32)}


@torch.no_grad()
def test_frames_are_mixed_in_groups_of_five():
    model, inputs = make_model(), make_inputs()
    masks = model(**inputs).pred_masks
    inputs["audio_embeddings"][:, 5] += 1
    changed = (model(**inputs).pred_masks - masks).abs().amax((-2, -1))[0, 0]
    assert (changed[:5] == 0).all() and (changed[5:] > 0).all()


@torch.no_grad()
def test_it_starts_without_sound_and_words(tokenizer):
    model, inputs = TpaviModel(tiny_config(TpaviConfig, len(tokenizer), use_text=True)).eval(), make_inputs(2)
    ids = torch.tensor([[[5, 6], [7, 8]]])
    masks = model(**inputs, input_ids=ids).pred_masks
    inputs["audio_embeddings"] += 1
    torch.testing.assert_close(model(**inputs, input_ids=ids.flip(1)).pred_masks, masks)


@torch.no_grad()
def test_a_stage_without_sound_keeps_its_maps():
    model, inputs = make_model(audio_stages=()), make_inputs(2)
    masks = model(**inputs).pred_masks
    inputs["audio_embeddings"] += 1
    assert torch.equal(model(**inputs).pred_masks, masks)
    assert set(model(**inputs, labels=torch.zeros(1, 2, 64, 64)).loss_dict) == {"bce"}


@torch.no_grad()
def test_edges_that_are_no_multiples_of_32_are_refused():
    model, inputs = make_model(), make_inputs(2)
    inputs["pixel_values"] = inputs["pixel_values"][..., :40]
    with pytest.raises(ValueError, match=r"^pixel_values: height and width have to be multiples of 32, got 64 x 40"):
        model(**inputs)


@torch.no_grad()
def test_the_regulariser_is_a_sum_over_labelled_frames_and_has_a_weight():
    model, inputs = make_model(), make_inputs(3)
    labels, first = torch.zeros(1, 3, 64, 64), torch.tensor([[True, False, False]])
    parts = [model(**inputs, labels=labels, label_mask=first.roll(shift, 1)).loss_dict["avm"] for shift in range(3)]
    torch.testing.assert_close(model(**inputs, labels=labels).loss_dict["avm"], sum(parts))
    model.set_loss_weights({"avm": 0.0})
    assert set(model(**inputs, labels=labels).loss_dict) == {"bce"}


def test_encoders_are_taken_over(tmp_path):
    config = tiny_config(TpaviConfig, vision_config=tiny_pyramid_config("resnet"))
    vision, audio = build_pyramid(config.vision_config), VggishModel(config.audio_config)
    vision.save_pretrained(tmp_path)
    model = TpaviModel.from_backbones(tmp_path, audio, hidden_size=32, fusion_size=16)
    for name, part in (("vision", vision), ("audio", audio)):
        state = model.backbones()[name].state_dict()
        assert all(torch.equal(state[key], value) for key, value in part.state_dict().items())
    with pytest.raises(ValueError, match=r"^audio: a VGGish checkpoint is needed"):
        TpaviModel.from_backbones(tmp_path)


def test_the_image_encoder_trains_and_vggish_does_not():
    model = make_model().train()
    assert all(parameter.requires_grad for parameter in model.vision.parameters()) and model.vision.training
    assert not any(parameter.requires_grad for parameter in model.audio_encoder.parameters())


@torch.no_grad()
def test_several_sentences_and_several_truths_of_a_clip_count_as_their_mean(tokenizer):
    labels = torch.rand(1, 2, 3, 64, 64, generator=torch.Generator().manual_seed(2)) > 0.5
    ids = torch.tensor([[[5, 6], [7, 8]]])
    for fields, said in (({}, {}), ({"vocab_size": len(tokenizer), "use_text": True}, {"input_ids": ids})):
        model, inputs = make_model(**fields), make_inputs(3)
        for words in model.words.values():
            torch.nn.init.normal_(words.attention.out_proj.weight)
        parts = [
            model(**inputs, **{name: value[:, of] for name, value in said.items()}, labels=labels[:, of]).loss_dict
            for of in (slice(0, 1), slice(1, 2))
        ]
        assert parts[0]["bce"] != parts[1]["bce"]
        for name, value in model(**inputs, **said, labels=labels).loss_dict.items():
            torch.testing.assert_close(value, (parts[0][name] + parts[1][name]) / 2)


@torch.no_grad()
def test_maps_of_the_frames_take_their_place():
    model, inputs = make_model(), make_inputs(3)
    embeddings = model.embed_frames(inputs["pixel_values"][0])
    assert [tuple(maps.shape) for maps in embeddings] == [(3, 32, edge, edge) for edge in (16, 8, 4, 2)]
    given = {"audio_embeddings": inputs["audio_embeddings"], "image_embeddings": [maps[None] for maps in embeddings]}
    torch.testing.assert_close(model(**given).pred_masks, model(**inputs).pred_masks)
    first = given["image_embeddings"][0]
    for wrong, message in (
        ([], "image_embeddings: have to be the 4 tensors of embed_frames, got 0"),
        ([first[..., :12], *given["image_embeddings"][1:]], r"image_embeddings\[0\]: has to be \[1, 3, 32, 16, 16\]"),
    ):
        with pytest.raises(ValueError, match=f"^{message}"):
            model(**{**given, "image_embeddings": wrong})
    with pytest.raises(ValueError, match=r"^pixel_values: image_embeddings was given, too"):
        model(**given, pixel_values=inputs["pixel_values"])


def test_masks_of_four_frames_are_made_at_a_time_with_the_same_gradient(monkeypatch):
    model, passes, found = make_model().double(), [], []
    inputs = {name: value.double() for name, value in make_inputs(7).items()}
    model.decoder.register_forward_pre_hook(lambda module, args: passes.append(len(args[0][0])))
    for _ in range(2):
        masks = model(**inputs).pred_masks
        found.append((masks, *torch.autograd.grad(masks.square().mean(), list(model.decoder.parameters()))))
        monkeypatch.setattr(modeling_tpavi, "FRAMES_PER_PASS", 7)
    assert passes == [4, 3, 7]
    for few, together in zip(*found, strict=True):
        torch.testing.assert_close(few, together)
