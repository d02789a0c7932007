import json

import pytest
import train_tiny
from PIL import Image
from tiny import train_aural_sam2
from transformers import AutoModel


@pytest.mark.slow
def test_it_trains_scores_and_draws_every_behavior_and_does_not_repeat_itself(
    untrained, tmp_path, monkeypatch, small_clips, processes_here
):
    options = {"method": "aural-sam2", "out": tmp_path, "model": untrained}
    options |= {"frame_steps": 1, "steps": 1, "clips": 2}
    arguments = [f"--{name}={value}" for name, value in options.items()]
    monkeypatch.setattr(train_aural_sam2, "SHOWN_CLIPS", 1)
    train_tiny.main(arguments)
    report = json.loads((tmp_path / "report.json").read_text())
    assert set(report) == {"release", "paper"}
    for behavior, scores in report.items():
        assert scores["steps"] == 1
        for name in ("single", "multi", "single_silent", "multi_silent", "single_bf16", "multi_bf16"):
            assert all(0 <= scores[name][score] <= 1 for score in ("jaccard", "f_score", "j_and_f")), name
        folder = tmp_path / behavior
        log = json.loads((folder / "training_log.json").read_text())
        assert [entry["step"] for entry in log["frames"]] == [1] and log["frames"][0]["contrastive"] > 0
        for name in ("loss_contrastive", "eval_single_jaccard", "eval_multi_jaccard"):
            assert any(name in entry for entry in log["clips"])
        assert (folder / "curves.svg").read_text().count("<svg") == 4
        assert Image.open(folder / "examples.jpg").width > 5 * 72
        model = AutoModel.from_pretrained(folder / "model")
        assert model.config.behavior == behavior and not model.config.use_text

    monkeypatch.setattr(train_aural_sam2, "train_method", lambda *args: pytest.fail("trained twice"))
    train_tiny.main(arguments)
