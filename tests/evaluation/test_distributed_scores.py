"""Scores of masks and of classes that two processes find together."""

import json
import os
import subprocess
import sys

import pytest
import torch
from tiny.configurations import tiny_config

from conftest import ROOT
from lavseg.data import CLASSES, write_avsbench, write_ref_avs
from lavseg.evaluation.evaluate_checkpoint import evaluate_checkpoint
from lavseg.models.aural_sam2 import AuralSam2Config, AuralSam2ForSemanticSegmentation, AuralSam2Processor
from lavseg.models.sama_avs import SamaAvsConfig, SamaAvsModel, SamaAvsProcessor

SCRIPT = ROOT / "examples" / "run_eval.py"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A model that names classes, and splits of which two processes get four clips and one, and three and none."""
    folder = tmp_path_factory.mktemp("distributed")
    write_avsbench(folder / "data", {"v1m": {"val": 3, "test": 5}}, (32, 40))
    torch.manual_seed(0)
    model = AuralSam2ForSemanticSegmentation(tiny_config(AuralSam2Config, use_text=False, num_labels=len(CLASSES)))
    model.save_pretrained(folder / "model")
    AuralSam2Processor.from_config(model.config).save_pretrained(folder / "model")
    return folder


def by_two_processes(out, model, data, given):
    """Scores of each split."""
    launch = [sys.executable, "-m", "torch.distributed.run", "--nproc_per_node=2", str(SCRIPT)]
    given = ["--model", model, "--data", data, *given, "--out", out]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run([*launch, *map(str, given)], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(out.read_text())["splits"]


@pytest.mark.slow
@pytest.mark.parametrize("protocol", ["avsbench", "avss"])
def test_two_processes_find_what_one_does(tmp_path, folder, protocol):
    model, data, splits = folder / "model", folder / "data", ["val", "test"]
    one = evaluate_checkpoint(model, data, splits, protocol, "avsbench", ["v1m"])["splits"]
    given = ["--dataset", "avsbench", "--subset", "v1m", "--protocol", protocol, "--split", *splits]
    two = by_two_processes(tmp_path / "scores.json", model, data, given)
    assert [one[split]["rows"] for split in splits] == [3, 5]
    assert all(two[split] == pytest.approx(one[split], abs=1e-6) for split in splits)


@pytest.mark.slow
def test_rows_of_a_clip_are_of_one_process_and_those_of_a_batch_of_several(tmp_path):
    data = write_ref_avs(tmp_path / "data", {"test_s": 3}, 2, (32, 40))
    torch.manual_seed(0)
    model = SamaAvsModel(tiny_config(SamaAvsConfig))
    for part in (model, SamaAvsProcessor.from_config(model.config)):
        part.save_pretrained(tmp_path / "model")
    one = evaluate_checkpoint(tmp_path / "model", data, ["test_s"], sentences=1)["splits"]["test_s"]
    given = ["--protocol", "ref_avs", "--split", "test_s"]
    two = by_two_processes(tmp_path / "scores.json", tmp_path / "model", data, given)["test_s"]
    assert one["rows"] > 4 and two == pytest.approx(one, abs=1e-6)
