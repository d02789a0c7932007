"""What `lavseg app` finds out before it loads anything; the page itself is in tests/app."""

import socket
import time
from importlib import import_module

import pytest
from typer.testing import CliRunner

from lavseg.cli import app

command = import_module("lavseg.cli.app")


@pytest.fixture(autouse=True)
def served(monkeypatch):
    """Models, hosts and ports that would have been served."""
    found = []
    monkeypatch.setattr(command, "_run", lambda *given: found.append(given))
    monkeypatch.setattr(command, "find_spec", lambda name: name)
    return found


def refused(*arguments):
    done = CliRunner().invoke(app, ["app", *arguments])
    assert done.exit_code == 2 and done.stdout == "" and done.stderr.count("\n") == 1, done.output
    return done.stderr


def test_a_model_has_to_be_given_outside_of_the_repository(served, monkeypatch, tmp_path):
    monkeypatch.setattr(command, "SHIPPED_MODEL", tmp_path)
    assert CliRunner().invoke(app, ["app", "--port", "0"]).exit_code == 0
    monkeypatch.setattr(command, "SHIPPED_MODEL", tmp_path / "none")
    assert "--model: is missing; give the folder or Hub id" in refused()
    assert CliRunner().invoke(app, ["app", "--model", "org/name"]).exit_code == 0
    assert served == [(str(tmp_path), "127.0.0.1", 0), ("org/name", "127.0.0.1", None)]


def test_without_gradio_it_says_how_to_install_it(served, monkeypatch):
    monkeypatch.setattr(command, "find_spec", lambda name: None)
    assert "pip install 'lavseg[app]'" in refused()
    assert not served


def test_a_port_that_is_none_is_refused():
    done = CliRunner().invoke(app, ["app", "--port", "99999"])
    assert done.exit_code == 2 and "--port" in done.stderr


def test_a_host_that_is_not_here_is_refused_at_once(served, tmp_path):
    for host in ("192.0.2.7", "no.such.host.invalid", "a..b", "::1::"):
        began = time.monotonic()
        said = refused("--host", host, "--model", str(tmp_path))
        assert said.startswith(f"lavseg app: --host, --port: cannot listen at {host} (")
        assert time.monotonic() - began < 10
    assert not served


def test_a_port_that_is_taken_is_refused_at_once(served, tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        said = refused("--port", str(taken.getsockname()[1]), "--model", str(tmp_path))
    assert "cannot listen at 127.0.0.1 port" in said and not served
