"""What commands print for people keeps its words whole in a narrow terminal."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from lavseg.cli import app
from lavseg.cli.evaluate import print_scores
from lavseg.cli.printing import print_json, print_table
from lavseg.data import write_avsbench


@pytest.fixture(autouse=True)
def narrow(monkeypatch):
    monkeypatch.setenv("COLUMNS", "20")


def cells(printed):
    return [[cell.strip() for cell in line.strip("│┃").replace("┃", "│").split("│")] for line in printed.splitlines()]


def test_json_is_one_line_of_ascii_without_nan(capsys):
    value = {"folder": "a\udcff/é", "scores": [0.5, None]}
    print_json(value)
    printed = capsys.readouterr().out
    assert printed.count("\n") == 1 and printed.isascii() and json.loads(printed) == value
    with pytest.raises(ValueError, match="not JSON compliant"):
        print_json({"score": float("nan")})


def test_cells_are_printed_as_they_are(capsys):
    rows = [["a folder/[bold]of/" + 300 * "é", 1.5], ["what :smile: says", None]]
    print_table(["a column [of paths]", "a number"], rows)
    found = cells(capsys.readouterr().out)
    assert found[1] == ["a column [of paths]", "a number"]
    assert found[3:5] == [[str(cell) for cell in row] for row in rows]


def test_counts_of_a_data_set(tmp_path):
    counts = {"train": 1, "test": 1}
    found = cells(CliRunner().invoke(app, ["data", "check", str(write_avsbench(tmp_path, {"v2": counts}))]).stdout)
    assert found[1] == ["subset", "split", "rows", "readable", "clips", "nulls", "sizes"]
    for split in counts:
        assert ["v2", split, "1", "1", "1", "0", "1"] in found


def test_scores(capsys):
    model = Path("/") / ("a folder [of mine] " * 20) / "model"
    scores = {"rows": 12, "jaccard": 0.25, "f_score": 0.5, "j_and_f": 0.375, "s": 1.0}
    report = {"model": str(model), "dataset": "ref_avs", "protocol": "frame"}
    print_scores(report | {"splits": {"test_unseen_objects": scores}})
    printed = capsys.readouterr().out
    assert printed.splitlines()[0] == f"{model}, protocol frame"
    assert cells(printed)[2] == ["split", "rows", "jaccard", "f_score", "j_and_f"]
    assert cells(printed)[4] == ["test_unseen_objects", "12", "0.2500", "0.5000", "0.3750"]
