import json

import pytest
import run_demo
from demo import sounding_objects

from lavseg.checkpoint import load_checkpoint

PARTS = {"single", "single_silent", "multi", "multi_silent"}


@pytest.fixture
def short(monkeypatch, small_clips, small_hosts, processes_here):
    for name, number in {"EXAMPLES_DRAWN": 2, "EXAMPLES_PER_KIND": 1, "WORST_EXAMPLES": 1}.items():
        monkeypatch.setattr(sounding_objects, name, number)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("method", "model"),
    [
        ("aural-sam2", "AuralSam2Model"),
        ("sama-avs", "SamaAvsModel"),
        ("gavs", "GavsModel"),
        ("st-bava", "StBavaModel"),
        ("avsegformer", "AvsegFormerModel"),
        ("tpavi", "TpaviModel"),
        ("stepping-stones", "SteppingStonesModel"),
    ],
)
def test_the_whole_demo_of_every_method(short, untrained, tmp_path, capsys, method, model):
    output = tmp_path / "demo"
    few = ["--steps=4", "--clips=2", "--host_steps=2"]
    run_demo.main([f"--method={method}", f"--out={output}", f"--model={untrained}", *few])
    printed = capsys.readouterr().out
    assert all(f"{stage}/7" in printed for stage in range(1, 8))

    report = json.loads((output / "report.json").read_text())
    assert report["method"] == method and 0 < report["parameters_trained"] < report["parameters"]
    for state in ("untrained", "trained"):
        assert report[state].keys() == PARTS
        for scores in report[state].values():
            assert scores["protocol"] == "frame"
            assert all(0 <= scores[name] <= 1 for name in ("jaccard", "f_score", "j_and_f", "s"))

    page = (output / "report.html").read_text()
    assert page.count("data:image/jpeg;base64,") == 3 * 4 and page.count("data:video/mp4;base64,") == 1
    assert page.count("<polyline") == 3 and "$" not in page and model in page
    assert "http://" not in page and "https://" not in page
    assert "SAM2-LOVE" not in page

    loaded, _ = load_checkpoint(output / "model")
    assert type(loaded).__name__ == model
    assert len(json.loads((output / "segmented" / "result.json").read_text())["frame_times"]) == 10
