"""The contract has to fail where a method is at fault, and to say so in the test that is about it."""

import dataclasses
from types import SimpleNamespace

import pytest
import torch
from tiny.configurations import tiny_config

from lavseg.models.sama_avs import SamaAvsConfig, SamaAvsModel, SamaAvsProcessor
from lavseg.testing import MethodContract, Variant, contract
from lavseg.testing.contract import assert_same_outputs, check_reloaded
from tiny_methods import damage_weights


class Deaf(SamaAvsModel):
    def forward(self, input_features, **kwargs):
        return super().forward(input_features=torch.zeros_like(input_features), **kwargs)


class FillsPadding(SamaAvsModel):
    def forward(self, **kwargs):
        outputs = super().forward(**kwargs)
        return dataclasses.replace(outputs, pred_masks=outputs.pred_masks.clamp(min=-10))


class MixesClips(SamaAvsModel):
    def forward(self, **kwargs):
        outputs = super().forward(**kwargs)
        return dataclasses.replace(outputs, iou_scores=outputs.iou_scores + outputs.iou_scores.mean())


class ForgetsATerm(SamaAvsModel):
    def forward(self, **kwargs):
        outputs = super().forward(**kwargs)
        return dataclasses.replace(outputs, loss=outputs.loss_dict["bce"]) if "labels" in kwargs else outputs


class SaysTooLittle(SamaAvsModel):
    def forward(self, **kwargs):
        return dataclasses.replace(super().forward(**kwargs), iou_scores=torch.ones(1))


class TrainsItsEncoder(SamaAvsModel):
    def freeze(self):
        super().freeze()
        self.sam.vision_encoder.pos_embed.requires_grad_(True)


class TakesAnything(SamaAvsModel):
    def forward(self, pixel_values, input_features, frame_mask=None, **kwargs):
        frame_mask = None if frame_mask is None else frame_mask.bool()
        return super().forward(
            pixel_values=pixel_values, input_features=input_features, frame_mask=frame_mask, **kwargs
        )


def variant_of(model_class):
    return Variant(
        tiny_config(SamaAvsConfig),
        model_class,
        SamaAvsProcessor,
        parameters=184_620,
        trainable=44_864,
        unreached=("sam.mask_decoder.iou_prediction_head",),
    )


FAULTS = [
    (Deaf, "it_hears_and_reads", {}),
    (FillsPadding, "masks_are_empty_on_padding_frames_and_nowhere_else", {}),
    (MixesClips, "a_batch_gives_what_each_clip_and_sentence_gives_alone", {"clip": 1}),
    (ForgetsATerm, "the_loss_is_the_sum_of_its_terms_over_labelled_frames", {}),
    (SaysTooLittle, "outputs_have_their_shapes_and_types", {}),
    (TrainsItsEncoder, "its_parameters_are_as_many_as_declared", {}),
    (TakesAnything, "inputs_of_wrong_shape_are_named", {}),
]


@pytest.mark.parametrize(("faulty", "name", "arguments"), FAULTS, ids=[fault[0].__name__ for fault in FAULTS])
def test_a_fault_is_found_by_the_test_about_it(faulty, name, arguments):
    test = getattr(MethodContract(), f"test_{name}")
    test(variant_of(SamaAvsModel), **arguments)
    with pytest.raises((AssertionError, pytest.fail.Exception)):
        test(variant_of(faulty), **arguments)


def test_outputs_differ_when_a_tensor_is_missing_or_moved():
    outputs = {"pred_masks": torch.zeros(2), "loss": None}
    assert_same_outputs({"pred_masks": torch.full((2,), 1e-6)}, outputs)
    for other in ({}, {"pred_masks": torch.ones(2)}, {**outputs, "iou_scores": torch.zeros(1)}):
        with pytest.raises(AssertionError):
            assert_same_outputs(other, outputs)


def test_one_damaged_number_of_a_saved_model_is_found(tmp_path, monkeypatch):
    class OneMethod(MethodContract):
        variants = {"plain": variant_of(SamaAvsModel)}

    code = []
    monkeypatch.setattr(
        contract.subprocess,
        "run",
        lambda command, **kwargs: code.append(command[-1]) or SimpleNamespace(returncode=0),
    )
    OneMethod().test_saved_and_loaded_in_a_fresh_process_they_are_the_same(tmp_path)
    (line,) = code
    assert f"check_reloaded({str(tmp_path)!r})" in line
    exec(line, {})
    damage_weights(tmp_path / "plain", 0.125)
    with pytest.raises(AssertionError, match="plain"):
        check_reloaded(str(tmp_path))
