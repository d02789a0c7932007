"""Commands with one argument or one line of a recipe wrong: one line and status 2, or a result."""

import json

import pytest
import yaml
from harness import ended_well, mutants, refused, survived, tree
from mutations import VALUES, generator
from test_interruptions import commands, published, push, small_data, tiny_command  # noqa: F401

WORDS = (
    *("", " ", "-1", "0", "1e309", "nan", "99999999999999999999", "1.5", "none", "x" * 300, "\udcff\udcfe", "a\nb"),
    *("☃", "--", "-", "/", ".", "..", "/dev/null", "/proc/self/mem", "/dev/full", "file", "file/below", "[1", "{}"),
)
KEYS = (
    *("learning_rate", "max_steps", "num_train_epochs", "per_device_train_batch_size", "gradient_accumulation_steps"),
    *("warmup_steps", "lr_scheduler_type", "optim", "seed", "dataloader_num_workers", "save_steps", "eval_splits"),
    *("logging_steps", "loss_weights", "metric_protocols", "label_size", "augment", "processor", "method", "model"),
    *(
        "train_split",
        "dataset",
        "subset",
        "plugin",
        "resume",
        "resume_from_checkpoint",
        "feature_cache",
        "save_strategy",
    ),
    *(
        "save_strategy",
        "eval_strategy",
        "metric_for_best_model",
        "synthetic_null_probability",
        "audio_learning_rate_factor",
    ),
    *(
        "fsdp",
        "deepspeed",
        "torch_compile",
        "max_grad_norm",
        "weight_decay",
        "adam_beta2",
        "report_to",
        "debug",
        "nonsense",
    ),
)


def wrong_arguments(arguments, rng):
    """Arguments of which one is missing, doubled, replaced, or too much."""
    arguments = [str(word) for word in arguments]
    place = rng.randrange(1, len(arguments))
    kind = rng.choice(("missing", "doubled", "replaced", "replaced", "replaced", "more"))
    if kind == "missing":
        del arguments[place]
    elif kind == "doubled":
        arguments.insert(place, arguments[place])
    elif kind == "replaced":
        arguments[place] = rng.choice(WORDS)
    else:
        arguments.insert(place, rng.choice((*WORDS, "--nonsense", "--fps=nan", "--workers=-1", "--format=bmp")))
    return arguments


def check(outcome, folder, before, may_write=True):
    """It ended well, or in one line that comes last and left nothing."""
    survived(outcome)
    if outcome.status == 0:
        ended_well(outcome)
    else:
        refused(outcome, says="lavseg")
    if outcome.status != 0 or not may_write:
        assert tree(folder) == before, str(outcome)


@pytest.mark.parametrize("seed", mutants(2000, 100))
def test_a_wrong_argument_is_refused_or_works(forked, commands, tmp_path, monkeypatch, seed):  # noqa: F811
    rng = generator(seed)
    name = rng.choice(["segment", "synthetic", "export", "evaluate", "convert", "check", "push", "info", "train"])
    commands["check"] = ["data", "check", commands["export"][2]]
    commands["push"] = ["push", commands["evaluate"][2], "org/name"]
    commands["info"] = ["info", "--json"]
    here = tmp_path / "here"
    here.mkdir()
    (here / "file").write_text("mine")
    before = tree(tmp_path)
    arguments = wrong_arguments(commands[name], rng)
    outcome = forked.call(tiny_command, *arguments, folder=here, seconds=120)
    if name == "train":
        keep_error(outcome)
    if name == "check" and outcome.status == 1:
        outcome.status = 0
    if name == "segment" and outcome.status == 2 and outcome.stdout:  # a second clip, which is none
        survived(outcome)
        assert outcome.stderr.count("\n") == 1 and outcome.stderr.startswith("lavseg segment: "), str(outcome)
        return
    check(outcome, tmp_path, before, name in commands and name not in ("check", "push", "info"))
    assert (here / "file").read_text() == "mine"


@pytest.mark.parametrize("seed", mutants(3000, 50))
def test_a_wrong_line_of_a_recipe_is_refused_or_works(forked, commands, tmp_path, seed):  # noqa: F811
    rng = generator(seed)
    key = rng.choice(KEYS)
    value = rng.choice((*VALUES, *WORDS[:12], [1, 2], {"a": 1}, [None]))
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(yaml.safe_dump({"max_steps": 1, "use_cpu": True, key: value}))
    before = tree(tmp_path)
    outcome = forked.call(
        tiny_command,
        "train",
        recipe,
        *commands["train"][1:7],
        "--report_to=none",
        "--json",
        folder=tmp_path,
        seconds=120,
    )
    outcome.job += f"\n({key}: {value!r})"
    keep_error(outcome)
    check(outcome, tmp_path, before)
    if outcome.status == 0:
        assert json.loads(outcome.stdout)["output_dir"]


def keep_error(outcome):
    """Of a training that fails on the way, leave out the progress before its last line."""
    if outcome.status == 2 and "it/s]" in outcome.stderr:
        outcome.stderr = outcome.stderr.splitlines(keepends=True)[-1]
        outcome.stdout = ""
