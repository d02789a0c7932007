import json
import random
import shutil

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from lavseg.training.checkpoints import checkpoint_fault, last_checkpoint, warn_of_other_processes


@pytest.fixture
def run(tmp_path):
    """A folder with two checkpoints, as the Trainer writes them."""
    for step in (9, 10):
        folder = tmp_path / f"checkpoint-{step}"
        folder.mkdir()
        weight = torch.nn.Parameter(torch.zeros(1000))
        optimizer = torch.optim.AdamW([weight])
        scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1.0)
        weight.sum().backward()
        optimizer.step()
        states = {"python": random.getstate(), "numpy": np.random.get_state(), "cpu": torch.random.get_rng_state()}
        save_file({"weight": weight.detach()}, folder / "model.safetensors")
        torch.save(optimizer.state_dict(), folder / "optimizer.pt")
        torch.save(scheduler.state_dict(), folder / "scheduler.pt")
        torch.save(states, folder / "rng_state.pth")
        (folder / "trainer_state.json").write_text("{}")
    (tmp_path / "checkpoint-best").mkdir()
    (tmp_path / "checkpoint-best" / "trainer_state.json").write_text("{}")
    return tmp_path


def cut(path):
    path.write_bytes(path.read_bytes()[:-10])


def flip(path):
    content = bytearray(path.read_bytes())
    for place in range(64, len(content) - 64, 97):
        content[place] ^= 255
    path.write_bytes(content)


def empty(path):
    path.write_bytes(b"")


def other(path):
    torch.save({}, path)


DAMAGES = [
    ("trainer_state.json", (cut, empty)),
    ("model.safetensors", (cut, empty, other)),
    ("optimizer.pt", (cut, flip, empty, other)),
    ("scheduler.pt", (cut, flip, empty, other)),
    ("rng_state.pth", (cut, flip, empty, other)),
]


def test_the_newest_whole_checkpoint_is_found(run):
    assert last_checkpoint(run) == str(run / "checkpoint-10")
    shutil.copytree(run / "checkpoint-10", run / "checkpoint-100")
    assert last_checkpoint(run) == str(run / "checkpoint-100")


@pytest.mark.parametrize(("name", "damages"), DAMAGES, ids=[name for name, _ in DAMAGES])
def test_one_with_something_missing_or_damaged_is_passed_over_in_one_line(run, caplog, name, damages):
    path = run / "checkpoint-10" / name
    whole = path.read_bytes()
    for damage in (*damages, lambda path: path.unlink()):
        caplog.clear()
        damage(path)
        assert last_checkpoint(run) == str(run / "checkpoint-9"), damage
        (said,) = caplog.messages
        assert f"{path.parent}: is passed over" in said and name.split(".")[0] in said and "\n" not in said
        path.write_bytes(whole)
    assert last_checkpoint(run) == str(run / "checkpoint-10")


def test_files_of_several_processes_parts_and_other_libraries_are_known(run):
    folder = run / "checkpoint-10"
    (folder / "rng_state.pth").rename(folder / "rng_state_0.pth")
    shutil.copy(folder / "rng_state_0.pth", folder / "rng_state_1.pth")
    (folder / "model.safetensors").rename(folder / "model-00001-of-00001.safetensors")
    index = {"weight_map": {"weight": "model-00001-of-00001.safetensors"}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    assert checkpoint_fault(folder) is None
    cut(folder / "rng_state_1.pth")
    assert "rng_state" in checkpoint_fault(folder)
    (folder / "global_step10").mkdir()  # of DeepSpeed
    assert checkpoint_fault(folder) is None


def test_there_may_be_none(tmp_path):
    assert last_checkpoint(tmp_path) is None
    assert last_checkpoint(tmp_path / "absent") is None
    assert "trainer_state.json" in checkpoint_fault(tmp_path / "absent")


def test_another_number_of_processes_is_said(run, monkeypatch):
    said = []
    monkeypatch.setattr("lavseg.training.checkpoints.logger.warning", said.append)
    checkpoint = run / "checkpoint-9"
    warn_of_other_processes(checkpoint, 1)
    assert said == []
    warn_of_other_processes(checkpoint, 2)
    for process in range(4):
        shutil.copy(checkpoint / "rng_state.pth", checkpoint / f"rng_state_{process}.pth")
    (checkpoint / "rng_state.pth").unlink()
    warn_of_other_processes(checkpoint, 4)
    warn_of_other_processes(checkpoint, 1)
    assert [text.split(": ")[1].split(";")[0] for text in said] == [
        "was written by 1 processes and is resumed on 2",
        "was written by 4 processes and is resumed on 1",
    ]
