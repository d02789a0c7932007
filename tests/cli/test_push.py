import json

import pytest
import typer
from typer.testing import CliRunner

from lavseg.cli.push import push

NAME = "org/a-model"
app = typer.Typer()
app.command()(push)


@pytest.mark.parametrize("options", [[], ["--private", "--json"]])
def test_push_prints_the_url_of_the_page(hub, saved_sama_avs, options):
    done = CliRunner().invoke(app, [str(saved_sama_avs), NAME, *options])
    assert done.exit_code == 0, done.output
    page = f"{hub.endpoint}/{NAME}"
    if options:
        assert json.loads(done.stdout) == {"name": NAME, "page": page}
    else:
        assert done.stdout == f"{page}\n"
    assert hub.repos[NAME]["private"] == bool(options)
    assert {"config.json", "model.safetensors", "processor_config.json", "README.md"} <= set(hub.repos[NAME]["files"])


@pytest.mark.parametrize(
    ("folder", "name", "word"),
    [("nowhere", NAME, "no such folder"), (".", NAME, "config.json"), (None, "a-model", "ORG/NAME")],
)
def test_mistakes_give_one_line_and_status_2(hub, saved_sama_avs, tmp_path, folder, name, word):
    done = CliRunner().invoke(app, [str(saved_sama_avs if folder is None else tmp_path / folder), name])
    assert done.exit_code == 2 and not hub.requests and done.stdout == ""
    assert done.stderr.startswith("lavseg push: ") and word in done.stderr and done.stderr.count("\n") == 1
