import pytest
import torch
from tiny.configurations import tiny_config

from lavseg.data import write_ref_avs
from lavseg.models.sam2_love import Sam2LoveConfig, Sam2LoveModel
from lavseg.training import check as module
from lavseg.training.check import check

RECIPE = """
max_steps: 7
gradient_accumulation_steps: 3
per_device_train_batch_size: 2
eval_splits: [val]
eval_strategy: steps
eval_steps: 1
save_steps: 1
early_stopping_patience: 2
load_best_model_at_end: true
metric_for_best_model: val_j_and_f
model: {train_mask_decoder: false}
"""


@pytest.fixture(scope="module")
def given(tmp_path_factory, tiny_processor):
    folder = tmp_path_factory.mktemp("check")
    write_ref_avs(folder / "data", {"train": 3, "val": 1}, 2, (32, 40))
    torch.manual_seed(0)
    Sam2LoveModel(tiny_config(Sam2LoveConfig, len(tiny_processor.tokenizer))).save_pretrained(folder / "start")
    tiny_processor.save_pretrained(folder / "start")
    (folder / "recipe.yaml").write_text(RECIPE)
    options = [f"--data={folder / 'data'}", f"--model={folder / 'start'}", f"--out={folder / 'run'}", "--use_cpu"]
    return folder, [str(folder / "recipe.yaml"), *options, "--learning_rate=1e-3"]


def test_it_shows_what_rules_trains_on_one_batch_and_writes_nothing(given):
    folder, arguments = given
    before = sorted(folder.rglob("*"))
    found = check(arguments)
    assert sorted(folder.rglob("*")) == before
    configuration = found["configuration"]
    assert configuration["learning_rate"] == 1e-3 and configuration["max_steps"] == 7
    assert configuration["gradient_accumulation_steps"] == 3 and configuration["eval_strategy"] == "steps"
    assert configuration["train_split"] == "train" and configuration["model"] == {"train_mask_decoder": False}
    assert "weight_decay" not in configuration and found["start"] == {"model": [str(folder / "start")]}
    assert found["clips_per_step"] == 6 and found["rows"].keys() == {"train", "val"} and found["rows"]["train"] > 2
    counts = found["parameters"]
    assert 0 < counts["sam2"]["trained"] < counts["sam2"]["parameters"]
    assert 0 < counts["prompter"]["trained"] == counts["prompter"]["parameters"]
    assert counts["all"]["parameters"] == sum(part["parameters"] for name, part in counts.items() if name != "all")
    assert found["batch"]["clips"] == 2 and found["batch"]["loss"] > 0


def test_one_batch_is_one_step(given, monkeypatch):
    pytest.importorskip("tensorboard")
    steps, arguments = [], [*given[1], "--report_to=tensorboard", "--push_to_hub", "--eval_on_start"]
    monkeypatch.setattr(module, "make_trainer", lambda run, args, overrides: steps.append(args) or 1 / 0)
    with pytest.raises(ZeroDivisionError):
        check(arguments)
    (args,) = steps
    assert (args.max_steps, args.gradient_accumulation_steps, args.report_to) == (1, 1, [])
    assert not args.push_to_hub and not args.eval_on_start
