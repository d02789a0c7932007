import math

import numpy as np
import pytest
import torch

from lavseg.backbones.vggish import VggishConfig
from lavseg.modeling.inputs import (
    check_choices,
    check_constants,
    check_ids,
    check_shapes,
    embedding_shapes,
    first_non_finite,
    prepare_clips,
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


@pytest.mark.parametrize(
    "value", [np.array([1.0, math.nan]), torch.tensor([math.inf]), (0.5, math.nan), {"a": math.inf}]
)
def test_constants_are_found_in_whatever_holds_them(value):
    check_constants("It", {"image_std": [0.5, 1], "name": "nan", "flag": True, "none": None, "image_mean": [0, 0]})
    with pytest.raises(ValueError, match="It: other has to be finite, got "):
        check_constants("It", {"image_mean": [0.5], "other": value})


def prepare(**given):
    """Two clips of three frames with four patches of sound and, unless given otherwise, nothing else."""
    others = dict.fromkeys(("input_ids", "frame_mask", "audio_mask", "labels", "label_mask"))
    frames = {"pixel_values": (torch.zeros(2, 3, 3, 8, 8), (3, 8, 8)), "embeddings": (None, (7,))}
    sounds = {"input_features": (torch.zeros(2, 4, 1, 96, 64), ("patches", 1, 96, 64))}
    return prepare_clips(frames, sounds, **{**others, **given})


def test_inputs_of_clips_are_brought_to_one_form():
    plain = prepare()
    assert plain.batch == (2, 1, 3) and plain.labels is None and plain.input_ids is None
    assert plain.frame_mask.shape == (2, 3) and plain.audio_mask.shape == (2, 4)
    assert plain.frame_mask.all() and plain.audio_mask.all() and plain.labeled.all()
    frame_mask, label_mask = torch.ones(2, 3, dtype=torch.bool), torch.ones(2, 3, dtype=torch.bool)
    frame_mask[1, 2] = label_mask[0, 1] = False
    ids, labels = torch.zeros(2, 5).long(), torch.zeros(2, 3, 4, 4)
    given = prepare(frame_mask=frame_mask, label_mask=label_mask, input_ids=ids, labels=labels)
    assert given.input_ids.shape == (2, 1, 5) and given.labels.shape == (2, 1, 3, 4, 4)
    assert given.labeled.tolist() == [[True, False, True], [True, True, False]]
    several = prepare(input_ids=torch.zeros(2, 6, 5).long(), labels=torch.zeros(2, 6, 3, 4, 4))
    assert several.batch == (2, 6, 3) and several.labels.shape == (2, 6, 3, 4, 4)
    assert [truth.shape for truth in several.truths] == [(2, 6, 3, 4, 4)]


def test_where_nothing_is_read_there_may_be_several_truths_for_one_mask():
    labels = torch.arange(5).fmod(2).view(1, 5, 1, 1, 1).expand(2, 5, 3, 4, 4)
    given = prepare(labels=labels)
    assert given.batch == (2, 1, 3) and torch.equal(torch.cat(given.truths, dim=1), labels)
    assert [truth.shape for truth in given.truths] == [(2, 1, 3, 4, 4)] * 5
    with pytest.raises(ValueError, match=r"^labels: has to be \[2, 6, 3, height, width\]"):
        prepare(labels=labels, input_ids=torch.zeros(2, 6, 5).long())


@pytest.mark.parametrize(
    "name, shape",
    [("input_ids", (3, 1, 5)), ("frame_mask", (2, 4)), ("audio_mask", (2, 3)), ("labels", (2, 2, 4, 4, 4))],
)
def test_inputs_of_clips_that_do_not_fit_together_are_named(name, shape):
    with pytest.raises(ValueError, match=rf"^{name}: has to be \[.*\] for 2 clips of 3 frames, got "):
        prepare(**{name: torch.zeros(shape, dtype=torch.bool)})


def test_embeddings_are_checked_one_by_one():
    parts = (torch.zeros(2, 3, 4), torch.zeros(2, 3, 5, 6))
    assert embedding_shapes(None, (4,)) == {}
    named = embedding_shapes(parts, (4,), (5, "width"))
    assert named == {"image_embeddings[0]": (parts[0], (4,)), "image_embeddings[1]": (parts[1], (5, "width"))}
    with pytest.raises(ValueError, match="image_embeddings: have to be the 1 tensors of embed_frames, got 2"):
        embedding_shapes(parts, (4,))


@pytest.mark.parametrize("foreign", [255, -1, 2, 0.5, math.nan, math.inf])
@pytest.mark.parametrize("axes", [(2, 3), (2, 1, 3)])
def test_labels_are_zero_and_one_where_they_count(foreign, axes):
    whole = isinstance(foreign, int)
    labels = torch.ones(*axes, 4, 4, dtype=torch.int64 if whole else torch.float64)
    labels[1, ..., 2, 3, 3] = foreign
    with pytest.raises(ValueError, match=r"^labels: have to be 0 and 1, got .*; .* pass labels > 0$"):
        prepare(labels=labels)
    label_mask = torch.ones(2, 3, dtype=torch.bool)
    label_mask[1, 2] = False
    assert prepare(labels=labels, label_mask=label_mask).labels.shape == (2, 1, 3, 4, 4)


@pytest.mark.parametrize("dtype", [torch.bool, torch.uint8, torch.int32, torch.float16, torch.float32])
def test_labels_may_be_of_any_type(dtype):
    labels = torch.arange(96).view(2, 3, 4, 4) % 2
    assert prepare(labels=labels.to(dtype)).labels.sum() == 48


def test_what_is_computed_with_holds_floats():
    for kind, dtype in (("uint8", torch.uint8), ("int64", torch.int64), ("complex64", torch.complex64)):
        with pytest.raises(ValueError, match=rf"^embeddings: has to hold floats .*, got torch\.{kind}$"):
            prepare_with_embeddings(torch.zeros(2, 3, 7, dtype=dtype))


def prepare_with_embeddings(embeddings):
    sounds = {"input_features": (torch.zeros(2, 4, 1, 96, 64), ("patches", 1, 96, 64))}
    return prepare_clips({"embeddings": (embeddings, (7,))}, sounds, *[None] * 5)


def test_ids_are_whole_and_known():
    check_ids("input_ids", torch.tensor([[0, 9]]), 10)
    check_ids("class_labels", torch.tensor([9], dtype=torch.uint8), 10)
    for ids, message in (
        (torch.tensor([3, 10]), "ids from 0 to 9, got 10"),
        (torch.tensor([-1]), "ids from 0 to 9, got -1"),
        (torch.tensor([255], dtype=torch.uint8), "ids from 0 to 9, got 255"),
        (torch.tensor([1.0]), r"whole numbers, got torch\.float32"),
        (torch.tensor([True]), r"whole numbers, got torch\.bool"),
    ):
        with pytest.raises(ValueError, match=f"^input_ids: has to hold {message}$"):
            check_ids("input_ids", ids, 10)
