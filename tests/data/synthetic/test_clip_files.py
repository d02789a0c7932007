import re
import wave

import numpy as np
import pytest

from lavseg.data.synthetic.clip_files import draw_video_id, require_counts, write_wav


def test_numbers_of_clips_that_cannot_be_are_refused():
    require_counts({"train": 2, "val": 0}, ("train", "val", "test"))
    for clips in ({}, {"train": 0}, {"train": -1, "val": 2}, {"train": 1.5}, {"dev": 1}):
        with pytest.raises(ValueError, match=r"clips: got .* for some of train, val, test"):
            require_counts(clips, ("train", "val", "test"))


def test_ids_have_the_form_of_the_originals_and_depend_on_what_is_given_only():
    ids = [draw_video_id("train", index, 5, seed) for seed in (0, 1) for index in range(8)]
    assert all(re.fullmatch(r"[\w-]{11}_\d+000_\d+000", name) for name in ids) and len(set(ids)) == 16
    assert ids[0].startswith("-") and ids[0] == draw_video_id("train", 0, 5, 0) != draw_video_id("val", 0, 5, 0)
    start, end = map(int, ids[3].rsplit("_", 2)[1:])
    assert end - start == 5000


def test_sound_has_one_channel_or_two_of_which_mono_is_the_mean(tmp_path):
    waveform = np.array([[0.0, 0.5, -1.0], [0.2, -0.5, -1.0]])
    for mono, expected in ((True, [[3277, 0, -32767]]), (False, [[0, 16384, -32767], [6553, -16384, -32767]])):
        path = tmp_path / "new" / f"{mono}.wav"
        write_wav(path, waveform, 8000, mono)
        with wave.open(str(path)) as file:
            assert (file.getframerate(), file.getsampwidth(), file.getnchannels()) == (8000, 2, len(expected))
            samples = np.frombuffer(file.readframes(3), "<i2").reshape(3, -1).T
        np.testing.assert_allclose(samples, expected, atol=1)
