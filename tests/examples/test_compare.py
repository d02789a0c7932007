import json
import re

import compare
import pytest


def made_up(method, jaccard, silent):
    scores = {"jaccard": jaccard, "f_score": jaccard / 2, "j_and_f": 0.75 * jaccard, "s": 0.5}
    return {
        "method": method,
        "host": "SAM2",
        "single": scores,
        "multi": {**scores, "jaccard": jaccard / 4},
        "single_silent": {**scores, "s": silent},
        "multi_silent": {**scores, "s": 3 * silent},
        "parameters_trained": 1234567,
        "seconds_per_clip": 0.125,
        "peak_memory_mb": 1500,
        "training_minutes": 12.25,
        "steps": 7,
    }


@pytest.mark.slow
def test_methods_are_compared_and_not_trained_twice(
    tmp_path, monkeypatch, capsys, untrained, small_clips, processes_here
):
    arguments = [f"--out={tmp_path}", "--methods", "gavs", "tpavi", "--frame_steps=1", "--steps=1", "--clips=2"]
    arguments.append(f"--model={untrained}")
    compare.main(arguments)
    found = json.loads((tmp_path / "comparison.json").read_text())
    scores, other = found
    assert other["method"] == "tpavi" and other["host"] == "PVT v2" and 0 <= other["single"]["jaccard"] <= 1
    assert scores["method"] == "gavs" and scores["steps"] == 1
    assert scores["seconds_per_clip"] > 0 and scores["peak_memory_mb"] > 100
    assert all(0 <= scores[part]["jaccard"] <= 1 for part in ("single", "multi", "single_silent", "multi_silent"))
    log = json.loads((tmp_path / "gavs" / "training_log.json").read_text())
    assert log["frames"][-1]["step"] == 1 and any("eval_single_jaccard" in entry for entry in log["clips"])
    first = (tmp_path / "comparison.md").read_text()

    monkeypatch.setattr(compare, "ProcessPoolExecutor", lambda *args, **kwargs: pytest.fail("trained twice"))
    compare.main(arguments)
    assert (tmp_path / "comparison.md").read_text() == first

    with pytest.raises(SystemExit, match="2"):
        compare.main([*arguments, "--steps=2"])
    assert "was begun with" in capsys.readouterr().err
    assert (tmp_path / "comparison.md").read_text() == first


def test_the_table_says_what_was_measured(tmp_path):
    compare.write_comparison(tmp_path, [made_up("gavs", 0.5, 0.1), made_up("st-bava", 0.25, 0.05)], 9, 7)
    text = (tmp_path / "comparison.md").read_text()
    table = [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line[:1] == "|"]
    assert {len(row) for row in table} == {len(compare.COLUMNS)} and tuple(table[0]) == compare.COLUMNS
    assert table[2] == [
        "gavs",
        "SAM2",
        "0.500",
        "0.250",
        "0.125",
        "0.250",
        "0.200",
        "1,234,567",
        "0.125",
        "1,500",
        "12.2",
    ]
    assert "9 steps of 16 single frames and 7 of 16 clips" in text and "](comparison.svg)" in text

    page, plot = (tmp_path / "comparison.html").read_text(), (tmp_path / "comparison.svg").read_text()
    assert plot.strip() in page and "st-bava" in page and "1,234,567" in page and "$" not in page
    widths = [float(width) for width in re.findall(r'<rect class="single"[^>]* width="([\d.]+)" height="14"', plot)]
    assert widths[0] == pytest.approx(2 * widths[1], abs=0.2)
