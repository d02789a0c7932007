import importlib.util
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
import yaml
from safetensors.torch import load_file
from transformers import AutoModel, AutoProcessor

from lavseg.data import write_ref_avs
from lavseg.models.sam2_love import Sam2LoveConfig, Sam2LoveModel, Sam2LoveProcessor
from lavseg.training import last_checkpoint

EXAMPLES = Path(__file__).parents[2] / "examples"
SCRIPT = EXAMPLES / "run_train.py"
RECIPE = EXAMPLES / "recipes" / "sam2_love.yaml"
FAST = ["--use_cpu", "--bf16=false", "--dataloader_num_workers=0", "--gradient_accumulation_steps=1"]
FAST += ["--per_device_train_batch_size=2", "--disable_tqdm=true", "--logging_steps=1"]

_spec = importlib.util.spec_from_file_location("run_train", SCRIPT)
run_train = importlib.util.module_from_spec(_spec)
sys.modules["run_train"] = run_train
_spec.loader.exec_module(run_train)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_ref_avs(tmp_path_factory.mktemp("data"), {"train": 3, "val": 1}, 3, (32, 40))


@pytest.fixture(scope="module")
def tiny(tiny_processor):
    torch.manual_seed(0)
    return Sam2LoveModel(Sam2LoveConfig.tiny(len(tiny_processor.tokenizer))), tiny_processor


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory, tiny):
    folder = tmp_path_factory.mktemp("checkpoint")
    for part in tiny:
        part.save_pretrained(folder)
    return folder


def test_the_recipe_holds_the_papers_numbers():
    run, args, overrides = run_train.parse([str(RECIPE), "--data_root=R", "--output_dir=O", "--use_cpu", "--audio=A"])
    assert (run.sam2, run.vision) == ("facebook/sam2-hiera-large", "google/vit-base-patch16-224")
    assert (run.text, run.audio) == ("distilbert/distilroberta-base", "A")
    assert (run.train_split, run.eval_splits, run.data_root) == ("train", ["val"], "R")
    assert (args.optim, args.learning_rate, args.weight_decay) == ("adamw_torch", 1e-4, 0)
    assert (args.adam_beta1, args.adam_beta2, args.max_grad_norm) == (0.9, 0.95, 1)
    assert (args.lr_scheduler_type, args.warmup_steps, args.num_train_epochs) == ("linear", 100, 20)
    gpus = 2
    assert args.per_device_train_batch_size * args.gradient_accumulation_steps * gpus == 32
    assert args.bf16 and args.synthetic_null_probability == 0
    paper = Sam2LoveConfig()
    assert overrides and all(getattr(paper, name) == value for name, value in overrides.items())


def test_every_value_of_the_recipe_says_where_it_comes_from():
    ruling = RECIPE.read_text().split("# Selection of the checkpoint")[0]
    values = [line for line in ruling.splitlines() if line and not line.startswith("#") and line != "model:"]
    assert len(values) > 15 and all(" # " in line for line in values)


def test_the_command_line_wins_over_the_recipe():
    run, args, _ = run_train.parse(
        [str(RECIPE), "--data_root=R", "--output_dir=O", "--use_cpu", "--learning_rate=3e-5", "--eval_splits", "a", "b"]
    )
    assert args.learning_rate == 3e-5 and run.eval_splits == ["a", "b"] and args.adam_beta2 == 0.95


@pytest.mark.parametrize(
    "recipe, message",
    [
        ("lerning_rate: 1.0e-4", "unknown key 'lerning_rate'; did you mean 'learning_rate'?"),
        ("model: {hiden_size: 8}", "unknown key 'hiden_size'; did you mean 'hidden_size'?"),
        ("model: folder", "--model"),
        ("learning_rate: fast", "--learning_rate"),
        ("learning_rate: [1", "YAML"),
        ("- learning_rate", "argument: value"),
        ("metric_protocols: [frames]", "metric_protocols"),
        ("label_size: [3]", "label_size"),
        ("synthetic_null_probability: 2", "null_probability"),
        ("train_split: trian", "split"),
        ("eval_splits: [test_n]", "test_n"),
        ("eval_strategy: epoch", "eval_dataset"),
        ("seed: 1", "--audio missing"),
        ("model: {mask_selection: worst}", "--audio missing"),
        ("resume: true", "no complete checkpoint"),
    ],
)
def test_a_wrong_recipe_is_one_line_and_writes_nothing(tmp_path, data, checkpoint, capsys, recipe, message):
    path, output = tmp_path / "recipe.yaml", tmp_path / "run"
    path.write_text(recipe)
    arguments = [str(path), f"--data_root={data}", f"--output_dir={output}", *FAST]
    if "--audio" not in message:
        arguments += [f"--model={checkpoint}"]
    assert run_train.main(arguments) == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert error.startswith("run_train.py: error:") and message in error
    assert not output.exists()


