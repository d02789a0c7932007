"""What the documentation says exists, and its Python prints what it says."""

import io
import re
import runpy
import shlex
import subprocess
import sys
from contextlib import redirect_stdout, suppress
from dataclasses import fields
from pkgutil import resolve_name

import numpy as np
import pytest
import typer

from conftest import ROOT
from lavseg.cli import app
from lavseg.media import write_video
from lavseg.training import LavsegTrainingArguments
from lavseg.training.run import RunArguments

PAGES = [path for folder in ("model_cards", "docs") for path in sorted((ROOT / folder).rglob("*.md"))]
DOCUMENTS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *PAGES]
TEXTS = {str(path.relative_to(ROOT)): path.read_text(encoding="utf-8") for path in DOCUMENTS}
FOLDERS = r"(?:\.ci|benchmarks|docs|examples|model_cards|src|tests)"
# Documents whose Python runs as it stands, and prints what it says.
EXECUTED = ("README.md", "docs/data.md", "docs/metrics.md")
COMMAND = typer.main.get_command(app)


def snippets(language, documents=tuple(TEXTS)):
    """Code blocks of a language as parameters, named by document and number."""
    return [
        pytest.param(block, id=f"{name}-{number}")
        for name in documents
        for number, block in enumerate(re.findall(rf"^```{language}\n(.*?)^```", TEXTS[name], re.M | re.S))
    ]


def commands():
    """Lines of all bash blocks as lists of words, without what leads to a program of the environment."""
    lines = [line for param in snippets("bash") for line in param.values[0].replace("\\\n", " ").splitlines()]
    return [shlex.split(line.replace(".venv/bin/", ""), comments=True) for line in lines if line.strip()]


def calls(program):
    """Parameters `words` for every use of a program, or of a script where `program` is `.py`, from its name on."""
    found = []
    for words in commands():
        starts = [index for index, word in enumerate(words) if word == program or word.endswith(".py")]
        if starts and words[starts[0]].endswith(program):
            found.append(words[starts[0] :])
    return [pytest.param(words, id=" ".join(words[:3])) for words in found]


def options(words):
    return {word.split("=")[0] for word in words if word.startswith("--")}


def command_of(words):
    """The command that these words lead to, and the words that follow its name."""
    command = COMMAND
    while words and words[0] in getattr(command, "commands", ()):
        command, words = command.commands[words[0]], words[1:]
    return command, words


@pytest.mark.parametrize("block", snippets("python"))
def test_python_compiles(block):
    compile(block, "snippet", "exec")


@pytest.mark.parametrize("block", snippets("bash"))
def test_bash_parses(block):
    checked = subprocess.run(["bash", "-n"], input=block, capture_output=True, text=True)
    assert checked.returncode == 0, checked.stderr


@pytest.mark.parametrize("name", EXECUTED)
def test_python_prints_what_it_says(name, tmp_path, monkeypatch):
    if not (ROOT / "examples" / "sam2-love-tiny" / "model.safetensors").is_file():
        pytest.skip("the checkpoint examples/sam2-love-tiny is not there")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    (tmp_path / "runs" / "demo").mkdir(parents=True)
    frames = np.random.default_rng(0).integers(0, 255, (10, 224, 288, 3), dtype=np.uint8)
    write_video(tmp_path / "runs" / "demo" / "clip.mp4", frames, 1, np.zeros((1, 160000), np.float32), 16000)
    blocks = snippets("python", [name])
    assert blocks
    for param in blocks:
        block, printed = param.values[0], io.StringIO()
        with redirect_stdout(printed):
            exec(compile(block, param.id, "exec"), {})
        assert printed.getvalue() == "".join(re.findall(r"^# (.*\n)", block, re.M))


@pytest.mark.parametrize("name", TEXTS)
def test_paths_exist(name):
    mentioned = set(re.findall(rf"(?<![\w/.-]){FOLDERS}/[\w./-]*\w", TEXTS[name]))
    base = (ROOT / name).parent
    links = {link for link in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", TEXTS[name]) if "://" not in link}
    missing = {path for path in mentioned if not (ROOT / path).exists()}
    assert not missing | {link for link in links if not (base / link).exists()}


@pytest.mark.parametrize("name", TEXTS)
def test_dotted_names_resolve(name):
    for dotted in re.findall(r"\blavseg(?:\.\w+)+", TEXTS[name]):
        resolve_name(dotted)


@pytest.mark.parametrize("words", calls("lavseg"))
def test_options_of_the_command_exist(words):
    command, rest = command_of(words[1:])
    assert not hasattr(command, "commands"), f"{' '.join(words)}: no such command"
    accepted = {option for parameter in command.params for option in parameter.opts}
    if command.name == "train":
        accepted |= {f"--{item.name}" for kind in (RunArguments, LavsegTrainingArguments) for item in fields(kind)}
    assert options(rest) <= accepted


@pytest.mark.parametrize("name", TEXTS)
def test_commands_named_in_the_text_exist(name):
    for named in re.findall(r"`lavseg ([a-z][a-z -]*)", TEXTS[name]):
        assert command_of(named.split())[0] is not COMMAND, f"lavseg {named}"


@pytest.mark.parametrize("words", calls(".py"))
def test_options_of_the_examples_exist(words, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", [words[0], "--help"])
    with suppress(SystemExit):
        runpy.run_path(str(ROOT / words[0]), run_name="__main__")
    assert options(words) <= set(re.findall(r"--\w+", capsys.readouterr().out))


def test_every_method_has_its_page():
    cards = {path.name for path in (ROOT / "model_cards").glob("*.md")}
    for name in cards:
        assert f'"model_cards/{name}"' in TEXTS[f"docs/methods/{name}"]
    assert {path.name for path in (ROOT / "docs" / "methods").iterdir()} == cards


@pytest.mark.parametrize("name", TEXTS)
def test_make_targets_exist(name):
    targets = set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.M))
    assert set(re.findall(r"(?:^|`)make ([\w-]+)", TEXTS[name], re.M)) <= targets
