"""Commands that are killed, stopped or run out of disk leave nothing, or what the next run takes over."""

import json
import os
import shutil
import signal
import sys

import pytest
from fork_server import command
from harness import ended_well, refused, tree, unchanged

from hub_stand_in import TOKEN, running_hub
from published_files import PUBLISHED, expect_tiny

# Below what any result holds.
FULL = 300


def tiny_command(*arguments):
    """`lavseg`, whose `convert` takes the files of small networks."""
    expect_tiny()
    command(*arguments)


def push(endpoint, *arguments):
    """`lavseg push` to a stand-in for the Hub."""
    import huggingface_hub

    huggingface_hub.constants.ENDPOINT = endpoint
    huggingface_hub.constants.HF_HUB_OFFLINE = False
    os.environ |= {"HF_TOKEN": TOKEN, "NO_PROXY": "127.0.0.1"}
    command("push", *arguments)


def killed_command(folder, moment, *arguments):
    """`tiny_command` that SIGKILL ends at its first writing below a folder, or before or after its first renaming."""
    renamed = []

    def watch(event, args):
        path = str(args[1] if event == "os.rename" else args[0]) if args else ""
        if not path.startswith(str(folder)):
            return
        writes = event == "open" and isinstance(args[1], str) and set(args[1]) & set("wax")
        if (moment == "writing" and writes) or (event == "os.rename" and moment == "renaming"):
            os.kill(os.getpid(), signal.SIGKILL)
        if event in ("os.rename", "os.rmdir", "os.remove", "shutil.rmtree", "open") and renamed and moment == "renamed":
            os.kill(os.getpid(), signal.SIGKILL)
        if event == "os.rename":
            renamed.append(path)

    sys.addaudithook(watch)
    tiny_command(*arguments)


@pytest.fixture(scope="session")
def small_data(tmp_path_factory):
    """A Ref-AVS of few small clips."""
    from lavseg.data import write_ref_avs

    return write_ref_avs(tmp_path_factory.mktemp("data") / "SHAPES", {"train": 2, "test_s": 1}, 2, (32, 40))


@pytest.fixture(scope="session")
def published(tmp_path_factory):
    """By a method's name, its published file and options of `convert` that go with it."""
    return {name: write(tmp_path_factory.mktemp(name)) for name, write in PUBLISHED.items()}


@pytest.fixture
def commands(saved_method, short_clip, small_data, published, tmp_path):
    """Every command that writes, by name, into `out` of a folder of its own."""
    model, out = saved_method("sam2_love")[0], tmp_path / "results" / "out"
    return {
        "segment": ["segment", short_clip, "--model", model, "--text", "it", "--out", out, "--overwrite"],
        "synthetic": ["data", "synthetic", "--clips", "1", "--out", out],
        "export": ["data", "export", small_data, "--split", "train", "--out", out],
        "evaluate": ["evaluate", "--model", model, "--data", small_data, "--split", "test_s", "--out", out],
        "convert": ["convert", "vggish", published["vggish"][0], "--out", out],
        "train": [
            "train",
            "--model",
            model,
            "--data",
            small_data,
            "--out",
            out,
            "--max_steps=2",
            "--save_steps=1",
            "--use_cpu",
            "--report_to=none",
            "--learning_rate=1e-4",
            "--save_strategy=steps",
        ],
    }


COMMANDS = ("segment", "synthetic", "export", "evaluate", "convert")


def some_slow(values, fast):
    """Parameters of which only some run by default."""
    return [
        pytest.param(*value, marks=[] if value in fast else pytest.mark.slow, id="-".join(value)) for value in values
    ]


KILLS = [(name, moment) for name in COMMANDS for moment in ("writing", "renaming", "renamed")]


@pytest.mark.parametrize(("name", "moment"), some_slow(KILLS, [("convert", "renamed")]))
def test_what_a_killed_command_leaves_is_taken_over(forked, commands, tmp_path, name, moment):
    results = tmp_path / "results"
    results.mkdir()
    outcome = forked.call(killed_command, results, moment, *commands[name], seconds=120)
    assert outcome.status == -signal.SIGKILL, str(outcome)
    visible = {path.name for path in results.iterdir() if not path.name.startswith(".")}
    assert visible == ({"out"} if moment == "renamed" else set())
    again = forked.call(tiny_command, *commands[name], seconds=120)
    if again.status != 0:
        refused(again, says="is not empty")
    assert [path.name for path in results.iterdir()] == ["out"]


