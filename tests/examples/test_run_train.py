import json
import os
import shutil
import signal
import subprocess
import sys
import time

import pytest
import run_train
import torch
from safetensors.torch import load_file

from lavseg.training import last_checkpoint

FAST = ["--use_cpu", "--dataloader_num_workers=0", "--per_device_train_batch_size=2", "--disable_tqdm=true"]
FAST += ["--logging_steps=1"]


@pytest.fixture
def single_thread():
    """Sums come out the same in this process and in one that is started for a test."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def test_a_mistake_is_one_line_and_writes_nothing(tmp_path, capsys):
    with pytest.raises(SystemExit, match="2"):
        run_train.main(["--data=absent", f"--out={tmp_path / 'run'}", "--model=M"])
    last = capsys.readouterr().err.splitlines()[-1]
    assert last.startswith("run_train.py: ") and "absent" in last and not list(tmp_path.iterdir())


@pytest.mark.slow
def test_a_killed_run_goes_on_as_if_nothing_had_happened(tmp_path, ref_avs, untrained, single_thread):
    """Over the end of an epoch, with random key frames and synthetic nulls, past a checkpoint that was cut off."""
    start, whole, killed = tmp_path / "start", tmp_path / "whole", tmp_path / "killed"
    shutil.copytree(untrained, start)
    config = json.loads((start / "config.json").read_text()) | {"key_frame": "best", "handoff": "mask"}
    (start / "config.json").write_text(json.dumps(config))
    values = [f"--model={start}", f"--data={ref_avs}", "--max_steps=11"]
    values += ["--synthetic_null_probability=0.5", "--save_strategy=steps", "--save_steps=4"]
    values += ["--eval_strategy=steps", "--eval_steps=4", "--eval_splits=val", *FAST]

    program, log = [sys.executable, run_train.__file__, *values, f"--out={killed}"], tmp_path / "log.txt"
    with log.open("w") as file:
        victim = subprocess.Popen(program, stdout=file, stderr=file, env=os.environ | {"OMP_NUM_THREADS": "1"})
    while last_checkpoint(killed) is None and victim.poll() is None:
        time.sleep(0.01)
    victim.send_signal(signal.SIGKILL)
    assert victim.wait() == -signal.SIGKILL, log.read_text()
    assert not (killed / "trainer_state.json").exists()
    (killed / "checkpoint-13").mkdir()
    (killed / "checkpoint-13" / "model.safetensors").write_bytes(b"cut")
    run_train.main([*values, f"--out={killed}", "--resume"])
    run_train.main([*values, f"--out={whole}"])

    histories = [json.loads((run / "trainer_state.json").read_text())["log_history"] for run in (whole, killed)]
    names = ("step", "loss", "loss_bce", "loss_dice", "grad_norm", "learning_rate", "eval_val_loss", "eval_val_jaccard")
    expected, found = ([[entry.get(name) for name in names] for entry in history] for history in histories)
    assert len(expected) == 11 + 3 + 1 and found == expected
    weights = [load_file(run / "model.safetensors") for run in (whole, killed)]
    assert all(torch.equal(value, weights[1][name]) for name, value in weights[0].items())
