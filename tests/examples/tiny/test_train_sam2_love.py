import json
from functools import partial

import pytest
import torch
import train_tiny
from safetensors.torch import load_file
from tiny import train_sam2_love
from transformers import AutoModel

from lavseg.checkpoint import load_checkpoint

STAGES = ("host", "encoders", "pointing", "model")


@pytest.fixture
def short(monkeypatch, processes_here, small_clips):
    """Every stage is cut to a few steps on a few clips."""
    host_stages = [
        {"num_frames": 1, "steps": 1, "batch": 2, "peak_rate": 1e-4},
        {"num_frames": 2, "steps": 1, "batch": 2, "peak_rate": 1e-4, "learns": "masks"},
    ]
    pointing = [{"num_frames": 2, "steps": 2, "peak_rate": 1e-4, "clips": 2, "expressions": 2}]
    for name, few in (
        ("train_host", {"clips": 4, "stages": host_stages}),
        ("train_encoders", {"clips": 2, "vision_steps": 2, "audio_steps": 1, "text_steps": 1}),
        ("teach_pointing", {"clips": 4, "stages": pointing}),
    ):
        monkeypatch.setattr(train_sam2_love, name, partial(getattr(train_sam2_love, name), **few))
    monkeypatch.setattr(train_sam2_love, "CLIPS", {"train": 2, "val": 1})


@pytest.mark.slow
def test_every_stage_leaves_a_checkpoint_that_the_next_builds_on(short, tmp_path, capsys):
    command = ["--out", str(tmp_path), "--steps", "2"]  # the first step's rate is 0
    train_tiny.main(command)
    logs = {stage: json.loads((tmp_path / stage / "training_log.json").read_text()) for stage in STAGES}
    assert [(entry["learns"], entry["frames"]) for entry in logs["host"]] == [("all", 1), ("masks", 2)]
    assert {entry["encoder"] for entry in logs["encoders"]} == {"vision", "audio", "text"}
    assert {stage: logs["model"][stage] for stage in STAGES[:3]} == {stage: logs[stage] for stage in STAGES[:3]}
    assert any("eval_j_and_f" in entry for entry in logs["model"]["model"])

    state = {stage: load_file(tmp_path / stage / "model.safetensors") for stage in STAGES}
    host, taken = state["host"], AutoModel.from_pretrained(tmp_path / "pointing").sam2.state_dict()
    assert all(torch.equal(taken[name].half(), value.half()) for name, value in host.items())
    assert all(torch.equal(state["model"][f"sam2.{name}"], value) for name, value in host.items())
    changed = "prompter.fusion.layers.0.linear1.weight"
    assert not torch.equal(state["pointing"][changed], state["encoders"][changed])
    assert not torch.equal(state["model"][changed], state["pointing"][changed])
    config = load_checkpoint(tmp_path / "model")[0].config
    assert config.presence_head and "toy" in config.notice

    weights = (tmp_path / "host" / "model.safetensors").stat().st_mtime_ns
    capsys.readouterr()
    train_tiny.main(command)
    assert capsys.readouterr().out.count("is there already") == len(STAGES)
    assert (tmp_path / "host" / "model.safetensors").stat().st_mtime_ns == weights
