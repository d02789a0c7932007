import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from tiny.configurations import tiny_config

from lavseg.data import write_ref_avs
from lavseg.models.sam2_love import Sam2LoveConfig, Sam2LoveModel
from lavseg.training import last_checkpoint

SCRIPT = Path(__file__).parents[2] / "examples" / "run_train.py"
FAST = ["--use_cpu", "--dataloader_num_workers=0", "--per_device_train_batch_size=2", "--disable_tqdm=true"]
FAST += ["--logging_steps=1"]


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_ref_avs(tmp_path_factory.mktemp("data"), {"train": 3, "val": 1}, 3, (32, 40))


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory, tiny_processor):
    folder = tmp_path_factory.mktemp("checkpoint")
    torch.manual_seed(0)
    Sam2LoveModel(tiny_config(Sam2LoveConfig, len(tiny_processor.tokenizer))).save_pretrained(folder)
    tiny_processor.save_pretrained(folder)
    return folder


def test_a_mistake_is_one_line_and_writes_nothing(tmp_path):
    command = [sys.executable, str(SCRIPT), "--data_root=absent", f"--output_dir={tmp_path / 'run'}", "--model=M"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 2 and not list(tmp_path.iterdir())
    assert done.stderr.splitlines()[-1].startswith("run_train.py: ") and "absent" in done.stderr.splitlines()[-1]


def test_a_killed_run_goes_on_as_if_nothing_had_happened(tmp_path, data, checkpoint):
    """Over the end of an epoch, with random key frames and synthetic nulls, past a checkpoint that was cut off."""
    config = json.loads((checkpoint / "config.json").read_text()) | {"key_frame": "best"}
    start = tmp_path / "start"
    start.mkdir()
    for file in checkpoint.iterdir():
        (start / file.name).write_bytes(file.read_bytes())
    (start / "config.json").write_text(json.dumps(config))

    def launch(output, *more):
        values = [f"--model={start}", f"--data_root={data}", f"--output_dir={output}", "--max_steps=11"]
        values += ["--synthetic_null_probability=0.5", "--save_strategy=steps", "--save_steps=4"]
        values += ["--eval_strategy=steps", "--eval_steps=4", "--eval_splits=val"]
        command = [sys.executable, str(SCRIPT), *values, *FAST, *more]
        with (tmp_path / "log.txt").open("a") as log:
            return subprocess.Popen(command, stdout=log, stderr=log, env=os.environ | {"OMP_NUM_THREADS": "1"})

    whole, killed = tmp_path / "whole", tmp_path / "killed"
    reference, victim = launch(whole), launch(killed)
    while last_checkpoint(killed) is None and victim.poll() is None:
        time.sleep(0.01)
    victim.send_signal(signal.SIGKILL)
    assert victim.wait() == -signal.SIGKILL, (tmp_path / "log.txt").read_text()
    assert not (killed / "trainer_state.json").exists()
    (killed / "checkpoint-13").mkdir()
    (killed / "checkpoint-13" / "model.safetensors").write_bytes(b"cut")
    assert launch(killed, "--resume").wait() == 0, (tmp_path / "log.txt").read_text()
    assert reference.wait() == 0, (tmp_path / "log.txt").read_text()

    histories = [json.loads((run / "trainer_state.json").read_text())["log_history"] for run in (whole, killed)]
    names = ("step", "loss", "loss_bce", "loss_dice", "grad_norm", "learning_rate", "eval_val_loss", "eval_val_jaccard")
    expected, found = ([[entry.get(name) for name in names] for entry in history] for history in histories)
    assert len(expected) == 11 + 3 + 1 and found == expected
    weights = [load_file(run / "model.safetensors") for run in (whole, killed)]
    assert all(torch.equal(value, weights[1][name]) for name, value in weights[0].items())