@pytest.mark.slow
@pytest.mark.parametrize("moment", ["writing", "renaming", "renamed"])
def test_an_earlier_result_outlives_a_killed_overwriting(forked, commands, tmp_path, moment):
    results = tmp_path / "results"
    ended_well(forked.command(*commands["segment"]))
    before = tree(results)
    assert forked.call(killed_command, results, moment, *commands["segment"]).status == -signal.SIGKILL
    visible = [path for path in results.iterdir() if not path.name.startswith(".")]
    assert any((path / "result.json").is_file() for path in visible)
    ended_well(forked.command(*commands["segment"]))
    assert tree(results).keys() == before.keys()


@pytest.mark.parametrize(("name",), some_slow([(name,) for name in (*COMMANDS, "train")], [("segment",)]))
def test_a_full_disk_is_one_line_and_leaves_nothing(forked, commands, tmp_path, name):
    with unchanged(tmp_path):
        outcome = forked.call(tiny_command, *commands[name], file_size=FULL, seconds=120)
        outcome.stdout = ""
        outcome.stderr = outcome.stderr.splitlines(keepends=True)[-1] if name == "train" else outcome.stderr
        refused(outcome, says="lavseg ")


@pytest.mark.slow
@pytest.mark.parametrize("name", [*COMMANDS, "train"])
def test_sigterm_is_ctrl_c(forked, commands, tmp_path, name):
    for number in (signal.SIGTERM, signal.SIGINT):
        with unchanged(tmp_path):
            job = forked.start(stopped_command, tmp_path, number, *commands[name], seconds=120)
            outcome = job.wait()
            outcome.stdout = ""
            outcome.stderr = outcome.stderr.splitlines(keepends=True)[-1] if name == "train" else outcome.stderr
            refused(outcome, says="stopped", status=130)


def stopped_command(folder, number, *arguments):
    """`tiny_command` that gets a signal when it makes its first folder below `folder`."""

    def watch(event, args):
        if event == "os.mkdir" and str(args[0]).startswith(str(folder)) and not sent:
            sent.append(True)
            os.kill(os.getpid(), number)

    sent = []
    sys.addaudithook(watch)
    tiny_command(*arguments)


@pytest.mark.slow
def test_errors_before_a_training_are_one_line_and_those_in_it_have_a_line_of_their_own(forked, commands, tmp_path):
    with unchanged(tmp_path):
        wrong = [*commands["train"], "--loss_weights", '{"nope": 1}']
        refused(forked.command(*wrong, seconds=120), says="lavseg train: loss_weights")
        outcome = forked.command(*commands["train"], "--learning_rate=1e30", "--max_grad_norm=0", file_size=FULL)
    assert outcome.status == 2 and outcome.stderr.splitlines()[-1].startswith("lavseg train: "), str(outcome)


@pytest.mark.slow
def test_segment_stopped_on_the_way_leaves_whole_files(forked, saved_method, tmp_path):
    from scripted_clips import write_clip

    write_clip(tmp_path / "long.mp4", 60)
    out = tmp_path / "out"
    model = saved_method("sam2_love")[0]
    arguments = ["segment", tmp_path / "long.mp4", "--model", model, "--text", "it", "--out", out]
    job = forked.start_command(*arguments, seconds=200)
    assert job.send_when(lambda: len(list(tmp_path.glob(".staged-out.0/new/0/*.png"))) > 2, signal.SIGTERM)
    outcome = job.wait()
    assert outcome.status == 130 and outcome.stderr.count("\n") == 1, str(outcome)
    summary = json.loads((out / "result.json").read_text())
    frames = sorted(path.name for path in (out / "0").iterdir())
    assert not summary["complete"] and 0 < len(frames) == len(summary["frame_times"]) < 60
    assert sorted(path.name for path in tmp_path.iterdir()) == ["long.mp4", "out"]


def test_push_that_is_killed_or_lacks_something_leaves_the_folder_alone(forked, saved_method, tmp_path):
    source, _ = saved_method("sama_avs")
    folder = tmp_path / "model"
    shutil.copytree(source, folder)
    with running_hub() as hub, unchanged(tmp_path):
        hub.answers.clear()
        job = forked.start(push, hub.endpoint, folder, "org/name")
        assert job.send_when(lambda: any("create" in path for _, path in hub.requests), signal.SIGKILL)
        assert job.wait().status == -signal.SIGKILL
        hub.answers.set()
        ended_well(forked.call(push, hub.endpoint, folder, "org/name"))
        assert {"model.safetensors", "README.md"} <= hub.repos["org/name"]["files"].keys()
