"""The files and the time strip that answer a request."""

import json
import zipfile

import numpy as np
import pytest

from lavseg.inference.frame_predictions import SegmentedFrame
from lavseg.media import ClipPart, read_video
from saved_clips import decode_rle

gr = pytest.importorskip("gradio", reason="Gradio is not installed (extra app)")

from lavseg.app.answer_files import AnswerFiles  # noqa: E402


def test_one_archive_holds_masks_video_and_scores(tmp_path):
    rng = np.random.default_rng(0)
    frames = [
        SegmentedFrame(
            ClipPart(
                float(second), rng.integers(0, 255, (48, 64, 3), np.uint8), np.zeros((1, 16000), np.float32), 16000
            ),
            rng.random((2, 48, 64)) > 0.5,
            {"object_score_logits": np.array([second, -1.0])},
            {},
        )
        for second in (1, 2)
    ]
    files = AnswerFiles(tmp_path, ["the dog", "the <b>cat"], frames[0], 1.0, "rle")
    assert [files.write(frame) for frame in frames] == [1, 2]
    answer = files.finish({"model": "tiny"})
    assert sorted(path.name for path in tmp_path.iterdir()) == ["masks.zip", "overlay.mp4"]
    with zipfile.ZipFile(answer.archive) as archive:
        assert sorted(archive.namelist()) == ["0.json", "1.json", "overlay.mp4", "result.json"]
        result, masks = json.loads(archive.read("result.json")), json.loads(archive.read("1.json"))
        assert archive.read("overlay.mp4") == answer.video.read_bytes()
    for frame, mask in zip(frames, masks, strict=True):
        np.testing.assert_array_equal(decode_rle(mask), frame.masks[1])
    assert result["model"] == "tiny" and result["frame_times"] == [1, 2]
    assert result["expressions"][0]["object_score_logits"] == [1, 2]
    assert answer.warnings == ["the sound is silent throughout"] and "the &lt;b&gt;cat" in answer.strip
    assert len(read_video(answer.video).frames) == 2
