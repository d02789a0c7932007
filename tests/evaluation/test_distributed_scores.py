"""Scores of masks and of classes that two processes find together."""

import json
import os
import subprocess
import sys

import pytest
import torch
from tiny.configurations import tiny_config

from conftest import ROOT
from lavseg.data import CLASSES, write_avsbench
from lavseg.evaluation.evaluate_checkpoint import evaluate_checkpoint
from lavseg.models.aural_sam2 import AuralSam2Config, AuralSam2ForSemanticSegmentation, AuralSam2Processor

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


@pytest.mark.slow
@pytest.mark.parametrize("protocol", ["avsbench", "avss"])
def test_two_processes_find_what_one_does(tmp_path, folder, protocol):
    model, data, splits = folder / "model", folder / "data", ["val", "test"]
    one = evaluate_checkpoint(model, data, splits, protocol, "avsbench", ["v1m"])["splits"]
    launch = [sys.executable, "-m", "torch.distributed.run", "--nproc_per_node=2", str(SCRIPT)]
    given = ["--model", model, "--data", data, "--dataset", "avsbench", "--subset", "v1m", "--protocol", protocol]
    given += ["--split", *splits, "--out", tmp_path / "scores.json"]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run([*launch, *map(str, given)], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    two = json.loads((tmp_path / "scores.json").read_text())["splits"]
    assert [one[split]["rows"] for split in splits] == [3, 5]
    assert all(two[split] == pytest.approx(one[split], abs=1e-6) for split in splits)
