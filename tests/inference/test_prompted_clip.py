"""What a user shows on frames of a clip that is longer than a window."""

import numpy as np
import pytest
import torch
from tiny.configurations import nano_sam2_config, tiny_config

from lavseg.inference.clip_segmenter import ClipSegmenter
from lavseg.inference.encoded_frames import FrameInput
from lavseg.inference.prompted_clip import check_places, prompted_clip
from lavseg.inference.segment_video import segment_video
from lavseg.media import iter_clip
from lavseg.models.gavs import GavsConfig, GavsModel, GavsProcessor
from scripted_clips import write_clip
from tiny_clips import away_from_zero

BOX = {"input_boxes": [[[[5, 4, 50, 40]]]]}


@pytest.fixture(scope="module")
def gavs():
    torch.manual_seed(0)
    config = tiny_config(GavsConfig, sam_config=nano_sam2_config(128))
    model = away_from_zero(GavsModel(config))
    with torch.no_grad():  # an object that is judged absent leaves no pointer in the memory
        model.sam.mask_decoder.pred_obj_score_head.proj_out.bias.add_(20)
    return model, GavsProcessor.from_config(config)


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    path = tmp_path_factory.mktemp("clips") / "clip.mp4"
    write_clip(path, 13)
    return path


def inputs_of(clip):
    return [FrameInput(part, part.waveform, number) for number, part in enumerate(iter_clip(clip))]


@pytest.mark.parametrize(
    ("window", "around"),
    [
        (range(0, 10), [*range(0, 10), 11]),
        (range(3, 13), [*range(3, 13)]),
        (range(12, 13), [11, 12]),
    ],
)
def test_a_window_is_given_the_prompted_frame_in_its_place(gavs, clip, window, around):
    inputs = inputs_of(clip)
    segmenter = ClipSegmenter(*gavs, [])
    shown = prompted_clip(segmenter, BOX, [11], iter(inputs))
    assert shown.numbers == {11}
    found = shown.segment([inputs[number] for number in window])
    expected = segmenter.segment_clip([inputs[number] for number in around], BOX, prompt_frames=[around.index(11)])
    places = [around.index(number) for number in window]
    torch.testing.assert_close(found.logits, expected.logits[:, places])


def test_what_is_shown_late_changes_the_whole_clip(gavs, clip):
    plain, shown = (
        [frame.scores["iou_scores"] for frame in segment_video(*gavs, clip, **given)]
        for given in ({}, {**BOX, "prompt_frames": [11]})
    )
    assert len(shown) == 13
    assert (np.stack(plain) != np.stack(shown)).all()


def test_frames_as_a_tensor_are_as_in_a_list(gavs, clip):
    assert prompted_clip(ClipSegmenter(*gavs, []), BOX, torch.tensor([11]), iter(inputs_of(clip))).numbers == {11}


def test_frames_have_to_be_in_the_clip_and_differ(gavs, clip):
    segmenter, inputs = ClipSegmenter(*gavs, []), inputs_of(clip)
    for frames, message in (
        ([13], r"prompt_frames: \[13\] were given, the clip has frames 0 to 12"),
        ([-1], r"prompt_frames: \[-1\] were given"),
        ([1, 1], r"prompt_frames: \[1, 1\] were given; name each prompted frame once"),
        (torch.tensor([1, 1]), r"prompt_frames: \[1, 1\] were given; name each prompted frame once"),
        (3, "prompt_frames: has to list whole numbers of frames, got 3"),
        ([], "prompt_frames: "),
    ):
        with pytest.raises(ValueError, match=message):
            prompted_clip(segmenter, BOX, frames, iter(inputs))


@pytest.mark.parametrize(
    ("prompts", "message"),
    [
        (
            {"input_points": [[[[80, 61]]]], "input_labels": [[[1]]]},
            r"input_points: \(80, 61\) was given, the frames are 80 pixels wide and 60 high",
        ),
        ({"input_points": [[[[-1, 0]]]], "input_labels": [[[0]]]}, r"input_points: \(-1, 0\)"),
        ({"input_boxes": [[[0, 0, 81, 9]]]}, r"input_boxes: \(0, 0, 81, 9\) was given, a box is"),
        ({"input_boxes": [[[9, 0, 8, 9]]]}, r"input_boxes: \(9, 0, 8, 9\) was given, a box is"),
    ],
)
def test_places_outside_of_the_frames_are_named(prompts, message):
    with pytest.raises(ValueError, match=message):
        check_places(prompts, 60, 80)


def test_padding_points_may_be_anywhere():
    check_places({"input_points": [[[[80, 60], [900, 900]]]], "input_labels": [[[1, -1]]]}, 60, 80)
