import json
from functools import partial

import pytest
import train_tiny
from tiny import train_simtoken
from transformers import AutoModel

from lavseg import SimTokenModel


@pytest.fixture
def short(monkeypatch, processes_here, small_batches, small_clips):
    """Both stages are cut to a few steps on a few clips."""
    monkeypatch.setattr(train_simtoken, "train_sam", partial(train_simtoken.train_sam, clips=4))
    monkeypatch.setitem(train_simtoken.TRAINING, "per_device_train_batch_size", 4)
    clips = {"train": 2, "val": 1, "test_s": 2, "test_u": 1, "test_n": 1}
    monkeypatch.setattr(train_simtoken, "CLIPS", clips)


@pytest.mark.slow
def test_both_stages_are_kept_and_scored(short, tmp_path, capsys):
    command = ["--method", "simtoken", "--out", str(tmp_path), "--sam_steps", "2", "--steps", "2"]
    train_tiny.main(command)
    scores = json.loads((tmp_path / "model" / "scores.json").read_text())
    assert {"test_s", "test_u", "test_n", "needs_sound", "needs_words", "minutes"} <= scores.keys()
    assert 0 <= scores["needs_words"]["without"] <= 1
    model = AutoModel.from_pretrained(tmp_path / "model")
    assert isinstance(model, SimTokenModel) and "toy" in model.config.notice
    sam = AutoModel.from_pretrained(tmp_path / "sam").state_dict()
    frozen = [name for name in sam if name.startswith("vision_encoder.")]
    assert frozen and all(model.sam.state_dict()[name].equal(sam[name]) for name in frozen)
    capsys.readouterr()
    train_tiny.main(command)
    assert capsys.readouterr().out.count("is there already") == 2
