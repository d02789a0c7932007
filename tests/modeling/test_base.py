import json
import math
from inspect import signature

import pytest
import torch
from peft import LoraConfig, get_peft_model
from tiny.configurations import nano_sam2_config, tiny_config
from transformers import AutoModel

from conftest import ROOT
from hub_stand_in import empty_cache
from lavseg.backbones.vggish import VggishConfig, VggishModel
from lavseg.modeling.remote_code import AUTO_MAP, STUB
from lavseg.models.aural_sam2 import AuralSam2Config, AuralSam2ForSemanticSegmentation
from lavseg.models.sama_avs import SamaAvsConfig, SamaAvsModel
from lavseg.models.st_bava import StBavaConfig, StBavaModel
from tiny_methods import EVERY_METHOD, damage_weights, method_named, sound_for, texts_for, tiny_method


@pytest.mark.parametrize("classes", EVERY_METHOD)
@pytest.mark.parametrize("value", [math.nan, -math.inf])
def test_weights_that_are_not_finite_are_refused_by_name(classes, value, tokenizer, tmp_path):
    model, _ = tiny_method(classes, tokenizer)
    model.save_pretrained(tmp_path)
    AutoModel.from_pretrained(tmp_path)
    name = damage_weights(tmp_path, value)
    with pytest.raises(ValueError, match=f"^{name} of {type(model).__name__} holds NaN or infinite values"):
        AutoModel.from_pretrained(tmp_path)


def test_so_are_those_of_a_sound_encoder(tmp_path):
    VggishModel(tiny_config(VggishConfig, postprocess=True)).save_pretrained(tmp_path)
    name = damage_weights(tmp_path, math.inf)
    with pytest.raises(ValueError, match=f"^{name} of VggishModel holds NaN or infinite values"):
        VggishModel.from_pretrained(tmp_path)


@pytest.mark.parametrize("classes", EVERY_METHOD)
def test_encoders_that_are_not_finite_are_refused(classes, tokenizer):
    model, _ = tiny_method(classes, tokenizer)
    parts = model.backbones()
    part = next(iter(parts.values()))
    torch.nn.init.constant_(next(part.parameters()), math.nan)
    with pytest.raises(ValueError, match=f"of {type(part).__name__} holds NaN or infinite values"):
        model.load_backbones(parts)


@torch.no_grad()
@pytest.mark.parametrize("classes", EVERY_METHOD)
def test_every_term_of_the_loss_has_a_weight(classes, tokenizer):
    model, processor = tiny_method(classes, tokenizer)
    frames, labels = torch.zeros(2, 40, 56, 3, dtype=torch.uint8), torch.zeros(1, 2, 40, 56)
    labels[..., 10:30, 20:40] = 1
    inputs = processor(frames, text=texts_for(processor) or None, **sound_for(processor, torch.zeros(32000)))
    found = []
    for factor in (1, 2):
        model.set_loss_weights(
            {term: factor * weight for term, weight in model.default_loss_weights.items() if term in model.loss_weights}
        )
        torch.manual_seed(0)
        found.append(model(**inputs, labels=labels))
    assert {term for term, weight in model.loss_weights.items() if weight} == found[0].loss_dict.keys()
    for term, value in found[0].loss_dict.items():
        torch.testing.assert_close(found[1].loss_dict[term], 2 * value, msg=term)
    torch.testing.assert_close(found[1].loss, sum(found[1].loss_dict.values()))
    assert type(model).default_loss_weights.keys() >= model.loss_weights.keys()


def test_wrong_loss_weights_are_refused(tokenizer):
    model, _ = tiny_method(method_named("aural_sam2"), tokenizer)
    before = dict(model.loss_weights)
    with pytest.raises(ValueError, match=r"^loss_weights, of focal, .*: unknown key 'focl'; did you mean 'focal'"):
        model.set_loss_weights({"dice": 0.5, "focl": 1.0})
    for weight in (-1, math.nan, math.inf, "1", None):
        with pytest.raises(ValueError, match=r"^loss_weights: dice has to be a finite number of at least 0, got"):
            model.set_loss_weights({"focal": 0.5, "dice": weight})
    assert model.loss_weights == before


