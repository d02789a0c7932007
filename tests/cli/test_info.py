import json
from importlib import import_module, metadata

import torch
from typer.testing import CliRunner

from lavseg import __version__
from lavseg.cli import app


def test_versions_and_devices_for_people():
    result = CliRunner().invoke(app, ["info"])
    assert result.exit_code == 0
    lines = dict(line.split(maxsplit=1) for line in result.stdout.splitlines())
    assert lines["lavseg"] == __version__ and "cores" in lines["cpu"]
    assert lines["transformers"] == metadata.version("transformers")


def test_versions_and_devices_for_machines():
    found = json.loads(CliRunner().invoke(app, ["info", "--json"]).stdout)
    assert found["packages"]["lavseg"] == __version__
    for device in found["devices"]:
        torch.empty(1, device=device["name"])


def test_what_is_not_installed_is_said(monkeypatch):
    def version(name):
        if name == "gradio":
            raise metadata.PackageNotFoundError(name)
        return "1.0"

    monkeypatch.setattr(import_module("lavseg.cli.info"), "version", version)
    assert "gradio           not installed" in CliRunner().invoke(app, ["info"]).stdout
    assert json.loads(CliRunner().invoke(app, ["info", "--json"]).stdout)["packages"]["gradio"] is None
