import json

import pytest
import run_demo
import torch
from demo import sam2_love, sentence_examples
from tiny.models import fresh_sam2_love

from lavseg.checkpoint import load_checkpoint
from lavseg.models.sam2_love import Sam2LoveModel, Sam2LoveProcessor


@pytest.mark.slow
def test_the_whole_demo(untrained, tmp_path, small_clips, processes_here, monkeypatch, capsys):
    few = {"clips": 2}
    monkeypatch.setattr(sam2_love, "POINTING", tuple((share, stage | few) for share, stage in sam2_love.POINTING))
    monkeypatch.setattr(sam2_love, "EVALUATED_ROWS", 2)
    monkeypatch.setattr(sentence_examples, "EXAMPLES_PER_KIND", 1)
    monkeypatch.setattr(sentence_examples, "WORST_EXAMPLES", 1)
    output = tmp_path / "demo"
    run_demo.main([f"--out={output}", f"--model={untrained}", "--steps=4", "--clips=4"])
    printed = capsys.readouterr().out
    assert all(f"{stage}/8" in printed for stage in range(1, 9))

    report = json.loads((output / "report.json").read_text())
    for name in ("seen", "unseen", "untrained", "trained_here"):
        assert report[name].keys() == {"jaccard", "f_score", "j_and_f", "protocol"}
        assert report[name]["protocol"] == "frame"
        assert report[name]["j_and_f"] == pytest.approx(
            (report[name]["jaccard"] + report[name]["f_score"]) / 2, abs=2e-4
        )
    assert 0 <= report["null"]["s"] <= 1
    assert report["kinds"].keys() == {"words", "sound", "both"}
    assert report["novelties"].keys() == {"category", "combination"}
    assert {"j_and_f", "j_and_f_silent"} <= report["needs_sound"].keys()
    assert {"j_and_f", "j_and_f_blank"} <= report["needs_words"].keys()
    assert report["seconds"] > 0

    page = (output / "report.html").read_text()
    assert page.count('class="example"') >= 5 and page.count("data:video/mp4;base64,") == 1
    assert page.count("data:image/jpeg;base64,") == 3 * page.count('class="example"')
    assert page.count("<polyline") == 4 and "$" not in page
    assert "http://" not in page and "https://" not in page

    model, processor = load_checkpoint(output / "model")
    assert isinstance(model, Sam2LoveModel) and isinstance(processor, Sam2LoveProcessor)


def test_a_fresh_model_keeps_the_encoders_and_the_host(untrained):
    trained = load_checkpoint(untrained)[0]
    with torch.no_grad():
        for parameter in trained.prompt_decoder.parameters():
            parameter.add_(1.0)
    fresh = fresh_sam2_love(trained, seed=1)
    for name, part in fresh.backbones().items():
        kept = trained.backbones()[name].state_dict()
        assert all(torch.equal(value, kept[key]) for key, value in part.state_dict().items()), name
    changed = trained.prompter.projector.linear1.weight
    assert not torch.equal(fresh.prompter.projector.linear1.weight, changed)
    host = fresh.sam2.mask_decoder.state_dict()
    assert all(torch.equal(value, host[key]) for key, value in fresh.prompt_decoder.state_dict().items())
