"""The notebook runs, and is stored with what it prints and shows."""

import re
import runpy

import nbformat
import pytest

from conftest import ROOT

NOTEBOOK = ROOT / "examples" / "segment_clip.ipynb"


def check_outputs(notebook):
    nbformat.validate(notebook)
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    outputs = [output for cell in cells for output in cell.outputs]
    printed = "".join(output.text for output in outputs if output.output_type == "stream")
    assert printed.startswith("(2, 10, 216, 288)\n")
    assert len(re.findall(r"^ *\d+\.\d s( +\d+\.\d %){2}$", printed, re.M)) == 10
    assert len(re.findall(r": estimated IoU \d\.\d\d, visible in \d+ of 10 frames$", printed, re.M)) == 2
    pictures = [output.data for output in outputs if output.output_type == "execute_result"]
    assert [set(data) for data in pictures] == [{"image/jpeg", "text/plain"}] * 2
    assert {output.get("name", "stdout") for output in outputs} == {"stdout"}


def test_it_is_stored_with_its_outputs_and_small():
    check_outputs(nbformat.read(NOTEBOOK, as_version=4))
    assert NOTEBOOK.stat().st_size < 400_000


@pytest.mark.slow
def test_the_notebook_runs(monkeypatch, tmp_path):
    if not (ROOT / "examples" / "sam2-love-tiny" / "model.safetensors").is_file():
        pytest.skip("the checkpoint examples/sam2-love-tiny is not there")
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    check_outputs(runpy.run_path(str(ROOT / "docs" / "run_notebook.py"))["run"](NOTEBOOK))
