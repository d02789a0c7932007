import re

import pytest
from comparison.tables import TABLES, write_tables

COSTS = {"parameters_trained": 1234567, "seconds_per_clip": 0.125, "peak_memory_mb": 1500, "training_minutes": 12.25}
SHOWN_COSTS = ["1,234,567", "0.125", "1,500", "12.2"]


def made_up(method, jaccard, silent):
    scores = {"jaccard": jaccard, "f_score": jaccard / 2, "j_and_f": 0.75 * jaccard, "s": 0.5}
    parts = {
        **{"single": scores, "multi": {**scores, "jaccard": jaccard / 4}},
        **{"single_silent": {**scores, "s": silent}, "multi_silent": {**scores, "s": 3 * silent}},
        **{"seen": scores, "unseen": {**scores, "j_and_f": jaccard / 4}, "null": {"s": silent}},
    }
    return {"method": method, "host": "SAM2", **parts, **COSTS}


def test_the_tables_say_what_was_measured(tmp_path):
    rows = [made_up("gavs", 0.5, 0.1), made_up("tpavi", 0.25, 0.05)]
    write_tables(tmp_path, {"hearing": rows, "reading": rows[:1]}, "9 steps.", "Hosts: SAM2.")
    text, page = ((tmp_path / f"comparison.{kind}").read_text() for kind in ("md", "html"))
    lines = [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line[:1] == "|"]
    heard, read = lines[:4], lines[4:]
    assert [tuple(table[0]) for table in (heard, read)] == [TABLES[name].columns for name in ("hearing", "reading")]
    assert heard[2] == ["gavs", "SAM2", "0.500", "0.250", "0.125", "0.250", "0.200", *SHOWN_COSTS]
    scores = ["0.500", "0.250", "0.375", "0.500", "0.250", "0.125", "0.100"]
    assert read[2:] == [["gavs", "SAM2", *scores, *SHOWN_COSTS]]
    assert "9 steps." in text and "Hosts: SAM2." in text and "9 steps." in page and "tpavi" in page and "$" not in page

    for name, ratio in (("hearing", 4), ("reading", 3)):
        plot = (tmp_path / f"comparison_{name}.svg").read_text()
        assert plot.strip() in page and f"](comparison_{name}.svg)" in text
        first, second = (
            float(re.search(rf'<rect class="{bar}" x="100" y="\d+" width="([\d.]+)" height="14"', plot)[1])
            for bar in ("first", "second")
        )
        assert first == pytest.approx(ratio * second, abs=0.5)
