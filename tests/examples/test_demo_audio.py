import json
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import pytest

from lavseg.checkpoint import load_checkpoint

EXAMPLES = Path(__file__).parents[2] / "examples"
PARTS = {"single", "single_silent", "multi", "multi_silent"}


@pytest.fixture
def demo(monkeypatch):
    monkeypatch.setenv("ACCELERATE_USE_CPU", "true")
    monkeypatch.syspath_prepend(EXAMPLES)
    import demo_audio
    import train_host

    # Processes of their own cost more than the few clips that they would render.
    monkeypatch.setattr(train_host, "ProcessPoolExecutor", lambda **options: ThreadPoolExecutor(1))
    monkeypatch.setattr(demo_audio, "train_sam", partial(demo_audio.train_sam, clips=4))
    return demo_audio


@pytest.mark.parametrize(
    ("method", "model"),
    [
        ("aural-sam2", "AuralSam2Model"),
        ("sama-avs", "SamaAvsModel"),
        ("gavs", "GavsModel"),
        ("st-bava", "StBavaModel"),
    ],
)
def test_the_whole_demo_of_every_method(demo, tmp_path, capsys, method, model):
    output = tmp_path / "demo"
    demo.main([f"--method={method}", f"--output={output}", "--minutes=0", "--clips=2", "--sam_steps=2"])
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
    assert page.count("data:image/jpeg;base64,") == 4 and page.count("data:video/mp4;base64,") == 1
    assert page.count("<polyline") == 3 and "$" not in page and model in page
    assert "http://" not in page and "https://" not in page
    assert "SAM2-LOVE" not in page

    loaded, _ = load_checkpoint(output / "model")
    assert type(loaded).__name__ == model
    assert len(json.loads((output / "segmented" / "result.json").read_text())["frame_times"]) == 10


@pytest.mark.parametrize(
    ("option", "words"),
    [("--checkpoint=absent", "no config.json"), ("--clips=1", "at least 2"), ("--method=sam2-love", "invalid choice")],
)
def test_unusable_options_are_refused_at_once(demo, tmp_path, capsys, option, words):
    with pytest.raises(SystemExit):
        demo.main(["--method=gavs", f"--output={tmp_path / 'demo'}", option])
    assert words in capsys.readouterr().err and not (tmp_path / "demo").exists()


def test_foreign_folders_are_left_alone(demo, tmp_path):
    (tmp_path / "thesis.tex").touch()
    with pytest.raises(SystemExit, match="no earlier demo"):
        demo.main(["--method=gavs", f"--output={tmp_path}"])
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]
