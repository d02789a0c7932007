import json

import numpy as np
import pytest
import sam2_love_options as options
import torch

from lavseg.data import load_ref_avs, row_masks, write_ref_avs

CLIPS = {"train": 2, "test_s": 1, "test_n": 1, "val": 16}


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    folder = tmp_path_factory.mktemp("options") / "tree"
    write_ref_avs(folder, CLIPS, num_frames=10, frame_size=(56, 72), seed=3)
    return folder


def test_late_are_the_rows_whose_object_the_first_frame_does_not_show(tree):
    rows = load_ref_avs(tree, "val")
    late = list(options.late_rows(rows)["id"])
    assert late and set(late) < set(rows["id"])
    for row in rows:
        masks = row_masks(row)
        assert (row["id"] in late) == (not masks[0].any() and masks[1:].any())


@pytest.mark.parametrize("name", options.ARMS)
def test_every_arm_is_trained_from_the_same_start_in_its_own_form(name, tree, untrained, tmp_path, monkeypatch):
    started = {}

    class Still(options.LavsegTrainer):
        def train(self):
            started.update(model=self.model, weights=self.model.loss_weights, args=self.args)

    monkeypatch.setattr(options, "LavsegTrainer", Still)
    arm = options.ARMS[name]
    model = options.train(arm, untrained, tree, tmp_path, steps=10, seed=0)
    assert started["model"] is model and not model.training
    assert {key: getattr(model.config, key) for key in options.PLAIN} == {**options.PLAIN, **arm.config}
    assert started["weights"].items() >= {"bce": 1.0, "dice": 1.0, **arm.loss_weights}.items()
    assert started["args"].synthetic_null_probability == arm.null_probability
    expected = options.AutoModel.from_pretrained(untrained, dtype=torch.float32)
    token = "prompter.seg_tokens"
    assert torch.equal(model.get_parameter(token), expected.get_parameter(token))


def test_every_clip_is_run_once_for_all_scores(tree, untrained, monkeypatch):
    model, runs = options.AutoModel.from_pretrained(untrained).eval(), []
    collator = options.ClipCollator(options.AutoProcessor.from_pretrained(untrained))
    apart = options.evaluate(model, collator, load_ref_avs(tree, "test_s"))
    monkeypatch.setattr(options, "evaluate", lambda *given: apart)  # of the late rows
    model.register_forward_hook(lambda *given: runs.append(given))
    scores = options.score(model, collator, tree)
    assert len(runs) == CLIPS["test_s"] + CLIPS["test_n"]
    assert scores.keys() == options.COLUMNS.keys()
    assert all(scores[name] == pytest.approx(apart.compute()[name]) for name in ("jaccard", "j_and_f"))


@pytest.mark.slow
def test_the_report_grows_arm_by_arm(tree, untrained, tmp_path, capsys, monkeypatch):
    common = [f"--start={untrained}", f"--data={tree}", f"--test={tree}", f"--out={tmp_path}", "--steps=1"]
    options.main([*common, "--arms", "plain"])
    first = json.loads((tmp_path / "report.json").read_text())
    assert list(first) == ["plain"] and first["plain"].keys() == {"steps", *options.COLUMNS}
    assert all(np.isfinite(value) for value in first["plain"].values())
    options.main([*common, "--arms", "plain", "plus"])
    both = json.loads((tmp_path / "report.json").read_text())
    assert list(both) == ["plain", "plus"] and both["plain"] == first["plain"]
    assert "J, late" in capsys.readouterr().out
