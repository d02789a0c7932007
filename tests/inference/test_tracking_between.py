"""Frames between those that a method on SAM2 segments itself."""

import numpy as np
import torch
from tiny.configurations import tiny_config

from lavseg.inference.segment_video import segment_video
from lavseg.media import iter_clip
from lavseg.models.aural_sam2 import AuralSam2Config, AuralSam2Model, AuralSam2Processor
from scripted_clips import SIZE, jaccard, large_objects, script, write_clip


def test_a_higher_rate_keeps_the_methods_frames_and_tracks_between(shipped, tmp_path, monkeypatch):
    path = tmp_path / "clip.mp4"
    truth = large_objects(write_clip(path, 14, fps=4, seed=7))[0]
    script(shipped[0], monkeypatch, [truth[3::4]] * 2)
    keyed = list(segment_video(*shipped, path, ["it"]))
    dense = list(segment_video(*shipped, path, ["it"], fps=4))
    assert len(keyed) == 3 and len(dense) == 14
    for index, frame in enumerate(keyed):
        np.testing.assert_array_equal(dense[4 * index + 3].masks, frame.masks)
    assert jaccard(np.stack([frame.masks[0] for frame in dense]), truth) > 0.6
    sound = np.concatenate([part.waveform for part in iter_clip(path, 4)], axis=1)
    np.testing.assert_array_equal(np.concatenate([frame.part.waveform for frame in dense], axis=1), sound)


def test_nothing_is_tracked_between_two_frames_without_the_object(shipped, tmp_path, monkeypatch):
    write_clip(tmp_path / "clip.mp4", 8, fps=4)
    script(shipped[0], monkeypatch, [np.zeros((2, *SIZE), bool)])
    found = list(segment_video(*shipped, tmp_path / "clip.mp4", ["it"], fps=4))
    assert len(found) == 8 and not any(frame.masks.any() for frame in found)


def test_aural_sam2_keeps_its_frames_and_its_windows_are_handed_over(tmp_path):
    path = tmp_path / "clip.mp4"
    write_clip(path, 24, fps=2)
    torch.manual_seed(0)
    config = tiny_config(AuralSam2Config, use_text=False)
    method = AuralSam2Model(config).eval(), AuralSam2Processor.from_config(config)
    keyed = list(segment_video(*method, path))
    dense = list(segment_video(*method, path, fps=2))
    assert len(keyed) == 12 and len(dense) == 24
    for index, frame in enumerate(keyed):
        np.testing.assert_array_equal(dense[2 * index + 1].masks, frame.masks)
    assert set(dense[0].scores) == {"object_score_logits", "iou_scores"}