@pytest.mark.parametrize(
    "arguments, message",
    [
        ([], "--data_root"),
        (["--data_root=absent", "--output_dir=O", "--model=M"], "absent/metadata.csv does not exist"),
        (["--data_root=absent", "--output_dir=O", "--lerning_rate=1"], "--lerning_rate=1"),
        (["absent.yaml"], "absent.yaml"),
    ],
)
def test_a_wrong_command_line_is_one_line(tmp_path, monkeypatch, capsys, arguments, message):
    monkeypatch.chdir(tmp_path)
    assert run_train.main(arguments) == 2
    error = capsys.readouterr().err.strip()
    assert message in error and "\n" not in error
    assert not list(tmp_path.iterdir())


def test_training_starts_from_published_encoders(tmp_path, data, tiny):
    model, processor = tiny
    for name, encoder in model.backbones().items():
        encoder.save_pretrained(tmp_path / name)
    processor.tokenizer.save_pretrained(tmp_path / "text")
    names = ("hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size", "projection_size")
    fields = {name: getattr(model.config, name) for name in names} | {"presence_head": True}
    recipe = tmp_path / "recipe.yaml"
    encoders = {name: str(tmp_path / name) for name in model.backbones()}
    recipe.write_text(yaml.safe_dump({**encoders, "model": fields, "max_steps": 1}))
    output = tmp_path / "run"
    assert run_train.main([str(recipe), f"--data_root={data}", f"--output_dir={output}", *FAST]) == 0
    trained = AutoModel.from_pretrained(output)
    assert trained.config.presence_head and trained.config.hidden_size == model.config.hidden_size
    for name in ("vision_encoder", "text_encoder", "audio_encoder"):
        found = getattr(trained, name).state_dict()
        for key, value in getattr(model, name).state_dict().items():
            assert torch.equal(found[key], value), f"{name}.{key}"
    loaded = AutoProcessor.from_pretrained(output / "checkpoint-1")
    assert type(loaded) is Sam2LoveProcessor and loaded.image_processor.size == processor.image_processor.size


def test_a_folder_with_checkpoints_is_not_trained_over(tmp_path, data, checkpoint, capsys):
    (tmp_path / "checkpoint-5").mkdir()
    (tmp_path / "checkpoint-5" / "trainer_state.json").write_text("{}")
    arguments = [f"--model={checkpoint}", f"--data_root={data}", f"--output_dir={tmp_path}", *FAST]
    assert run_train.main(arguments) == 2
    assert "--resume" in capsys.readouterr().err


def test_a_killed_run_goes_on_as_if_nothing_had_happened(tmp_path, data, checkpoint):
    """Over the end of an epoch, with random key frames and synthetic nulls, past a checkpoint that was cut off."""
    config = json.loads((checkpoint / "config.json").read_text()) | {"key_frame": "best"}
    start = tmp_path / "start"
    start.mkdir()
    for file in checkpoint.iterdir():
        (start / file.name).write_bytes(file.read_bytes())
    (start / "config.json").write_text(json.dumps(config))

    def launch(output, *more):
        values = [f"--model={start}", f"--data_root={data}", f"--output_dir={output}", "--max_steps=11"]
        values += ["--synthetic_null_probability=0.5", "--save_strategy=steps", "--save_steps=4"]
        values += ["--eval_strategy=steps", "--eval_steps=4", "--eval_splits=val"]
        command = [sys.executable, str(SCRIPT), *values, *FAST, *more]
        with (tmp_path / "log.txt").open("a") as log:
            return subprocess.Popen(command, stdout=log, stderr=log, env=os.environ | {"OMP_NUM_THREADS": "1"})

    whole, killed = tmp_path / "whole", tmp_path / "killed"
    reference, victim = launch(whole), launch(killed)
    while last_checkpoint(killed) is None and victim.poll() is None:
        time.sleep(0.01)
    victim.send_signal(signal.SIGKILL)
    assert victim.wait() == -signal.SIGKILL, (tmp_path / "log.txt").read_text()
    assert not (killed / "trainer_state.json").exists()
    (killed / "checkpoint-13").mkdir()
    (killed / "checkpoint-13" / "model.safetensors").write_bytes(b"cut")
    assert launch(killed, "--resume").wait() == 0, (tmp_path / "log.txt").read_text()
    assert reference.wait() == 0, (tmp_path / "log.txt").read_text()

    histories = [json.loads((run / "trainer_state.json").read_text())["log_history"] for run in (whole, killed)]
    names = ("step", "loss", "loss_bce", "loss_dice", "grad_norm", "learning_rate", "eval_val_loss", "eval_val_jaccard")
    expected, found = ([[entry.get(name) for name in names] for entry in history] for history in histories)
    assert len(expected) == 11 + 3 + 1 and found == expected
    weights = [load_file(run / "model.safetensors") for run in (whole, killed)]
    assert all(torch.equal(value, weights[1][name]) for name, value in weights[0].items())
