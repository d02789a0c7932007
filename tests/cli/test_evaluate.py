import json
import logging

import pytest
import torch
from tiny.configurations import tiny_config
from typer.testing import CliRunner

from lavseg.cli import app
from lavseg.data import CLASSES, ClipCollator, load_avsbench, write_avsbench, write_ref_avs
from lavseg.evaluation.evaluate_model import evaluate_semantic
from lavseg.metrics.semantic import AVSS
from lavseg.models.aural_sam2 import AuralSam2Config, AuralSam2ForSemanticSegmentation, AuralSam2Processor
from lavseg.models.sama_avs import SamaAvsConfig, SamaAvsModel, SamaAvsProcessor


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A method without text and a data set of either layout."""
    folder = tmp_path_factory.mktemp("evaluate")
    write_ref_avs(folder / "ref_avs", {"train": 1, "test_s": 1, "test_n": 1}, 3, (32, 40))
    write_avsbench(folder / "avsbench", {"s4": {"test": 1}, "ms3": {"test": 2}, "v1m": {"test": 2}}, (32, 40))
    config = tiny_config(SamaAvsConfig)
    torch.manual_seed(0)
    SamaAvsModel(config).save_pretrained(folder / "model")
    SamaAvsProcessor.from_config(config).save_pretrained(folder / "model")
    return folder


def evaluate(folder, data, *arguments):
    given = ["--model", folder / "model", "--data", folder / data, *arguments]
    return CliRunner().invoke(app, ["evaluate", *map(str, given)])


def test_splits_of_ref_avs(folder, tmp_path):
    out = tmp_path / "new" / "scores.json"
    chosen = ["--split", "test_s", "--split", "test_n", "--protocol", "frame", "--out", out]
    result = evaluate(folder, "ref_avs", *chosen)
    assert result.exit_code == 0, result.output
    assert "protocol frame" in result.stdout and "test_n" in result.stdout
    report = json.loads(out.read_text())
    assert list(report["splits"]) == ["test_s", "test_n"] and report["protocol"] == "frame"
    assert 0 <= report["splits"]["test_s"]["jaccard"] <= 1 and report["splits"]["test_n"]["rows"] > 0
    assert report["splits"]["test_s"].keys() == report["splits"]["test_n"].keys()
    assert 0 <= report["splits"]["test_n"]["s_ratio"] <= 1 and "s_ratio" not in result.stdout
    rows = [[cell.strip() for cell in line.split("│")[1:-1]] for line in result.stdout.splitlines() if "│" in line]
    heads = [cell.strip() for cell in next(line for line in result.stdout.splitlines() if "jaccard" in line).split("┃")]
    for row in rows:
        shown = {name for name, cell in zip(heads[1:-1], row, strict=True) if cell}
        assert shown >= ({"s", "loss"} if row[0] == "test_n" else {"jaccard", "f_score", "j_and_f", "loss"})
        assert ("jaccard" in shown) != ("s" in shown)
    assert len(rows) == 2 and "test_n: there is nothing to be found" in result.stdout


@pytest.mark.parametrize("level", [logging.WARNING, logging.ERROR])
def test_joined_subsets_of_avsbench_under_their_own_protocol(folder, monkeypatch, level):
    monkeypatch.setattr(logging.getLogger("transformers"), "level", level)
    chosen = ["--dataset", "avsbench", "--subset", "s4", "--subset", "ms3", "--json"]
    result = evaluate(folder, "avsbench", *chosen)
    assert result.exit_code == 0, result.output
    report = json.loads(result.stdout)
    assert report["protocol"] == "avsbench" and report["subsets"] == ["s4", "ms3"]
    assert list(report["splits"]) == ["test"] and report["splits"]["test"]["rows"] == 3


def test_classes_are_scored_as_avsbench_semantic_does(folder, tmp_path):
    torch.manual_seed(0)
    model = AuralSam2ForSemanticSegmentation(tiny_config(AuralSam2Config, use_text=False, num_labels=len(CLASSES)))
    processor = AuralSam2Processor.from_config(model.config)
    for part in (model, processor):
        part.save_pretrained(tmp_path / "classes")
    chosen = ["--dataset", "avsbench", "--subset", "v1m", "--protocol", AVSS, "--model", tmp_path / "classes"]
    result = evaluate(folder, "avsbench", *chosen, "--out", tmp_path / "scores.json")
    assert result.exit_code == 0 and "miou" in result.stdout, result.output
    collator = ClipCollator(processor, (224, 224))
    expected = evaluate_semantic(model, collator, load_avsbench(folder / "avsbench", "v1m", "test")).compute()
    found = json.loads((tmp_path / "scores.json").read_text())["splits"]["test"]
    assert found == {**{name: pytest.approx(value, abs=1e-6) for name, value in expected.items()}, "rows": 2}


@pytest.mark.parametrize(
    "arguments, words",
    [
        (["--protocol", "davis"], ["protocol", "'davis'", "ref_avs"]),
        (["--protocol", AVSS], ["SamaAvsModel", "names no classes"]),
        (["--split", "tset"], ["split", "'tset'"]),
        (["--dataset", "coco"], ["dataset", "'coco'"]),
        (["--subset", "s4"], ["subset", "Ref-AVS has none"]),
        (["--model", "no-such-folder/model/here"], ["no-such-folder", "Hub"]),
        (["--data", "absent"], ["absent"]),
        (["--sentences", "0"], ["sentences", "above 0"]),
        (["--out", "."], ["out", "is a folder"]),
    ],
)
def test_mistakes_are_one_line(folder, tmp_path, monkeypatch, arguments, words):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    result = evaluate(folder, "ref_avs", "--split", "test_s", "--out", tmp_path / "new" / "scores.json", *arguments)
    assert result.exit_code == 2 and result.stdout == ""
    assert result.stderr.startswith("lavseg evaluate: ") and len(result.stderr.splitlines()) == 1
    assert all(word in result.stderr for word in words), result.stderr
    assert not any(tmp_path.iterdir())
