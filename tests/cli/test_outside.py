import os
import signal
import sys
from types import SimpleNamespace

import numpy as np
import pytest
from typer.testing import CliRunner

from foreign_methods import checkpoint_with_code, importable
from lavseg import write_avsbench
from lavseg.cli import app
from lavseg.media import write_video

# What each command needs beside its model.
COMMANDS = {
    "segment": ["clip.mp4", "--model", "checkpoint", "--out", "out"],
    "evaluate": ["--model", "checkpoint", "--data", "data", "--dataset", "avsbench", "--subset", "s4"],
    "push": ["checkpoint", "org/name"],
    "train": [
        *("--data", "data", "--dataset", "avsbench", "--subset", "s4", "--model", "checkpoint", "--out", "run"),
        *("--use_cpu", "--max_steps", "1", "--report_to", "none", "--disable_tqdm", "true"),
    ],
}


@pytest.mark.parametrize("command", COMMANDS)
def test_a_plugin_that_cannot_be_imported_ends_the_command_in_one_line(command, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "plugin_one.py").write_text("")
    (tmp_path / "plugin_two.py").write_text("raise RuntimeError('two\\nlines')")
    with importable(tmp_path):
        plugins = ["--plugin", "plugin_one", "--plugin", "plugin_two"]
        done = CliRunner().invoke(app, [command, *COMMANDS[command], *plugins])
    assert done.exit_code == 2 and done.stdout == ""
    assert done.stderr == f"lavseg {command}: plugin plugin_two: cannot be used (two lines)\n"


def test_code_of_a_checkpoint_runs_only_where_the_command_is_told_to_trust_it(tmp_path, monkeypatch, hub):
    monkeypatch.chdir(tmp_path)
    write_avsbench(tmp_path / "data", {"s4": {"train": 1, "test": 1}}, (32, 40))
    frames = np.zeros((1, 32, 40, 3), np.uint8)
    write_video(tmp_path / "clip.mp4", frames, 1, np.zeros((1, 16000), np.float32), 16000)
    with checkpoint_with_code(tmp_path, monkeypatch):
        for command, words in COMMANDS.items():
            done = CliRunner().invoke(app, [command, *words])
            assert done.exit_code == 2 and "(--trust-remote-code)" in done.stderr, (command, done.output)
        assert not hub.requests and not (tmp_path / "out").exists() and not (tmp_path / "run").exists()
        for command, words in COMMANDS.items():
            done = CliRunner().invoke(app, [command, *words, "--trust-remote-code"])
            assert done.exit_code == 0, (command, done.output)
    assert (tmp_path / "run" / "own_gavs.py").is_file() and "own_gavs.py" in hub.repos["org/name"]["files"]


def test_the_app_takes_both(tmp_path, monkeypatch):
    launched = []
    monkeypatch.setitem(sys.modules, "lavseg.app", SimpleNamespace(launch=lambda *given: launched.append(given)))
    monkeypatch.setattr(signal, "signal", lambda *given: None)
    monkeypatch.setattr(os, "environ", dict(os.environ))
    (tmp_path / "plugin_of_app.py").write_text("")
    with importable(tmp_path):
        words = ["app", "--model", "a-model", "--plugin", "plugin_of_app", "--trust-remote-code"]
        done = CliRunner().invoke(app, words)
        assert done.exit_code == 0 and "plugin_of_app" in sys.modules, done.output
    assert launched[0][0] == ["a-model"] and launched[0][-1] is True


@pytest.mark.parametrize("command", [*COMMANDS, "app"])
def test_help_says_what_trust_means(command):
    done = CliRunner().invoke(app, [command, "--help"], env={"COLUMNS": "400"})
    assert "--trust-remote-code" in done.stdout and "They can do whatever you can" in done.stdout
