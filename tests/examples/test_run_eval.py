import json
import os
import subprocess
import sys

import pytest
import run_eval
import torch
import torch.nn.functional as F

from lavseg.data import ClipCollator, load_ref_avs
from lavseg.metrics.protocols import AvsMetric
from lavseg.models.sam2_love import Sam2LoveModel, Sam2LoveProcessor


def test_nothing_is_written_unasked(tmp_path, ref_avs, untrained, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run_eval.main([f"--model={untrained}", f"--data={ref_avs}", "--split", "test_n"])
    assert "test_n" in capsys.readouterr().out and not any(tmp_path.iterdir())


def test_a_checkpoint_is_evaluated_as_ref_avs_does(tmp_path, ref_avs, untrained, capsys):
    output = tmp_path / "scores" / "scores.json"
    arguments = [f"--model={untrained}", f"--data={ref_avs}", f"--out={output}", "--split", "test_s", "test_n"]
    run_eval.main(arguments)
    report = json.loads(output.read_text())
    assert report["protocol"] == report["dataset"] == "ref_avs" and list(report["splits"]) == ["test_s", "test_n"]
    assert "test_n" in capsys.readouterr().out

    rows = list(load_ref_avs(ref_avs, "test_s"))
    metric, model = AvsMetric("ref_avs"), Sam2LoveModel.from_pretrained(untrained).eval()
    collate = ClipCollator(Sam2LoveProcessor.from_pretrained(untrained), (256, 256), "bilinear_gt0")
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
def test_mistakes_are_one_line(tmp_path, ref_avs, untrained, capsys, root, split, message):
    output = tmp_path / "scores" / "scores.json"
    arguments = [f"--model={untrained}", f"--data={root or ref_avs}", f"--out={output}", "--split", split]
    with pytest.raises(SystemExit) as exit:
        run_eval.main(arguments)
    assert exit.value.code == 2
    error = capsys.readouterr().err.strip()
    assert message in error and "\n" not in error and not output.parent.exists()


@pytest.mark.slow
def test_two_processes_find_the_same(tmp_path, ref_avs, untrained):
    arguments = [f"--model={untrained}", f"--data={ref_avs}", "--split", "test_s", "test_n"]
    run_eval.main([*arguments, f"--out={tmp_path / 'one.json'}"])
    launch = [sys.executable, "-m", "torch.distributed.run", "--nproc_per_node=2", run_eval.__file__]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    subprocess.run([*launch, *arguments, f"--out={tmp_path / 'two.json'}"], check=True, env=environment)
    one, two = (json.loads((tmp_path / name).read_text())["splits"] for name in ("one.json", "two.json"))
    for split, values in one.items():
        assert two[split] == pytest.approx(values, abs=1e-6)
