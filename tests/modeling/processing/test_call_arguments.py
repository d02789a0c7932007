import numpy as np
import pytest
import torch

from lavseg.modeling.processing.call_arguments import (
    LONGEST_TEXT,
    as_batch,
    as_numpy,
    check_text_length,
    decoded_sound,
    pad_sounds,
    sort_options,
)

ACCEPTED = {"text_kwargs": ("max_length",), "images_kwargs": ("size",)}


def test_options_are_sorted_by_what_they_are_for():
    found = sort_options({"max_length": 5, "images_kwargs": {"size": 8}}, ACCEPTED)
    assert found == {"text_kwargs": {"max_length": 5}, "images_kwargs": {"size": 8}}


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"max_lenth": 5}, r"unknown key 'max_lenth'; did you mean 'max_length'\?"),
        ({"max_length": 5, "text_kwargs": {"max_length": 6}}, "max_length: was given twice"),
        ({"text_kwargs": 5}, "text_kwargs: takes options by name, got 5"),
    ],
)
def test_options_that_cannot_be_sorted_are_named(given, message):
    with pytest.raises(ValueError, match=message):
        sort_options(given, ACCEPTED)


@pytest.mark.parametrize("length", [0, LONGEST_TEXT + 1, 2.0, None])
def test_lengths_of_sentences(length):
    assert check_text_length(LONGEST_TEXT) == LONGEST_TEXT
    with pytest.raises(ValueError, match="max_text_length: has to be a whole number above 0"):
        check_text_length(length)


def test_one_clip_and_several_become_lists():
    frames = [np.zeros((4, 4, 3), np.uint8)] * 2
    assert as_batch(frames, "a.wav", "dog", 8000) == ([frames], ["a.wav"], [["dog"]], [8000])
    assert as_batch(["a.mp4", "b.mp4"], None, ["dog", ["cat", "cow"]], None) == (
        ["a.mp4", "b.mp4"],
        [None, None],
        [["dog"], ["cat", "cow"]],
        [None, None],
    )
    with pytest.raises(ValueError, match=r"^text: the 2 clips of video take a list of 2 expressions"):
        as_batch(["a.mp4", "b.mp4"], None, ["dog"], None)


def test_shorter_sounds_end_in_zeros_that_the_mask_hides():
    padded = pad_sounds([torch.ones(2, 3), torch.ones(1, 3)])
    assert padded["audio_mask"].tolist() == [[True, True], [True, False]]
    assert padded["input_features"].sum(-1).tolist() == [[3, 3], [3, 0]]
    assert all(isinstance(value, np.ndarray) for value in as_numpy(padded).values())


def test_sound_as_datasets_gives_it():
    sound = {"array": [0.0], "sampling_rate": 8000, "path": None}
    assert decoded_sound(sound, None, "") == ([0.0], 8000)
    with pytest.raises(ValueError, match=r"^sampling_rate: 16000 was given, but audio\[1\] says 8000"):
        decoded_sound(sound, 16000, "[1]")
    with pytest.raises(ValueError, match="holds 'array' and 'sampling_rate', got bytes"):
        decoded_sound({"bytes": b""}, None, "")
