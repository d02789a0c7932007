import pytest
import torch

from lavseg.models.checks import check_choices, check_shapes, real_lengths
from lavseg.models.vggish import VggishConfig


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
