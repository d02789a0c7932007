"""Points, boxes and masks at seconds of a clip."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lavseg.inference.timed_prompts import TimedPrompt, check_objects, parse_prompts, prompt_arguments
from lavseg.media import ClipReader
from scripted_clips import SIZE, write_clip

HEIGHT, WIDTH = SIZE


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    path = tmp_path_factory.mktemp("clips") / "clip.mp4"
    write_clip(path, 8, fps=2)
    return ClipReader(path)


def test_text_is_read():
    given = {"point": ["3:4,5.5", "12@0.5:1,2"], "negative": None, "box": ["1:0,1,2,3"], "mask": ["2:a:1@b.png"]}
    assert parse_prompts(given) == [
        TimedPrompt("point", 3, ((4, 5.5),)),
        TimedPrompt("point", 0.5, ((1, 2),), number=12),
        TimedPrompt("box", 1, ((0, 1), (2, 3))),
        TimedPrompt("mask", 2, file=Path("a:1@b.png")),
    ]


@pytest.mark.parametrize(
    "text", ["", "3", "3:", "3:1", "3:1,2,3", "3:a,b", ":1,2", "nan:1,2", "3:inf,2", "3;1,2", "a@3:1,2", "@3:1,2"]
)
def test_text_of_another_form_is_refused(text):
    with pytest.raises(ValueError, match=r"^--point: .* was given, accepted is SECONDS:X,Y, or OBJECT@SECONDS:X,Y "):
        parse_prompts({"point": [text]})


@pytest.mark.parametrize(
    ("seconds", "frame"), [(0, 0), (0.9, 0), (1, 0), (1.4, 0), (1.6, 1), (3, 2), (3.6, 3), (3.9, 3)]
)
def test_a_prompt_goes_to_the_frame_nearest_in_time(clip, seconds, frame):
    assert prompt_arguments([TimedPrompt("point", seconds, ((1, 2),))], clip, 1)["prompt_frames"] == [frame]


def test_prompts_of_several_frames_are_padded(clip, tmp_path):
    Image.new("L", (WIDTH, HEIGHT), 1).save(tmp_path / "mask.png")
    prompts = parse_prompts(
        {"point": ["3:4,5", "1:6,7"], "negative": ["3:8,9"], "box": ["3:1,2,3,4"], "mask": [f"3.8:{tmp_path}/mask.png"]}
    )
    found = prompt_arguments(prompts, clip, 1)
    assert found["prompt_frames"] == [0, 2, 3]
    np.testing.assert_array_equal(found["input_labels"], [[[[1, -1, -1, -1], [1, 0, 2, 3], [-1] * 4]]])
    assert found["input_points"][0, 0, 1].tolist() == [[4, 5], [8, 9], [1, 2], [3, 4]]
    masks = found["input_masks"]
    assert masks.shape == (1, 1, 3, HEIGHT, WIDTH)
    assert (masks[0, 0, 2] == 1).all() and np.isnan(masks[0, 0, :2]).all()
    assert prompt_arguments([], clip, 1) == {}


def test_each_object_has_prompts_of_its_own(clip, tmp_path):
    Image.new("L", (WIDTH, HEIGHT), 1).save(tmp_path / "mask.png")
    given = {"point": ["0@3:4,5", "2@1:6,7"], "box": ["2@3:1,2,3,4"], "mask": [f"1@1:{tmp_path}/mask.png"]}
    found = prompt_arguments(parse_prompts(given), clip, 1, 3)
    assert found["prompt_frames"] == [0, 2]
    np.testing.assert_array_equal(
        found["input_labels"], [[[[-1, -1], [1, -1]], [[-1, -1], [-1, -1]], [[1, -1], [2, 3]]]]
    )
    assert found["input_points"][0, 2].tolist() == [[[6, 7], [0, 0]], [[1, 2], [3, 4]]]
    shown = found["input_masks"][0, :, :, 0, 0]
    np.testing.assert_array_equal(shown, [[np.nan, np.nan], [1, np.nan], [np.nan, np.nan]])


@pytest.mark.parametrize(
    ("text", "objects", "message"),
    [
        ("3:1,2", 2, "2 texts were given; .*, 0@SECONDS:X,Y for that of the first text to 1@SECONDS:X,Y for"),
        ("2@3:1,2", 2, "object 2 was given, accepted is 0 to 1, one for each text"),
        ("1@3:1,2", 1, "object 1 was given, accepted is 0 alone, there is one object"),
    ],
)
def test_a_prompt_says_which_object_it_shows(text, objects, message):
    check_objects(parse_prompts({"box": ["0@3:0,0,9,9"], "point": ["3:1,2"]}), 1)
    with pytest.raises(ValueError, match=f"^--point: {message}"):
        check_objects(parse_prompts({"point": [text]}), objects)


def test_masks_that_cannot_be_meant(clip, tmp_path):
    for name, size, value in (("small", (9, 9), 1), ("black", (WIDTH, HEIGHT), 0), ("good", (WIDTH, HEIGHT), 1)):
        Image.new("L", size, value).save(tmp_path / f"{name}.png")
    for names, message in (
        (["small"], f"small.png is 9 pixels wide and 9 high, the frames are {WIDTH} and {HEIGHT}"),
        (["black"], "black.png is black everywhere"),
        (["good", "good"], "--mask: those at 1 and 1 seconds go to one frame; give an object one mask a frame"),
    ):
        prompts = parse_prompts({"mask": [f"1:{tmp_path}/{name}.png" for name in names]})
        with pytest.raises(ValueError, match=message):
            prompt_arguments(prompts, clip, 1)


def test_an_object_has_one_box_a_frame(clip):
    boxes = parse_prompts({"box": ["0@1:1,2,3,4", "1@1.2:1,2,3,4", "0@1.4:1,2,3,4"]})
    assert prompt_arguments(boxes[:2], clip, 1, 2)["prompt_frames"] == [0]
    with pytest.raises(ValueError, match=r"^--box: those at 1 and 1\.4 seconds go to one frame"):
        prompt_arguments(boxes, clip, 1, 2)


def test_masks_of_every_png_mode_and_no_jpeg(clip, tmp_path):
    wanted = np.zeros(SIZE, np.uint8)
    wanted[3:9, 4:12] = 255
    white = np.full(SIZE, 255, np.uint8)
    Image.fromarray(np.stack([white, white, white, wanted], axis=-1)).save(tmp_path / "alpha.png")
    Image.fromarray(wanted.astype(np.uint16) // 255).save(tmp_path / "deep.png")
    for name in ("alpha", "deep"):
        found = prompt_arguments(parse_prompts({"mask": [f"1:{tmp_path}/{name}.png"]}), clip, 1)["input_masks"]
        np.testing.assert_array_equal(found[0, 0, 0], wanted > 0)
    Image.fromarray(wanted).save(tmp_path / "mask.jpg")
    with pytest.raises(ValueError, match=r"^--mask: .*mask\.jpg is JPEG, which blurs edges; save it as PNG$"):
        prompt_arguments(parse_prompts({"mask": [f"1:{tmp_path}/mask.jpg"]}), clip, 1)
