import pytest
import torch
import torch.nn.functional as F
from tiny.configurations import nano_mask2former_config, tiny_config

from lavseg.backbones.mask2former.modeling_mask2former import PromptedMask2Former
from lavseg.backbones.vggish import VggishConfig, VggishModel
from lavseg.models.stepping_stones import (
    SteppingStonesConfig,
    SteppingStonesForSemanticSegmentation,
    SteppingStonesModel,
)


def inputs_of(clips=1, frames=3):
    torch.manual_seed(1)
    return {
        "pixel_values": torch.randn(clips, frames, 3, 128, 128),
        "input_features": torch.randn(clips, frames, 1, 96, 64),
    }


def make_model(**fields):
    torch.manual_seed(0)
    return SteppingStonesModel(tiny_config(SteppingStonesConfig, **fields)).eval()


@torch.no_grad()
def test_masks_are_by_how_much_what_sounds_is_above_background():
    outputs = make_model()(**inputs_of())
    background, sounding = outputs.class_scores.unbind(1)
    assert outputs.pred_masks.shape == (1, 1, 3, 128, 128)
    assert torch.equal(outputs.pred_masks[:, 0], sounding - background)


@torch.no_grad()
def test_a_query_is_given_the_sound_as_far_as_its_place_is_like_it():
    model = make_model()
    sounds = torch.randn(2, 32)
    queries, heard = model.prompt(sounds), model.audio_projection(sounds)
    places = model.mask2former.query_places(torch.device("cpu"))
    start = model.mask2former.start_queries(torch.device("cpu"))
    for frame in range(2):
        for query in range(8):
            alike = F.cosine_similarity(places[query], heard[frame], dim=0)
            torch.testing.assert_close(queries[frame, query], start[query] + alike * heard[frame])


@torch.no_grad()
def test_frames_are_independent():
    model, inputs = make_model().double(), {name: value.double() for name, value in inputs_of().items()}
    whole = model(**inputs).pred_masks
    for frame in range(3):
        alone = {name: value[:, frame : frame + 1] for name, value in inputs.items()}
        torch.testing.assert_close(model(**alone).pred_masks, whole[:, :, frame : frame + 1], atol=1e-9, rtol=1e-9)
    maps = [each[None] for each in model.embed_frames(inputs["pixel_values"][0])]
    heard = model.embed_audio(inputs["input_features"])
    torch.testing.assert_close(model(image_embeddings=maps, audio_embeddings=heard).pred_masks, whole)


def test_what_trains_is_what_the_release_trains():
    def trained(model):
        return {name for name, parameter in model.named_parameters() if parameter.requires_grad}

    plain, adapted = trained(make_model(encoder_adapters=False)), trained(make_model())
    assert all(".adapter." in name and ".swin." in name for name in adapted - plain) and plain < adapted
    rest = {name for name in plain if ".adapter." not in name}
    decoder = "mask2former.model.transformer_module."
    assert rest == {
        *(f"audio_projection.{layer}.{kind}" for layer in (0, 2) for kind in ("weight", "bias")),
        *(f"mask2former.class_predictor.{kind}" for kind in ("weight", "bias")),
        *(f"{decoder}queries_{kind}.weight" for kind in ("embedder", "features")),
    }
    classes = SteppingStonesForSemanticSegmentation(tiny_config(SteppingStonesConfig, num_labels=5))
    assert f"{decoder}queries_features.weight" not in trained(classes)
    assert {f"prior.{kind}_embed" for kind in ("audio", "silence", "uncertain")} < trained(classes)


def test_blocks_of_the_frozen_encoder_drop_their_attention_with_one_probability_in_training_alone():
    model = make_model()
    rate = model.config.mask2former_config.backbone_config.drop_path_rate
    assert [block.drop_path.drop_prob for block in model.mask2former.blocks] == [rate] * 5 == [0.1] * 5
    for mode in (True, False):
        model.train(mode)
        assert {block.drop_path.training for block in model.mask2former.blocks} == {mode}
        assert not model.mask2former.training
    frames = inputs_of()["pixel_values"][0]
    model.train()
    assert not torch.equal(model.embed_frames(frames).mask_features, model.embed_frames(frames).mask_features)


def test_silence_teaches_unless_it_is_left_out():
    silent, labels = torch.zeros(1, 3, 40, 40), torch.zeros(1, 3, 40, 40)
    labels[:, :, :20] = 1
    assert make_model()(**inputs_of(), labels=silent).loss > 0
    model = make_model(learn_from_silence=False)
    loss = model(**inputs_of(), labels=silent).loss
    assert loss == 0 and loss.requires_grad and model(**inputs_of(), labels=labels).loss > 0


def test_it_starts_from_published_networks(tmp_path):
    torch.manual_seed(0)
    host = PromptedMask2Former(nano_mask2former_config())
    host.save_pretrained(tmp_path / "host")
    VggishModel(tiny_config(VggishConfig)).save_pretrained(tmp_path / "vggish")
    folders = {"mask2former": str(tmp_path / "host"), "audio": str(tmp_path / "vggish")}
    sizes = {"frame_size": 128, "projection_size": 32}
    given = host.state_dict()
    for queries in (8, 5):
        model = SteppingStonesModel.from_backbones(**folders, **sizes, num_queries=queries)
        state = model.mask2former.state_dict()
        same = state["model.transformer_module.queries_features.weight"].shape[0] == 8
        assert same == (queries == 8) and not model.config.audio_config.final_relu
        kept = [name for name in given if name in state and ("queries_" not in name or same)]
        assert len(kept) > 100 and all(torch.equal(state[name], given[name]) for name in kept)
        first = "model.pixel_level_module.encoder.swin.encoder.layers.0.blocks.0.mlp.fc2"
        assert torch.equal(state[f"{first}.projection.weight"], given[f"{first}.weight"])
    whole = SteppingStonesModel.from_backbones(**folders, **sizes, audio_config=tiny_config(VggishConfig))
    assert whole.config.audio_config.final_relu
    classes = SteppingStonesForSemanticSegmentation.from_backbones(**folders, **sizes, num_labels=4, num_queries=8)
    assert classes.mask2former.class_predictor.weight.shape == (5, 32)


def test_new_weights_start_as_released():
    model = make_model(num_queries=30, adapter_ratio=1)
    deviations = {
        "decoder": model.mask2former.decoder_layers[0].self_attn.out_proj.adapter[0],
        "pixels": model.mask2former.model.pixel_level_module.decoder.encoder.layers[0].self_attn.output_proj.adapter[0],
    }
    assert deviations["decoder"].weight.std().item() == pytest.approx(0.177, rel=0.15)
    assert deviations["pixels"].weight.std().item() == pytest.approx(0.02, rel=0.15)
    assert model.mask2former.model.transformer_module.queries_features.weight.std().item() == pytest.approx(1, rel=0.15)
    assert model.mask2former.class_predictor.bias.any()


def test_what_it_cannot_do_is_refused():
    with pytest.raises(ValueError, match=r"^num_labels: SteppingStonesModel .* got 5; SteppingStonesForSemantic"):
        make_model(num_labels=5)
    with pytest.raises(ValueError, match=r"^prior_masks: SteppingStonesModel is a first stage itself"):
        make_model()(**inputs_of(), prior_masks=torch.zeros(1, 3, 8, 8))
    with pytest.raises(ValueError, match=r"^pixel_values: has to be \[1, 3, 3, 128, 128\]"):
        make_model()(**{**inputs_of(), "pixel_values": torch.zeros(1, 3, 3, 64, 64)})
