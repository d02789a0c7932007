import json

import compare
import pytest
from comparison import runs

METHODS = ("gavs", "tpavi", "eemc", "referformer-absence", "sam2-love")


@pytest.mark.slow
def test_methods_of_both_tables_are_compared_and_not_trained_twice(
    tmp_path, monkeypatch, capsys, untrained, small_clips, small_hosts, processes_here
):
    arguments = [f"--out={tmp_path}", f"--model={untrained}", "--methods", *METHODS]
    arguments += [f"--{name}=1" for name in ("frame_steps", "steps", "host_steps")] + ["--clips=3"]
    compare.main(arguments)
    found = json.loads((tmp_path / "comparison.json").read_text())
    hosts = {name: {scores["method"]: scores["host"] for scores in rows} for name, rows in found.items()}
    assert hosts == {
        "hearing": {"gavs": "SAM2", "tpavi": "PVT v2"},
        "reading": {
            **{"sam2-love": "SAM2", "gavs": "SAM2", "tpavi": "PVT v2", "eemc": "Mask2Former"},
            "referformer-absence": "ResNet",
        },
    }
    for scores in (*found["hearing"], *found["reading"]):
        assert scores["steps"] == 1 and scores["seconds_per_clip"] > 0 and scores["peak_memory_mb"] > 100
    parts = ("single", "multi", "single_silent", "multi_silent")
    assert all(0 <= scores[part]["jaccard"] <= 1 for scores in found["hearing"] for part in parts)
    for scores in found["reading"]:
        for part in ("seen", "unseen"):
            assert all(0 <= scores[part][name] <= 1 for name in ("jaccard", "f_score", "j_and_f"))
        assert 0 <= scores["null"]["s"] <= 1
    for part, key in (("hearing/gavs", "eval_single_jaccard"), ("reading/eemc", "eval_sentences_jaccard")):
        log = json.loads((tmp_path / part / "training_log.json").read_text())
        assert log["frames"][-1]["step"] == 1 and any(key in entry for entry in log["clips"])
    first = (tmp_path / "comparison.md").read_text()
    assert "PVT v2, taught what each place of a frame shows" in first

    monkeypatch.setattr(runs, "ProcessPoolExecutor", lambda *args, **kwargs: pytest.fail("trained twice"))
    compare.main(arguments)
    assert (tmp_path / "comparison.md").read_text() == first

    with pytest.raises(SystemExit, match="2"):
        compare.main([*arguments, "--steps=2"])
    assert "was begun with" in capsys.readouterr().err
    assert (tmp_path / "comparison.md").read_text() == first


@pytest.mark.parametrize("name", ["frame_steps", "steps", "host_steps", "clips"])
def test_there_is_something_to_learn(tmp_path, capsys, name):
    with pytest.raises(SystemExit, match="2"):
        compare.main([f"--out={tmp_path / 'out'}", f"--{name}=0"])
    assert f"--{name}: at least 1 is needed, got 0" in capsys.readouterr().err and not (tmp_path / "out").exists()
