import json
from functools import partial

import pytest
import train_tiny
from tiny import simtoken_lessons, train_simtoken
from transformers import AutoModel

from lavseg import SimTokenModel


@pytest.fixture
def short(monkeypatch, processes_here, small_batches, small_clips):
    """Every stage is cut to a few steps on a few clips."""
    monkeypatch.setattr(train_simtoken, "train_sam", partial(train_simtoken.train_sam, clips=4))
    for lesson, few in (
        ("teach_to_read", {"clips": 2}),
        ("teach_to_see", {"frames": 8}),
        ("teach_names", {"frames": 4}),
        ("teach_to_name", {"clips": 3, "batch": 2}),
    ):
        monkeypatch.setattr(simtoken_lessons, lesson, partial(getattr(simtoken_lessons, lesson), steps=2, **few))
    monkeypatch.setitem(train_simtoken.TRAINING, "per_device_train_batch_size", 4)
    clips = {"train": 2, "val": 1, "test_s": 2, "test_u": 1, "test_n": 1}
    monkeypatch.setattr(train_simtoken, "CLIPS", clips)


@pytest.mark.slow
def test_all_stages_are_kept_and_scored(short, tmp_path, capsys):
    command = ["--method", "simtoken", "--out", str(tmp_path), "--sam_steps", "2", "--steps", "2"]
    train_tiny.main(command)
    scores = json.loads((tmp_path / "model" / "scores.json").read_text())
    assert {"test_s", "test_u", "test_n", "needs_sound", "needs_words", "minutes"} <= scores.keys()
    assert 0 <= scores["needs_words"]["without"] <= 1
    model = AutoModel.from_pretrained(tmp_path / "model")
    assert isinstance(model, SimTokenModel) and "toy" in model.config.notice
    logs = json.loads((tmp_path / "lessons" / "training_log.json").read_text())
    assert list(logs) == ["reading", "seeing", "names", "naming"]
    host, taught, trained = (
        AutoModel.from_pretrained(tmp_path / stage).state_dict() for stage in ("sam", "lessons", "model")
    )
    changed, kept = "vision_encoder.layers.0.mlp.lin1.weight", "sam.vision_encoder.layers.0.mlp.lin1.weight"
    assert not taught[kept].equal(host[changed]) and taught[kept].equal(trained[kept])
    spoken = "text_hidden_fcs.0.weight"
    assert not trained[spoken].equal(taught[spoken])
    capsys.readouterr()
    train_tiny.main(command)
    assert capsys.readouterr().out.count("is there already") == 3
