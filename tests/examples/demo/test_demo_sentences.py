import json

import pytest
import run_demo
from demo import sentence_examples

from lavseg.checkpoint import load_checkpoint


@pytest.mark.slow
@pytest.mark.parametrize(
    ("method", "host", "name", "hears"),
    [
        ("eemc", "Mask2Former", "EemcModel", True),
        ("simtoken", "SAM", "SimTokenModel", True),
        ("referformer", "ResNet", "ReferFormerModel", False),
    ],
)
@pytest.mark.usefixtures("small_clips", "small_hosts", "small_batches", "processes_here")
def test_the_whole_demo_of_a_method_that_is_not_shipped(
    method, host, name, hears, untrained, tmp_path, monkeypatch, capsys
):
    monkeypatch.setattr(sentence_examples, "EXAMPLES_PER_KIND", 1)
    monkeypatch.setattr(sentence_examples, "WORST_EXAMPLES", 1)
    output, few = tmp_path / "demo", ["--steps=4", "--clips=4", "--host_steps=1"]
    run_demo.main([f"--method={method}", f"--out={output}", f"--model={untrained}", *few])
    printed = capsys.readouterr().out
    assert all(f"{stage}/8" in printed for stage in range(1, 9)) and f"Get a tiny {host}, " in printed

    report = json.loads((output / "report.json").read_text())
    assert report["method"] == method and 0 < report["parameters_trained"] < report["parameters"]
    for part in ("seen", "unseen", "untrained"):
        assert report[part].keys() == {"jaccard", "f_score", "j_and_f", "protocol"}
    assert 0 <= report["null"]["s"] <= 1
    assert {"j_and_f", "j_and_f_blank"} <= report["needs_words"].keys()
    assert ("needs_sound" in report) == hears

    page = (output / "report.html").read_text()
    assert page.count('class="example"') >= 5 and page.count("<polyline") == 3 and "$" not in page
    assert f"{name} on clips of a drawn band" in page and "SAM2-LOVE" not in page

    model, processor = load_checkpoint(output / "model")
    assert type(model).__name__ == name and processor.needs_audio == hears and processor.needs_text
