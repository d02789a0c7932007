import json
from types import SimpleNamespace

import pytest
from typer.testing import CliRunner

from lavseg.cli import app, first_use
from lavseg.data import write_ref_avs
from saved_clips import save_clips

NAME = "auralsam2-ref-avs"


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    return save_clips(tmp_path_factory.mktemp("clips")) / "clip.mp4"


def run(*words, **given):
    return CliRunner().invoke(app, [*map(str, words)], **given)


def segment(clip, out, *options, **given):
    return run("segment", clip, "--text", "the dog", "--model", NAME, "--out", out, *options, **given)


def test_a_name_is_segmented_with_and_scored_after_one_agreement(release, clip, tmp_path):
    asked = segment(clip, tmp_path / "out")
    assert asked.exit_code == 2 and len(asked.stderr.splitlines()) == 1 and release.ranges == []
    for part in (f"lavseg segment: {NAME} is not here yet. To fetch: ", " MB, ", "Apache-2.0", "Agree with --yes"):
        assert part in asked.stderr
    agreed = segment(clip, tmp_path / "out", "--yes")
    assert agreed.exit_code == 0, agreed.output
    assert agreed.stderr.startswith(f"{NAME} is not here yet. To fetch: ")
    assert json.loads((tmp_path / "out" / "result.json").read_text())["model"] == NAME

    release.shutdown()
    release.server_close()
    again = segment(clip, tmp_path / "again")
    assert (again.exit_code, again.stderr) == (0, "")
    data = write_ref_avs(tmp_path / "data", {"train": 1, "test_s": 1}, 2, (32, 40))
    scored = run("evaluate", "--model", NAME, "--data", data, "--split", "test_s", "--json")
    assert scored.exit_code == 0 and json.loads(scored.stdout)["model"] == NAME


def test_in_a_terminal_it_asks(release, clip, tmp_path, monkeypatch):
    monkeypatch.setattr(first_use, "sys", SimpleNamespace(stdin=SimpleNamespace(isatty=lambda: True)))
    asked = segment(clip, tmp_path / "out", input="n\n")
    assert asked.exit_code == 1 and "Go on? [y/N]" in asked.stderr and release.ranges == []
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "words", [("segment", "clip.mp4", "--out", "out"), ("evaluate", "--data", "data"), ("app", "--port", "0")]
)
def test_every_command_says_how_one_is_had_by_hand(release, words):
    done = run(*words, "--model", "sama-avs-s4", "--yes")
    assert done.exit_code == 2 and len(done.stderr.splitlines()) == 1
    assert done.stderr.startswith(f"lavseg {words[0]}: sama-avs-s4: a browser has to fetch ckpts/s4/")
    assert release.requests == []


def test_the_model_is_chosen_knowingly(clip, tmp_path):
    done = run("segment", clip, "--text", "the dog", "--out", tmp_path / "out")
    assert done.exit_code == 2 and done.stderr == f"lavseg segment: --model: is missing; {first_use.CHOICE}\n"
    assert NAME in done.stderr and "examples/sam2-love-tiny" in done.stderr and "toy" in done.stderr
