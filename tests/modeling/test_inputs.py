import math

import numpy as np
import pytest
import torch

from lavseg.backbones.vggish import VggishConfig
from lavseg.modeling.inputs import (
    check_choices,
    check_constants,
    check_outputs,
    check_shapes,
    first_non_finite,
    real_lengths,
)


def test_a_choice_that_is_none_is_named_with_what_is_accepted():
    check_choices(VggishConfig(), {"final_relu": (True, False)})
    with pytest.raises(ValueError, match="hidden_size: 4096 was given, accepted are 1, 2"):
        check_choices(VggishConfig(), {"final_relu": (True,), "hidden_size": (1, 2)})


@pytest.mark.parametrize("given", [None, torch.zeros(2, 3, 7), torch.zeros(2, 3, 0)])
def test_shapes_that_fit_and_inputs_that_are_absent_pass(given):
    check_shapes(2, 3, {"labels": (given, (2, 3, "width"))})


@pytest.mark.parametrize("shape", [(2, 3), (2, 3, 7, 1), (3, 3, 7), (2, 2, 7)])
def test_the_first_input_of_another_shape_is_named(shape):
    inputs = {
        "audio": (torch.zeros(2), (2,)),
        "labels": (torch.zeros(shape), (2, 3, "width")),
        "other": (torch.zeros(0), (1,)),
    }
    with pytest.raises(ValueError) as caught:
        check_shapes(2, 3, inputs)
    assert str(caught.value) == f"labels: has to be [2, 3, width] for 2 clips of 3 frames, got {list(shape)}"


def test_masks_are_bool():
    wanted = {"frame_mask": (torch.ones(2, 3), (2, 3))}
    with pytest.raises(ValueError, match=r"frame_mask: has to be of dtype bool, got torch\.float32"):
        check_shapes(2, 3, wanted)
    check_shapes(2, 3, {"frame_mask": (torch.ones(2, 3, dtype=torch.bool), (2, 3))})


def test_real_frames_are_counted_and_come_first():
    assert real_lengths("frame_mask", [[True, True], [True, False]]) == [2, 1]
    for row in ([False, True], [True, False, True], [False, False], []):
        with pytest.raises(ValueError, match=r"audio_mask: every clip needs True .* 1 has \["):
            real_lengths("audio_mask", [[True], row])


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_the_first_tensor_that_is_not_finite_is_found(dtype, value):
    tensors = {name: torch.full((3, 4), torch.finfo(dtype).max, dtype=dtype) for name in "abc"}
    tensors |= {"whole": torch.ones(2, dtype=torch.long), "empty": torch.ones(0), "meta": torch.ones(2, device="meta")}
    assert first_non_finite(tensors) is None
    tensors["b"][1, 2] = tensors["c"][0, 0] = value
    assert first_non_finite(tensors) == "b"
    tensors["b"] = torch.tensor([math.inf, -math.inf])
    assert first_non_finite(tensors) == "b"


def test_outputs_on_padding_frames_do_not_count():
    outputs = {"pred_masks": torch.zeros(2, 1, 3, 4, 4), "iou_scores": torch.zeros(2, 1, 3)}
    frame_mask = torch.tensor([[True, True, True], [True, True, False]])
    outputs["pred_masks"][1, 0, 2, 0, 0] = outputs["iou_scores"][1, 0, 2] = math.nan
    check_outputs(outputs, frame_mask)
    with pytest.raises(ValueError, match=r"^pred_masks: the model gives NaN"):
        check_outputs(outputs)
    outputs["iou_scores"][1, 0, 1] = math.inf
    with pytest.raises(ValueError, match=r"^iou_scores: the model gives NaN"):
        check_outputs(outputs, frame_mask)


@pytest.mark.parametrize(
    "value", [np.array([1.0, math.nan]), torch.tensor([math.inf]), (0.5, math.nan), {"a": math.inf}]
)
def test_constants_are_found_in_whatever_holds_them(value):
    check_constants("It", {"image_std": [0.5, 1], "name": "nan", "flag": True, "none": None, "image_mean": [0, 0]})
    with pytest.raises(ValueError, match="It: other has to be finite, got "):
        check_constants("It", {"image_mean": [0.5], "other": value})
