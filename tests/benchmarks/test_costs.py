import sys

import costs
import pytest
import torch
from tiny.configurations import tiny_config

SMALL = {"image_size": 128, "frames": 2}


@pytest.fixture
def small(monkeypatch):
    """Tiny configurations, and afterwards nothing is watched any more."""

    def make_config(method, host, image_size, **fields):
        return tiny_config(costs.CLASSES[method][0], **fields)

    monkeypatch.setattr(costs, "make_config", make_config)
    monkeypatch.setattr(costs, "DEVICE", "cpu")
    for module in (costs.modeling_aural_sam2, costs.key_frame_tracking):
        monkeypatch.setattr(module, "encode_images", module.encode_images)
    monkeypatch.setattr(costs.modeling_aural_sam2, "track_every_frame", costs.modeling_aural_sam2.track_every_frame)
    for method in ("segment", "best_key_frames", "prompt"):
        monkeypatch.setattr(costs.KeyFrameTracker, method, getattr(costs.KeyFrameTracker, method))


@pytest.mark.parametrize(
    ("method", "arm"),
    [
        *(("aural_sam2", "ours x6"), ("aural_sam2", "step"), ("sam2_love", "ours x6"), ("sam2", "click")),
        *(("gavs", "step"), ("sama_avs", "sound"), ("st_bava", "sound")),
    ],
)
def test_a_cell_tells_its_parts(small, method, arm):
    result = costs.measure(method=method, host="tiny", arm=arm, precision="bfloat16", **SMALL)
    assert result["encoder"] > 0 and result["tracking"] > 0 and result["fusion"] >= 0
    assert result["peak_mb"] > 100 and result["threads"] == torch.get_num_threads()


def test_what_is_measured_inside_counts_once(monkeypatch):
    monkeypatch.setattr(costs.time, "perf_counter", iter([0, 1, 3, 4, 9, 10]).__next__)
    clock = costs.Clock()
    with clock.measure("outer"):
        for _ in range(2):
            with clock.measure("inner"):
                pass
    assert clock.seconds == {"inner": 7, "outer": 3}


def test_cells_are_chosen_by_their_names():
    everything = costs.choose_cells(["*"], **SMALL)
    assert len({costs.name_of(cell) for cell in everything}) == len(everything)
    assert len(everything) == 2 * (3 * (1 + 5 + 3) + 2 * (2 + 3 * 2) + 2)
    few = costs.choose_cells(["aural_sam2/tiny/released/*", "sam2_love/*/ours x6/float32"], **SMALL)
    assert [costs.name_of(cell) for cell in few] == [
        "aural_sam2/tiny/released/float32",
        "aural_sam2/tiny/released/bfloat16",
        *(f"sam2_love/{host}/ours x6/float32" for host in costs.HOSTS),
    ]


def test_the_table_has_ratios_and_says_what_died(monkeypatch, tmp_path, capsys):
    seconds = {"ours x1": 2.0, "ours x6": 3.0, "click": 1.6, "sound": 1.2, "released": 2.4}

    def run_cells(cells, measure, file):
        parts = {
            arm: {"encoder": 1.0, "fusion": 0.0, "tracking": total - 1, "peak_mb": 900}
            for arm, total in seconds.items()
        }
        return [{**cell, **parts.get(cell["arm"], {"died": "killed by SIGKILL"})} for cell in cells]

    monkeypatch.setattr(costs, "run_cells", run_cells)
    monkeypatch.setattr(costs, "find_spec", lambda name: name)
    monkeypatch.setattr(sys, "argv", ["costs.py", "--only", "*sam2/large/*/float32", "--results", str(tmp_path / "r")])
    costs.main()
    lines = capsys.readouterr().out.splitlines()
    assert [line for line in lines if line.startswith("#")] == ["## sam2", "## aural_sam2"]
    columns, rows = lines[2], [line for line in lines if line.startswith("| large")]
    assert rows == [
        "| large | click | float32 | 1.00 | 0.00 | 0.60 | 0.625 |  |  |  | 900 |",
        "| large | ours x1 | float32 | 1.00 | 0.00 | 1.00 | 0.500 |  | 1.25 |  | 900 |",
        "| large | ours x6 | float32 | 1.00 | 0.00 | 2.00 | 0.333 | 0.100 |  |  | 900 |",
        "| large | sound | float32 | 1.00 | 0.00 | 0.20 | 0.833 |  | 0.75 | 0.50 | 900 |",
        "| large | released | float32 | 1.00 | 0.00 | 1.40 | 0.417 |  |  |  | 900 |",
        "| large | step | float32 | killed by SIGKILL |  |  |  |  |  |  |  |",
    ]
    assert all(row.count("|") == columns.count("|") for row in rows)


def test_patterns_that_match_nothing_are_refused(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["costs.py", "--only", "sam2-love/*"])
    with pytest.raises(SystemExit) as stop:
        costs.main()
    assert stop.value.code == 2 and "--only: no cell is named so: sam2-love/*" in capsys.readouterr().err
