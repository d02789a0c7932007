"""Windows, and how masks are handed over from one to the next."""

from itertools import pairwise
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lavseg.inference.encoded_frames import FrameInput
from lavseg.inference.frame_predictions import FramePredictions
from lavseg.inference.segment_video import segment_video
from lavseg.inference.windows import OVERLAP, _windows, segment_windows, tracking_scores
from scripted_clips import jaccard, large_objects, script, write_clip


@settings(deadline=None)
@given(st.integers(1, 60), st.integers(2, 12), st.data())
def test_windows_cover_all_frames_and_are_of_one_length(count, length, data):
    overlap = data.draw(st.integers(0, length - 1))
    windows = list(_windows(iter(range(count)), length, overlap))
    assert all(window == list(range(begin, begin + len(window))) for begin, window in windows)
    assert {len(window) for _, window in windows} == {min(length, count)}
    ends = [begin + len(window) for begin, window in windows]
    assert windows[0][0] == 0 and ends[-1] == count
    assert all(end - begin >= overlap for end, (begin, _) in zip(ends, windows[1:], strict=False))
    assert all(after > before for before, after in pairwise(ends))


def test_a_window_that_means_something_else_does_not_take_the_object_away(shipped, tmp_path, monkeypatch):
    first, second = large_objects(write_clip(tmp_path / "clip.mp4", 14, seed=7))
    script(shipped[0], monkeypatch, [first[:10], second[4:]])
    seen = []
    handle = (
        shipped[0].sam2.get_input_embeddings().register_forward_pre_hook(lambda layer, given: seen.extend(given[0]))
    )
    found = np.stack([frame.masks[0] for frame in segment_video(*shipped, tmp_path / "clip.mp4", ["it"])])
    assert jaccard(found[:10], first[:10]) > 0.6
    assert jaccard(found[10:], first[10:]) > 0.5 > 0.1 > jaccard(found[10:], second[10:])
    handle.remove()
    assert len(seen) == 14  # tracking takes what the windows have encoded


def test_an_object_that_is_tracked_on_keeps_the_presence_with_which_it_was_found(shipped, tmp_path, monkeypatch):
    masks = large_objects(write_clip(tmp_path / "clip.mp4", 14, seed=7))[0]
    script(shipped[0], monkeypatch, [masks[:10], masks[4:]], presences=[4.0, -4.0])
    frames = list(segment_video(*shipped, tmp_path / "clip.mp4", ["it"]))
    assert [frame.scores["presence_logit"].item() for frame in frames] == [4.0] * 14
    assert any(frame.score > 0 for frame in frames[10:])


def test_the_newer_window_goes_on_where_it_means_the_same_or_the_object_was_lost(shipped, tmp_path, monkeypatch):
    first, second = large_objects(write_clip(tmp_path / "clip.mp4", 14, seed=7))
    lost = first.copy()
    lost[9:] = False
    for earlier, later in ((first, first), (lost, second)):
        script(shipped[0], monkeypatch, [earlier[:10], later[4:]])
        found = np.stack([frame.masks[0] for frame in segment_video(*shipped, tmp_path / "clip.mp4", ["it"])])
        assert jaccard(found[:8], earlier[:8]) > 0.6 and jaccard(found[10:], later[10:]) > 0.6


@pytest.mark.parametrize("length, windows", [(None, [10, 10]), (5, [5, 5, 5, 5])])
def test_windows_have_the_length_that_the_model_asks_for(length, windows):
    segmenter, seen = SimpleNamespace(model=SimpleNamespace(clip_length=length), memory=None), []

    def segment(window):
        seen.append(len(window))
        return FramePredictions(torch.zeros(1, len(window), 2, 2), {}, {})

    inputs = iter([FrameInput(None, None, 0)] * (sum(windows) - OVERLAP * (len(windows) - 1)))
    assert len(list(segment_windows(segmenter, inputs, segment))) == sum(windows) - OVERLAP * (len(windows) - 1)
    assert seen == windows


def test_tracking_replaces_the_scores_that_it_gives_and_the_method_has():
    prediction = SimpleNamespace(object_score_logits=torch.ones(1), iou_scores=torch.zeros(1))
    assert tracking_scores(prediction, ["presence_logit"]) == {}
    assert tracking_scores(prediction, ["iou_scores", "presence_logit"]) == {"iou_scores": prediction.iou_scores}