@torch.no_grad()
@pytest.mark.parametrize("classes", EVERY_METHOD)
def test_no_mask_is_made_of_inputs_that_are_not_finite(classes, tokenizer):
    model, processor = tiny_method(classes, tokenizer)
    frames = torch.zeros(2, 40, 56, 3, dtype=torch.uint8)
    inputs = processor(frames, text=texts_for(processor) or None, **sound_for(processor, torch.zeros(32000)))
    size = inputs["original_sizes"]
    processor.post_process_masks(model(**inputs).pred_masks, size)
    inputs["pixel_values"][0, 1, 0, 0, 0] = math.nan
    with pytest.raises(ValueError, match=r"^pred_masks: the model gives NaN or infinite values"):
        processor.post_process_masks(model(**inputs).pred_masks, size)


@pytest.mark.parametrize("classes", EVERY_METHOD)
def test_what_a_method_says_about_itself(classes, tokenizer):
    model, processor = tiny_method(classes, tokenizer)
    parts, parameters = model.backbones(), signature(model.forward).parameters
    assert parts.keys() <= set(model.encoder_names())
    assert model.reads_text == processor.needs_text == (model.text_backbone in parts)
    assert not model.takes_points or {"input_points", "input_masks", "prompt_frames"} <= parameters.keys()
    assert not model.gives_attentions or "output_attentions" in parameters
    assert model.tracking_host is parts.get("sam2")
    assert (model.frame_encoder is None) or "image_embeddings" in parameters
    assert not model.embedding_inputs or {"image_embeddings", "text_embeddings"} <= parameters.keys()
    assert model.clip_length is None or model.clip_length > 0
    assert processor.needs_audio == ("audio" in parts)
    groups = {name: {id(parameter) for parameter in group} for name, group in model.parameter_groups().items()}
    heard = parts.keys() & {"audio"}
    assert groups == {name: {id(parameter) for parameter in parts[name].parameters()} for name in heard}


def test_answers_that_depend_on_the_configuration():
    make = lambda kind, model, **fields: model(tiny_config(kind, **fields))  # noqa: E731
    jca = make(StBavaConfig, StBavaModel, fusion="jca", jca_num_frames=5)
    assert (jca.clip_length, jca.gives_attentions) == (5, False)
    plain = make(StBavaConfig, StBavaModel, use_adapters=False)
    assert (plain.clip_length, plain.gives_attentions, plain.num_classes) == (None, True, 0)
    frames = torch.randn(2, 3, 128, 128)
    assert plain.frame_encoder is plain.sam.vision_encoder
    assert plain.embed_frames(frames).shape == (2, 32, 8, 8)
    assert make(AuralSam2Config, AuralSam2ForSemanticSegmentation, use_text=False, num_labels=8).num_classes == 7
    on_sam2 = make(SamaAvsConfig, SamaAvsModel, sam_config=nano_sam2_config(128), use_adapters=False)
    assert on_sam2.tracking_host is on_sam2.sam and on_sam2.frame_encoder is None
    assert on_sam2.takes_points and not make(SamaAvsConfig, SamaAvsModel).takes_points


def test_an_encoder_two_levels_deep_takes_the_precision_of_the_whole():
    model = AutoModel.from_pretrained(ROOT / "examples" / "sam2-love-tiny", dtype=torch.bfloat16)
    assert {parameter.dtype for parameter in model.parameters()} == {torch.bfloat16}


def test_dropout_of_adapters_is_on_where_that_of_the_encoder_is_off(tokenizer):
    model, _ = tiny_method(method_named("sam2_love"), tokenizer)
    config = LoraConfig(target_modules=r"text_encoder\..*\.query", lora_dropout=0.5)
    model = get_peft_model(model, config).train()
    text = model.get_base_model().text_encoder
    dropouts = {name: part.training for name, part in text.named_modules() if isinstance(part, torch.nn.Dropout)}
    assert dropouts and all(training == ("lora_dropout" in name) for name, training in dropouts.items())
    assert True in dropouts.values() and False in dropouts.values()


def test_saving_and_uploading_in_one_step_takes_the_code_that_the_configuration_names(
    hub, tokenizer, tmp_path, monkeypatch
):
    empty_cache(monkeypatch, tmp_path / "cache")
    model, _ = tiny_method(method_named("sama_avs"), tokenizer)
    for repo in ("someone/first", "someone/second"):  # the second time the folder holds it already
        model.save_pretrained(tmp_path / "model", push_to_hub=True, repo_id=repo)
        files = hub.repos[repo]["files"]
        assert json.loads(files["config.json"])["auto_map"] == AUTO_MAP
        assert files.get(STUB.name) == STUB.read_bytes()
