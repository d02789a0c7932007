"""`lavseg app` before it serves."""

import socket
import sys
import time

import pytest
from typer.testing import CliRunner

from lavseg.cli import app as cli


def test_a_port_that_is_none_is_refused():
    refused = CliRunner().invoke(cli, ["app", "--port", "99999"])
    assert refused.exit_code == 2 and "--port" in refused.stderr


@pytest.mark.parametrize(
    "options", [("--host", "192.0.2.7"), ("--host", "no.such.host.invalid"), ("--host", "a..b"), ("--host", "::1::")]
)
def test_a_host_that_is_not_here_is_refused_at_once(options):
    began = time.monotonic()
    refused = CliRunner().invoke(cli, ["app", *options])
    assert refused.exit_code == 2 and refused.stderr.count("\n") == 1
    assert refused.stderr.startswith(f"lavseg app: --host, --port: cannot listen at {options[1]} (")
    assert time.monotonic() - began < 10


def test_a_port_that_is_taken_is_refused_at_once():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        refused = CliRunner().invoke(cli, ["app", "--port", str(taken.getsockname()[1])])
    assert refused.exit_code == 2 and "cannot listen at 127.0.0.1 port" in refused.stderr


def test_without_gradio_or_a_model_the_command_says_what_to_do(monkeypatch, tmp_path):
    from lavseg.cli import serve

    monkeypatch.setattr(sys.modules[serve.__module__], "SHIPPED_MODEL", tmp_path / "none")
    done = CliRunner().invoke(cli, ["app"])
    assert done.exit_code == 2 and "--model: is missing" in done.stderr
    monkeypatch.setattr(sys.modules[serve.__module__], "find_spec", lambda name: None)
    done = CliRunner().invoke(cli, ["app"])
    assert done.exit_code == 2 and "pip install 'lavseg[app]'" in done.stderr


def test_the_toy_is_served_where_no_model_is_given(monkeypatch):
    from lavseg.cli import serve

    module, served = sys.modules[serve.__module__], []
    monkeypatch.setattr(module, "_serve", lambda plugins, models, *rest: served.append(models))
    done = CliRunner().invoke(cli, ["app"])
    assert done.exit_code == 0 and served == [[str(module.SHIPPED_MODEL)]] and not done.stderr
    done = CliRunner().invoke(cli, ["app", "--model", "a", "--model", "b"])
    assert done.exit_code == 0 and served[1] == ["a", "b"] and not done.stderr


def test_a_space_takes_no_plugin_and_says_how_it_is_uploaded(saved_sama_avs, tmp_path):
    made = tmp_path / "space"
    refused = CliRunner().invoke(cli, ["app", "--space", str(made), "--plugin", "json"])
    assert refused.exit_code == 2 and "--plugin: a Space holds this package alone" in refused.stderr
    named = CliRunner().invoke(cli, ["app", "--space", str(made), "--model", "auralsam2-ref-avs"])
    assert named.exit_code == 2 and "not auralsam2-ref-avs" in named.stderr and not made.exists()
    done = CliRunner().invoke(cli, ["app", "--space", str(made), "--model", str(saved_sama_avs)])
    assert done.exit_code == 0 and f"hf upload USER/NAME {made} --repo-type space" in done.stdout
    assert (made / "app.py").is_file() and (made / "checkpoints" / saved_sama_avs.name / "config.json").is_file()
    again = CliRunner().invoke(cli, ["app", "--space", str(made), "--model", str(saved_sama_avs)])
    assert again.exit_code == 2 and again.stderr.startswith("lavseg app: space: ")
