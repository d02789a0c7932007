import pytest
import torch
from tiny.configurations import tiny_config
from transformers import AutoModel

from lavseg.backbones.mask2former.modeling_mask2former import PromptedMask2Former
from lavseg.backbones.vggish import VggishConfig, VggishModel
from lavseg.models.eemc import EemcConfig, EemcModel

# Maps of the pixel decoder for frames of 128 x 128.
LEVELS = (32, 4, 4), (32, 8, 8), (32, 16, 16)


def inputs_of(clips=2, frames=2, sentences=3):
    torch.manual_seed(1)
    return {
        "pixel_values": torch.randn(clips, frames, 3, 128, 128),
        "input_features": torch.randn(clips, frames, 1, 96, 64),
        "input_ids": torch.randint(0, 400, (clips, sentences, 5)),
    }


@pytest.fixture
def model():
    torch.manual_seed(0)
    return EemcModel(tiny_config(EemcConfig)).eval()


@torch.no_grad()
def test_frames_are_encoded_once_whatever_the_number_of_sentences(model):
    seen = []
    model.mask2former.register_forward_hook(lambda module, args, output: seen.append(len(args[0])))
    assert model(**inputs_of()).pred_masks.shape == (2, 3, 2, 32, 32)
    assert seen == [2, 2]


@torch.no_grad()
def test_maps_of_the_frames_and_states_of_the_words_take_their_place(model):
    model, inputs = model.double(), inputs_of(clips=1)
    inputs["pixel_values"] = inputs["pixel_values"].double()
    maps = model.embed_frames(inputs["pixel_values"][0])
    assert [tuple(each.shape) for each in maps] == [(2, *shape) for shape in ((64, 4, 4), *LEVELS, (32, 32, 32))]
    given = {
        "image_embeddings": [each[None] for each in maps],
        "text_embeddings": model.embed_text(inputs["input_ids"]),
        "input_features": inputs["input_features"],
    }
    torch.testing.assert_close(model(**given).pred_masks, model(**inputs).pred_masks)
    coarsest, *others = given["image_embeddings"]
    for wrong, message in (
        ([coarsest], "image_embeddings: have to be the 5 tensors of embed_frames, got 1"),
        ([coarsest[..., :2], *others], r"image_embeddings\[0\]: has to be \[1, 2, 64, 4, 4\]"),
    ):
        with pytest.raises(ValueError, match=f"^{message}"):
            model(**{**given, "image_embeddings": wrong})
    with pytest.raises(ValueError, match=r"^pixel_values: image_embeddings was given, too"):
        model(**given, pixel_values=inputs["pixel_values"])


@torch.no_grad()
def test_across_clips_a_batch_is_one_and_needs_clips_of_one_length(model):
    inputs, alone = inputs_of(), model(**inputs_of()).pred_masks
    model.config.across_clips = True
    assert not torch.allclose(model(**inputs).pred_masks, alone)
    single = {name: value[:1, :1] if name == "input_ids" else value[:1] for name, value in inputs.items()}
    torch.testing.assert_close(model(**single).pred_masks, alone[:1, :1], atol=1e-4, rtol=1e-4)
    mask = torch.tensor([[True, True], [True, False]])
    with pytest.raises(ValueError, match=r"^pixel_values: under across_clips .* got 2 and 2, 1 and 2$"):
        model(**inputs, frame_mask=mask)


def test_the_loss_of_the_paper_has_a_second_term(model):
    labels = torch.zeros(2, 3, 2, 40, 40)
    assert model(**inputs_of(), labels=labels).loss_dict.keys() == {"bce"}
    model.set_loss_weights({"bce": 5.0, "dice": 5.0})
    assert model(**inputs_of(), labels=labels).loss_dict.keys() == {"bce", "dice"}
    assert model.to(torch.bfloat16)(**inputs_of(), labels=labels).loss.dtype == torch.float32


def test_it_starts_from_published_networks(tmp_path):
    config = tiny_config(EemcConfig)
    torch.manual_seed(0)
    parts = {
        "mask2former": PromptedMask2Former(config.mask2former_config),
        "text": AutoModel.from_config(config.text_config),
        "audio": VggishModel(tiny_config(VggishConfig)),
    }
    for name, part in parts.items():
        part.save_pretrained(tmp_path / name)
    folders = {name: str(tmp_path / name) for name in parts}
    sizes = {"frame_size": 128, "num_attention_heads": 4, "intermediate_size": 32, "adapter_size": 8}
    model = EemcModel.from_backbones(**folders, **sizes)
    assert not model.config.audio_config.final_relu and len(model.mask2former.adapters()) == 1
    whole = EemcModel.from_backbones(**folders, **sizes, audio_config=tiny_config(VggishConfig))
    assert whole.config.audio_config.final_relu
    state = model.mask2former.state_dict()
    assert all(torch.equal(state[name], value) for name, value in parts["mask2former"].state_dict().items())
    deviation = model.mask2former.adapters()[0][0].weight.std().item()
    assert deviation == pytest.approx(0.02, rel=0.3)
    with pytest.raises(ValueError, match=r"^mask2former: .* is a 'roberta' checkpoint, 'mask2former' is needed"):
        EemcModel.from_backbones(**{**folders, "mask2former": folders["text"]})


def test_the_paper_trains_its_attentions_and_the_release_does_not():
    for behavior, trains in (("release", False), ("paper", True)):
        model = EemcModel(tiny_config(EemcConfig, behavior=behavior))
        assert {p.requires_grad for part in model.fusion.attentions() for p in part.parameters()} == {trains}


def test_blocks_of_the_frozen_encoder_drop_their_attention_with_one_probability_in_training_alone(model):
    rate = model.config.mask2former_config.backbone_config.drop_path_rate
    assert {block.drop_path.drop_prob for block in model.mask2former.blocks} == {rate} == {0.1}
    frames = inputs_of(clips=1, frames=8)["pixel_values"][0]
    for mode in (True, False):
        model.train(mode)
        assert not model.mask2former.training and not model.text_encoder.training
        maps = [model.embed_frames(frames).encoder_map for _ in range(2)]
        assert torch.equal(*maps) != mode


def test_checkpointing_runs_the_layers_of_the_decoder_again(model):
    labels = torch.zeros(2, 3, 2, 40, 40)
    model.gradient_checkpointing_enable()
    model.train()
    calls = []
    for layer in model.mask2former.decoder_layers:
        layer.fc1.register_forward_hook(lambda *_: calls.append(1))
    loss = model(**inputs_of(), labels=labels).loss
    forward = len(calls)
    loss.backward()
    assert len(calls) == 2 * forward and not model.mask2former.training
