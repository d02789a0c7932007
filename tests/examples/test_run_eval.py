import importlib.util
import json
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from tiny.configurations import tiny_config

from lavseg.data import ClipCollator, load_ref_avs, write_ref_avs
from lavseg.metrics.protocols import AvsMetric
from lavseg.models.sam2_love import Sam2LoveConfig, Sam2LoveModel, Sam2LoveProcessor

SCRIPT = Path(__file__).parents[2] / "examples" / "run_eval.py"
_spec = importlib.util.spec_from_file_location("run_eval", SCRIPT)
run_eval = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(run_eval)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_ref_avs(tmp_path_factory.mktemp("data"), {"train": 1, "test_s": 1, "test_n": 1}, 3, (32, 40))


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory, tiny_processor):
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("checkpoint")
    Sam2LoveModel(tiny_config(Sam2LoveConfig, len(tiny_processor.tokenizer))).save_pretrained(folder)
    tiny_processor.save_pretrained(folder)
    return folder


def test_a_checkpoint_is_evaluated_as_ref_avs_does(tmp_path, data, checkpoint, capsys):
    output = tmp_path / "scores" / "scores.json"
    arguments = [f"--model={checkpoint}", f"--data_root={data}", f"--output={output}", "--splits", "test_s", "test_n"]
    run_eval.main(arguments)
    report = json.loads(output.read_text())
    assert report["protocol"] == report["dataset"] == "ref_avs" and list(report["splits"]) == ["test_s", "test_n"]
    assert "test_n" in capsys.readouterr().out

    rows = list(load_ref_avs(data, "test_s"))
    metric, model = AvsMetric("ref_avs"), Sam2LoveModel.from_pretrained(checkpoint).eval()
    collate = ClipCollator(Sam2LoveProcessor.from_pretrained(checkpoint), (256, 256), "bilinear_gt0")
    for start in range(0, len(rows), 4):
        batch = collate(rows[start : start + 4])
        with torch.no_grad():
            masks = collate.processor.gate_masks(model(**batch))[:, 0]
        metric.update(F.interpolate(masks, (256, 256), mode="bilinear").flatten(0, 1), batch["labels"].flatten(0, 2))
    found = report["splits"]["test_s"]
    assert found["rows"] == len(rows)
    expected = metric.compute()
    assert {name: found[name] for name in ("jaccard", "f_score", "j_and_f", "s")} == pytest.approx(
        {name: expected[name] for name in ("jaccard", "f_score", "j_and_f", "s")}, abs=1e-6
    )


@pytest.mark.parametrize("root, split, message", [("absent", "test_s", "absent"), (None, "tset", "tset")])
def test_mistakes_are_one_line(tmp_path, data, checkpoint, capsys, root, split, message):
    output = tmp_path / "scores" / "scores.json"
    arguments = [f"--model={checkpoint}", f"--data_root={root or data}", f"--output={output}", "--splits", split]
    with pytest.raises(SystemExit) as exit:
        run_eval.main(arguments)
    assert exit.value.code == 2
    error = capsys.readouterr().err.strip()
    assert message in error and "\n" not in error and not output.parent.exists()
