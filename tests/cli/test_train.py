import json

import pytest
import torch
from tiny.configurations import tiny_config
from transformers import AutoModel
from typer.testing import CliRunner

from lavseg.cli import app
from lavseg.cli.train import KEY_GROUPS
from lavseg.data import write_ref_avs
from lavseg.models.sam2_love import Sam2LoveConfig, Sam2LoveModel

FAST = ["--use_cpu", "--max_steps", "1", "--per-device-train-batch-size=2", "--disable_tqdm", "true"]


@pytest.fixture(scope="module")
def given(tmp_path_factory, tiny_processor):
    """Options that name a data set and a checkpoint to start from."""
    folder = tmp_path_factory.mktemp("train")
    write_ref_avs(folder / "data", {"train": 2}, 3, (32, 40))
    torch.manual_seed(0)
    Sam2LoveModel(tiny_config(Sam2LoveConfig, len(tiny_processor.tokenizer))).save_pretrained(folder / "start")
    tiny_processor.save_pretrained(folder / "start")
    return ["--data", str(folder / "data"), "--model", str(folder / "start")]


def train(*arguments):
    return CliRunner().invoke(app, ["train", *map(str, arguments)])


@pytest.mark.parametrize("recipe_first", [True, False])
def test_a_recipe_with_keys_set_otherwise(tmp_path, given, recipe_first):
    recipe, out = tmp_path / "recipe.yaml", tmp_path / "run"
    recipe.write_text("learning_rate: 1.0e-3\nmax_steps: 7\nlogging_steps: 1\nmodel: {train_mask_decoder: false}\n")
    options = [*given, "--out", out]
    result = train(*([recipe, *FAST, *options] if recipe_first else [*options, recipe, *FAST]))
    assert result.exit_code == 0, result.output
    assert result.stdout.splitlines()[-1].startswith(f"{out}: 1 steps, mean loss ")
    history = json.loads((out / "trainer_state.json").read_text())["log_history"]
    assert history[0]["learning_rate"] == 1e-3
    start, trained = AutoModel.from_pretrained(given[-1]), AutoModel.from_pretrained(out)
    assert trained.config.train_mask_decoder is False
    for name, value in start.sam2.mask_decoder.state_dict().items():
        assert torch.equal(value, trained.sam2.mask_decoder.state_dict()[name]), name
    assert not torch.equal(start.prompter.seg_tokens, trained.prompter.seg_tokens)


def test_for_machines(tmp_path, given):
    result = train(*given, "--out", tmp_path / "run", *FAST, "--json")
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    assert found["steps"] == 1 and found["output_dir"] == str(tmp_path / "run") and found["train_loss"] > 0


def test_check_shows_what_would_be_trained_and_writes_nothing(tmp_path, given):
    result = train(*given, "--out", tmp_path / "run", *FAST, "--check")
    assert result.exit_code == 0, result.output
    lines = result.stdout.splitlines()
    assert "per_device_train_batch_size: 2" in lines and f"starts from model: {given[-1]}" in lines
    assert any("prompter" in line for line in lines) and any(line.endswith("2 clips a step") for line in lines)
    assert lines[-1].startswith("one batch of 2 clips: loss ") and not (tmp_path / "run").exists()


def test_keys_are_named_by_groups_in_the_help_and_listed_in_full():
    told = " ".join(train("--help").stdout.split())
    for group, names in KEY_GROUPS.items():
        assert f"{group}: {names[0]}" in told, group
    assert "lavseg train --keys" in told
    result = train("--keys", "--json")
    assert result.exit_code == 0, result.output
    listed = {}
    for row in json.loads(result.stdout):
        listed.setdefault(row["group"], []).append(row["key"])
    assert listed.pop("from plugins", []) == [] and "learning_rate" in listed.pop("Transformers' TrainingArguments")
    assert listed == {group: list(names) for group, names in KEY_GROUPS.items()}


@pytest.mark.parametrize(
    "wrong, words",
    [
        (["--lerning_rate", "1"], ["'lerning_rate'", "did you mean 'learning_rate'"]),
        (["absent.yaml"], ["absent.yaml"]),
        (["--resume"], ["holds no complete checkpoint"]),
        (["--learning_rate", "fast"], ["--learning_rate", "fast"]),
        (["sam2_lov"], ["'sam2_lov'", "did you mean 'sam2_love'"]),
        (["--set", "model.hiden_size=3"], ["'hiden_size'", "did you mean 'hidden_size'"]),
        (["--set", "model.num_seg_tokens=many"], ["'num_seg_tokens' expected int, got str"]),
    ],
)
def test_mistakes_are_one_line(tmp_path, given, wrong, words):
    result = train(*wrong, *given, "--out", tmp_path / "run", *FAST)
    assert result.exit_code == 2
    assert result.stderr.startswith("lavseg train: ") and len(result.stderr.splitlines()) == 1
    assert all(word in result.stderr for word in words), result.stderr
    assert not (tmp_path / "run").exists()


def test_a_training_that_diverges_ends_with_one_line_and_keeps_earlier_checkpoints(tmp_path, given):
    out = tmp_path / "run"
    fast = [option for option in FAST if option not in ("--max_steps", "1")]
    rates = ["--learning_rate", "1e38", "--max_steps", "4", "--logging_steps", "1", "--report_to", "none"]
    options = ["--warmup_steps", "2", "--save_strategy", "steps", "--save_steps", "1"]
    result = train(*given, "--out", out, *fast, *rates, *options)
    assert result.exit_code == 2, result.output
    last = result.stderr.splitlines()[-1]
    assert last.startswith("lavseg train: training stopped: ") and " step 3," in last and "learning_rate" in last
    assert {path.name for path in out.iterdir()} == {"checkpoint-1", "checkpoint-2"}
    for path in out.iterdir():
        AutoModel.from_pretrained(path)  # which refuses weights that are not finite
