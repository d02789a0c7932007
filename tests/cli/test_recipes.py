import json

from typer.testing import CliRunner

from lavseg.cli import app


def test_a_line_for_each_recipe():
    done = CliRunner().invoke(app, ["recipes"])
    assert done.exit_code == 0
    line = next(line for line in done.output.splitlines() if " sam2_love " in line)
    assert "SAM2-LOVE" in line and "table 1" in line and "test_u J 66.5 F 72.3" in line


def test_all_that_is_known_for_machines():
    found = {recipe["name"]: recipe for recipe in json.loads(CliRunner().invoke(app, ["recipes", "--json"]).output)}
    assert found["sam2_love"]["keys"]["learning_rate"] == 1e-4
    assert found["sam2_love"]["reproduces"]["published"]["test_s"]["J"] == 43.5
