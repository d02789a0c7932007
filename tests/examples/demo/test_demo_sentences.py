import json

import pytest
import run_demo
from demo import sentence_examples

from lavseg.checkpoint import load_checkpoint


@pytest.mark.slow
@pytest.mark.parametrize(
    ("method", "host", "model_class"), [("eemc", "Mask2Former", "EemcModel"), ("simtoken", "SAM", "SimTokenModel")]
)
@pytest.mark.usefixtures("small_clips", "small_hosts", "small_batches", "processes_here")
def test_the_whole_demo_of_a_method_that_is_not_shipped(
    method, host, model_class, untrained, tmp_path, monkeypatch, capsys
):
    monkeypatch.setattr(sentence_examples, "EXAMPLES_PER_KIND", 1)
    monkeypatch.setattr(sentence_examples, "WORST_EXAMPLES", 1)
    output, few = tmp_path / "demo", ["--steps=4", "--clips=4", "--host_steps=1"]
    run_demo.main([f"--method={method}", f"--out={output}", f"--model={untrained}", *few])
    printed = capsys.readouterr().out
    assert all(f"{stage}/8" in printed for stage in range(1, 9)) and f"Get a tiny {host}, " in printed

    report = json.loads((output / "report.json").read_text())
    assert report["method"] == method and 0 < report["parameters_trained"] < report["parameters"]
    for name in ("seen", "unseen", "untrained"):
        assert report[name].keys() == {"jaccard", "f_score", "j_and_f", "protocol"}
    assert 0 <= report["null"]["s"] <= 1
    assert {"j_and_f", "j_and_f_silent"} <= report["needs_sound"].keys()

    page = (output / "report.html").read_text()
    assert page.count('class="example"') >= 5 and page.count("<polyline") == 3 and "$" not in page
    assert f"{model_class} on clips of a drawn band" in page and "SAM2-LOVE" not in page

    model, processor = load_checkpoint(output / "model")
    assert type(model).__name__ == model_class and processor.needs_text
