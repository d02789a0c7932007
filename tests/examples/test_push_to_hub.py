import importlib.util
from pathlib import Path

import pytest
import torch
from huggingface_hub import ModelCard
from tiny.configurations import tiny_config

from lavseg.data import write_ref_avs
from lavseg.models.sam2_love import Sam2LoveConfig, Sam2LoveModel

SCRIPT = Path(__file__).parents[2] / "examples" / "push_to_hub.py"
_spec = importlib.util.spec_from_file_location("push_to_hub", SCRIPT)
push_to_hub = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(push_to_hub)

NAME = "org/a-model"


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_ref_avs(tmp_path_factory.mktemp("data") / "SHAPES", {"test_s": 1, "test_n": 1}, 2, (32, 40))


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory, tiny_processor):
    folder = tmp_path_factory.mktemp("checkpoint")
    torch.manual_seed(0)
    Sam2LoveModel(tiny_config(Sam2LoveConfig, vocab_size=len(tiny_processor.tokenizer))).save_pretrained(folder)
    tiny_processor.save_pretrained(folder)
    return folder


def test_a_checkpoint_is_scored_and_pushed_with_its_scores(hub, data, checkpoint, capsys):
    given = ["--model", str(checkpoint), "--data_root", str(data), "--name", NAME, "--private"]
    assert push_to_hub.main([*given, "--splits", "test_s", "test_n"]) == 0
    assert capsys.readouterr().out.splitlines()[-1].startswith(f"{hub.endpoint}/{NAME}/commit/")
    repo = hub.repos[NAME]
    assert repo["private"] and {"model.safetensors", "processor_config.json"} <= set(repo["files"])
    card = ModelCard(repo["files"]["README.md"].decode())
    scores = {(r.dataset_name, r.dataset_split, r.metric_config) for r in card.data.eval_results}
    assert scores == {("SHAPES", "test_s", "frame"), ("SHAPES", "test_n", "frame")}


@pytest.mark.parametrize(("option", "value"), [("--model", "nowhere/at/all"), ("--splits", "train")])
def test_mistakes_give_one_line_and_upload_nothing(hub, data, checkpoint, capsys, option, value):
    given = {"--model": str(checkpoint), "--data_root": str(data), "--name": NAME, "--splits": "test_s", option: value}
    assert push_to_hub.main([word for pair in given.items() for word in pair]) == 2
    assert capsys.readouterr().err.startswith("push_to_hub.py: error: ") and not hub.repos
