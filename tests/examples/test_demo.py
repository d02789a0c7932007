import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from rich.console import Console
from tiny.configurations import tiny_config

from lavseg.checkpoint import load_checkpoint
from lavseg.data import ClipCollator, build_tokenizer, load_ref_avs, write_ref_avs
from lavseg.models.sam2_love import Sam2LoveConfig, Sam2LoveModel, Sam2LoveProcessor

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory):
    """An untrained stand-in for the shipped model."""
    folder, tokenizer = tmp_path_factory.mktemp("checkpoints"), build_tokenizer()
    config = tiny_config(Sam2LoveConfig, vocab_size=len(tokenizer), handoff="mask")
    Sam2LoveModel(config).save_pretrained(folder / "model")
    Sam2LoveProcessor.from_config(config, tokenizer).save_pretrained(folder / "model")
    return folder


@pytest.fixture
def demo(monkeypatch):
    monkeypatch.syspath_prepend(EXAMPLES)
    import demo

    return demo


def command(checkpoints, output):
    options = {"checkpoint": checkpoints / "model", "minutes": 0, "clips": 4}
    named = [part for name, value in options.items() for part in (f"--{name}", str(value))]
    return [sys.executable, str(EXAMPLES / "demo.py"), "--output", str(output), *named]


def test_lines_stay_whole_in_a_narrow_terminal(demo, monkeypatch, capsys):
    monkeypatch.setattr(demo, "get_console", lambda: Console(width=20))
    stages = demo.Stages(8)
    stages.begin("Write the report")
    stages.say("a folder [of mine] with a long name/report.html after 3 s")
    assert capsys.readouterr().out.splitlines() == [
        "0:00 1/8 Write the report",
        "     a folder [of mine] with a long name/report.html after 3 s",
    ]


def test_the_whole_demo(checkpoints, tmp_path):
    output = tmp_path / "demo"
    done = subprocess.run(command(checkpoints, output), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert all(f"{stage}/8" in done.stdout for stage in range(1, 9))

    report = json.loads((output / "report.json").read_text())
    for name in ("seen", "unseen", "untrained", "trained_here"):
        assert report[name].keys() == {"jaccard", "f_score", "j_and_f", "protocol"}
        assert report[name]["protocol"] == "frame"
        assert report[name]["j_and_f"] == pytest.approx(
            (report[name]["jaccard"] + report[name]["f_score"]) / 2, abs=2e-4
        )
    assert 0 <= report["null"]["s"] <= 1
    assert {"j_and_f", "j_and_f_silent"} <= report["needs_sound"].keys()
    assert {"j_and_f", "j_and_f_blank"} <= report["needs_words"].keys()
    assert report["seconds"] > 0

    page = (output / "report.html").read_text()
    assert page.count("data:image/jpeg;base64,") >= 8 and page.count("data:video/mp4;base64,") == 1
    assert page.count("<polyline") == 3 and "$" not in page
    assert "http://" not in page and "https://" not in page

    model, processor = load_checkpoint(output / "model")
    assert isinstance(model, Sam2LoveModel) and isinstance(processor, Sam2LoveProcessor)


def test_foreign_folders_are_left_alone(checkpoints, tmp_path, demo, monkeypatch):
    (tmp_path / "thesis.tex").touch()
    monkeypatch.setattr(sys, "argv", command(checkpoints, tmp_path)[1:])
    with pytest.raises(SystemExit, match="no earlier demo"):
        demo.main()
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


@pytest.mark.parametrize(
    ("option", "value", "words"), [("--checkpoint", "absent", "no config.json"), ("--clips", "1", "at least 4")]
)
def test_unusable_options_are_refused_at_once(checkpoints, tmp_path, demo, monkeypatch, capsys, option, value, words):
    monkeypatch.setattr(sys, "argv", [*command(checkpoints, tmp_path / "demo")[1:], option, value])
    with pytest.raises(SystemExit):
        demo.main()
    assert words in capsys.readouterr().err and not (tmp_path / "demo").exists()


def test_taking_sound_or_words_away(checkpoints, tmp_path, demo):
    processor = load_checkpoint(checkpoints / "model")[1]
    rows = load_ref_avs(write_ref_avs(tmp_path / "data", {"test_s": 1}, 3, (56, 72)), "test_s").select(range(2))
    inputs = ClipCollator(processor)(list(rows))
    before = {name: inputs[name].clone() for name in ("input_features", "input_ids")}
    demo.silencer(processor)(inputs)
    silent = processor([np.zeros((56, 72, 3), np.uint8)], np.zeros(3 * 16000), "a", sampling_rate=16000)
    assert torch.equal(inputs["input_features"][0], silent["input_features"][0])
    assert not torch.equal(inputs["input_features"], before["input_features"])
    demo.blanker(processor)(inputs)
    real = inputs["attention_mask"].bool()
    special = {processor.tokenizer.bos_token_id, processor.tokenizer.eos_token_id}
    assert set(inputs["input_ids"][real].tolist()) == special
    assert inputs["input_ids"].shape == before["input_ids"].shape


def test_a_fresh_model_keeps_the_encoders_and_the_host(checkpoints, demo):
    trained = load_checkpoint(checkpoints / "model")[0]
    with torch.no_grad():
        for parameter in trained.prompt_decoder.parameters():
            parameter.add_(1.0)
    fresh = demo.fresh_model(trained)
    for name, part in fresh.backbones().items():
        kept = trained.backbones()[name].state_dict()
        assert all(torch.equal(value, kept[key]) for key, value in part.state_dict().items()), name
    changed = trained.prompter.projector.linear1.weight
    assert not torch.equal(fresh.prompter.projector.linear1.weight, changed)
    host = fresh.sam2.mask_decoder.state_dict()
    assert all(torch.equal(value, host[key]) for key, value in fresh.prompt_decoder.state_dict().items())


def test_line_chart_places_its_points(demo):
    import report

    svg = report.line_chart([(0, 0.0), (50, 0.5), (100, 1.0)], "a < b", width=200, height=100)
    points = [tuple(map(float, point.split(","))) for point in svg.split('points="')[1].split('"')[0].split()]
    (x0, y0), (x1, y1), (x2, y2) = points
    assert x1 - x0 == pytest.approx(x2 - x1, abs=0.2) and y0 - y1 == pytest.approx(y1 - y2, abs=0.2)
    assert y2 < y0 and "a &lt; b" in svg
