import re

import nbformat
import pytest
from nbclient import NotebookClient

from conftest import ROOT

EXAMPLES = ROOT / "examples"


@pytest.mark.slow
def test_the_notebook_runs(monkeypatch, tmp_path):
    if not (EXAMPLES / "sam2-love-tiny" / "model.safetensors").is_file():
        pytest.skip("the checkpoint examples/sam2-love-tiny is not there")
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    notebook = nbformat.read(EXAMPLES / "segment_clip.ipynb", as_version=4)
    nbformat.validate(notebook)
    NotebookClient(notebook, timeout=300, kernel_name="python3", resources={"metadata": {"path": EXAMPLES}}).execute()
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    printed = "".join(output.text for output in outputs if output.get("name") == "stdout")
    assert "(2, 10, 216, 288)" in printed
    assert len(re.findall(r"^ *\d+\.\d s( +\d+\.\d %){2}$", printed, re.M)) == 10
    assert any("image/png" in output.get("data", {}) for output in outputs)
