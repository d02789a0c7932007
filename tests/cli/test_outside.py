import pytest
from typer.testing import CliRunner

from foreign_methods import importable
from lavseg.cli import app

# What each command needs beside its model.
COMMANDS = {
    "segment": ["clip.mp4", "--model", "nowhere", "--out", "out"],
    "evaluate": ["--model", "nowhere", "--data", "data"],
    "push": ["nowhere", "org/name"],
    "train": ["--data", "data", "--out", "out", "--method", "gavs"],
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


@pytest.mark.parametrize("command", [*COMMANDS, "app"])
def test_help_says_what_trust_means(command):
    done = CliRunner().invoke(app, [command, "--help"], env={"COLUMNS": "400"})
    assert "--trust-remote-code" in done.stdout and "They can do whatever you can" in done.stdout
