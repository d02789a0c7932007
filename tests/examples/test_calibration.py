import json

import calibration
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import pipeline

from lavseg.checkpoint import load_checkpoint
from lavseg.data import ClipCollator, load_ref_avs
from lavseg.models.sam2_love import Sam2LoveModel
from lavseg.testing.variants import shift_object_scores

SCORES = st.lists(st.sampled_from([0.0, 0.25, 0.5, 1.0]), min_size=1, max_size=9)


def test_the_area_under_the_curve_by_hand():
    assert calibration.roc_auc([0.9, 0.8], [0.1, 0.0, 0.2]) == 1
    assert calibration.roc_auc([0.1], [0.9, 0.8]) == 0
    assert calibration.roc_auc([0.0, 0.0], [0.0]) == 0.5
    # Of six pairs four are in order and one is tied.
    assert calibration.roc_auc([0.9, 0.4], [0.4, 0.1, 0.6]) == pytest.approx((4 + 0.5) / 6)


@settings(deadline=None)
@given(SCORES, SCORES)
def test_it_is_the_share_of_pairs_in_order(present, absent):
    pairs = [(one > other) + (one == other) / 2 for one in present for other in absent]
    assert calibration.roc_auc(present, absent) == pytest.approx(np.mean(pairs))
    assert calibration.roc_auc(absent, present) == pytest.approx(1 - np.mean(pairs))


def test_both_kinds_of_rows_are_needed():
    with pytest.raises(ValueError, match="splits: 1 rows whose object is present and 0 whose object is absent"):
        calibration.roc_auc([0.5], [])


def test_rows_score_as_in_the_pipeline(untrained, ref_avs):
    model, processor = load_checkpoint(untrained)
    assert shift_object_scores(model, 2)
    rows = load_ref_avs(ref_avs, "test_n")
    found = calibration.score_rows(model, ClipCollator(processor), rows, "test_n")
    segment = pipeline("audio-visual-segmentation", model=model, processor=processor, device="cpu")
    clips = [{"video": row["frames"], "audio": row["audio"]["path"], "text": row["text"]} for row in rows]
    expected = [entry["score"] for [entry] in segment(clips)]
    assert len(found) == len(rows) and max(expected) > 0
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_the_report_is_of_all_splits(untrained, ref_avs, tmp_path, capsys, monkeypatch):
    """Rows that score 1 with their object and 0 without, but for one null row."""

    def score(model, collator, rows, name):
        assert isinstance(model, Sam2LoveModel) and not model.training
        return np.array([float(not null) for null in list(rows["is_null"])[:-1]] + [1.0])

    monkeypatch.setattr(calibration, "score_rows", score)
    output = tmp_path / "new" / "calibration.json"
    calibration.main([f"--model={untrained}", f"--data={ref_avs}", "--split", "test_s", "test_n", f"--out={output}"])
    report = json.loads(output.read_text())
    seen, null = report["splits"]["test_s"], report["splits"]["test_n"]
    assert (seen["null_rows"], null["null_rows"]) == (0, null["rows"]) and null["rows"] > 1
    assert (seen["mean_score"], seen["zero_share"]) == (1, 0)
    assert null["mean_score"] == pytest.approx(1 / null["rows"])
    assert report["roc_auc"] == pytest.approx(1 - 0.5 / null["rows"])
    assert f"{report['roc_auc']:.4f}" in capsys.readouterr().out


def test_what_cannot_be_measured_or_written_is_refused_first(ref_avs, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(calibration, "load_checkpoint", lambda model: pytest.fail("loaded"))
    for arguments, told in (
        (["--split", "test_s"], "--split: no row of test_s has a null sentence"),
        (["--split", "test_s", "test_n", f"--out={tmp_path}"], "--out: "),
    ):
        with pytest.raises(SystemExit) as stop:
            calibration.main(["--model=anything", f"--data={ref_avs}", *arguments])
        assert stop.value.code == 2 and told in capsys.readouterr().err
