"""What the documentation says exists, and its Python prints what it says."""

import io
import re
import runpy
import shlex
import subprocess
import sys
from contextlib import redirect_stdout, suppress
from pkgutil import resolve_name

import numpy as np
import pytest
import typer

from conftest import ROOT
from lavseg.cli import app
from lavseg.media import write_video

DOCUMENTS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "model_cards").glob("*.md"))]
TEXTS = {str(path.relative_to(ROOT)): path.read_text(encoding="utf-8") for path in DOCUMENTS}
FOLDERS = r"(?:\.ci|benchmarks|examples|model_cards|src|tests)"


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
    """Parameters `(name, options)` for every use of `program name --option ...`."""
    found = [words[words.index(program) + 1 :] for words in commands() if program in words]
    uses = [(words[0], [w.split("=")[0] for w in words if w.startswith("--")]) for words in found if words]
    return [pytest.param(name, options, id=name) for name, options in uses if not name.startswith("-")]


@pytest.mark.parametrize("block", snippets("python"))
def test_python_compiles(block):
    compile(block, "snippet", "exec")


@pytest.mark.parametrize("block", snippets("bash"))
def test_bash_parses(block):
    checked = subprocess.run(["bash", "-n"], input=block, capture_output=True, text=True)
    assert checked.returncode == 0, checked.stderr


def test_python_of_the_readme_prints_what_it_says(tmp_path, monkeypatch):
    if not (ROOT / "examples" / "sam2-love-tiny" / "model.safetensors").is_file():
        pytest.skip("the checkpoint examples/sam2-love-tiny is not there")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    (tmp_path / "runs" / "demo").mkdir(parents=True)
    frames = np.random.default_rng(0).integers(0, 255, (10, 224, 288, 3), dtype=np.uint8)
    write_video(tmp_path / "runs" / "demo" / "clip.mp4", frames, 1, np.zeros((1, 160000), np.float32), 16000)
    for param in snippets("python", ["README.md"]):
        block, printed = param.values[0], io.StringIO()
        with redirect_stdout(printed):
            exec(compile(block, param.id, "exec"), {})
        assert printed.getvalue() == "".join(re.findall(r"^# (.*\n)", block, re.M))


@pytest.mark.parametrize("name", TEXTS)
def test_paths_exist(name):
    mentioned = set(re.findall(rf"(?<![\w/.-]){FOLDERS}/[\w./-]*\w", TEXTS[name]))
    base = (ROOT / name).parent
    links = {link for link in re.findall(r"\]\(([^)#]+)\)", TEXTS[name]) if "://" not in link}
    missing = {path for path in mentioned if not (ROOT / path).exists()}
    assert not missing | {link for link in links if not (base / link).exists()}


@pytest.mark.parametrize("name", TEXTS)
def test_dotted_names_resolve(name):
    for dotted in re.findall(r"\blavseg(?:\.\w+)+", TEXTS[name]):
        resolve_name(dotted)


@pytest.mark.parametrize(("name", "options"), calls("lavseg"))
def test_options_of_the_command_exist(name, options):
    command = typer.main.get_command(app).commands[name]
    assert set(options) <= {option for parameter in command.params for option in parameter.opts}


@pytest.mark.parametrize(("name", "options"), calls("python"))
def test_options_of_the_examples_exist(name, options, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", [name, "--help"])
    monkeypatch.syspath_prepend(ROOT / "examples")
    with suppress(SystemExit):
        runpy.run_path(str(ROOT / name), run_name="__main__")
    assert set(options) <= set(re.findall(r"--\w+", capsys.readouterr().out))


@pytest.mark.parametrize("name", TEXTS)
def test_make_targets_exist(name):
    targets = set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.M))
    assert set(re.findall(r"(?:^|`)make ([\w-]+)", TEXTS[name], re.M)) <= targets
