"""What the documentation says exists, and its Python prints what it says."""

import ast
import inspect
import io
import re
import runpy
import shlex
import subprocess
import sys
from contextlib import redirect_stdout, suppress
from pkgutil import resolve_name

import pytest
import transformers
import typer

import lavseg
from conftest import ROOT
from lavseg.auto import ENTRY_POINTS
from lavseg.cli import app
from lavseg.recipe_files import shipped_recipes
from lavseg.training.run import accepted_keys

PAGES = [path for folder in ("model_cards", "docs") for path in sorted((ROOT / folder).rglob("*.md"))]
DOCUMENTS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *PAGES]
TEXTS = {str(path.relative_to(ROOT)): path.read_text(encoding="utf-8") for path in DOCUMENTS}
FOLDERS = r"(?:\.ci|benchmarks|docs|examples|model_cards|src|tests)"
# Documents whose Python runs as it stands, and prints what it says.
EXECUTED = ("README.md", "docs/quickstart.md", "docs/segmenting.md", "docs/data.md", "docs/metrics.md")
COMMAND = typer.main.get_command(app)


def snippets(language, documents=tuple(TEXTS)):
    """Code blocks of a language by document and number."""
    return {
        f"{name}-{number}": block
        for name in documents
        for number, block in enumerate(re.findall(rf"^```{language}\n(.*?)^```", TEXTS[name], re.M | re.S))
    }


def commands():
    """Lines of all bash blocks as lists of words, without what leads to a program of the environment."""
    lines = [line for block in snippets("bash").values() for line in block.replace("\\\n", " ").splitlines()]
    return [shlex.split(line.replace(".venv/bin/", ""), comments=True) for line in lines if line.strip()]


def calls(program):
    """The words of every use of a program, or of a script where `program` is `.py`, from its name on."""
    found = []
    for words in commands():
        starts = [index for index, word in enumerate(words) if word == program or word.endswith(".py")]
        if starts and words[starts[0]].endswith(program):
            found.append(words[starts[0] :])
    assert found
    return found


def options(words):
    return {word.split("=")[0] for word in words if word.startswith("--")}


def command_of(words):
    """The command that these words lead to, and the words that follow its name."""
    command = COMMAND
    while words and words[0] in getattr(command, "commands", ()):
        command, words = command.commands[words[0]], words[1:]
    return command, words


def test_no_page_holds_both_sides_of_a_merge():
    marked = re.compile(r"^(<{7} |={7}$|>{7} )", re.MULTILINE)
    assert [path.name for path in DOCUMENTS if marked.search(path.read_text())] == []


def test_python_compiles():
    assert {name: fault for name, block in snippets("python").items() if (fault := syntax_error(block))} == {}


def syntax_error(block):
    try:
        compile(block, "snippet", "exec")
    except SyntaxError as error:
        return str(error)


def test_bash_parses():
    checked = {
        name: subprocess.run(["bash", "-n"], input=block, capture_output=True, text=True)
        for name, block in snippets("bash").items()
    }
    assert {name: done.stderr for name, done in checked.items() if done.returncode} == {}


@pytest.mark.parametrize("name", EXECUTED)
def test_python_prints_what_it_says(name, tmp_path, monkeypatch):
    if not (ROOT / "examples" / "sam2-love-tiny" / "model.safetensors").is_file():
        pytest.skip("the checkpoint examples/sam2-love-tiny is not there")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    blocks = snippets("python", [name])
    assert blocks
    for label, block in blocks.items():
        printed = io.StringIO()
        with redirect_stdout(printed):
            exec(compile(block, label, "exec"), {})
        assert printed.getvalue() == "".join(re.findall(r"^# (.*\n)", block, re.M))


def test_paths_exist():
    missing = {}
    for name, text in TEXTS.items():
        mentioned = set(re.findall(rf"(?<![\w/.-]){FOLDERS}/[\w./-]*\w", text))
        links = {link for link in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", text) if "://" not in link}
        absent = {path for path in mentioned if not (ROOT / path).exists()}
        absent |= {link for link in links if not ((ROOT / name).parent / link).exists()}
        missing |= {name: absent} if absent else {}
    assert missing == {}


def test_dotted_names_resolve():
    named = {(name, dotted) for name, text in TEXTS.items() for dotted in re.findall(r"\blavseg(?:\.\w+)+", text)}
    unknown = {(name, dotted) for name, dotted in named if not resolves(dotted)}
    assert {(name, dotted) for name, dotted in unknown if dotted != ENTRY_POINTS} == set()


def resolves(dotted):
    try:
        resolve_name(dotted)
    except (ImportError, AttributeError):
        return False
    return True


def test_options_of_the_command_exist():
    unknown = {}
    for words in calls("lavseg"):
        command, rest = command_of(words[1:])
        assert not hasattr(command, "commands"), f"{' '.join(words)}: no such command"
        accepted = {option for parameter in command.params for option in parameter.opts}
        if command.name == "train":
            accepted |= {f"--{name}" for name in accepted_keys()}
        unknown |= {" ".join(words): options(rest) - accepted}
    assert {line: names for line, names in unknown.items() if names} == {}


def test_commands_named_in_the_text_exist():
    named = {words for text in TEXTS.values() for words in re.findall(r"`lavseg ([a-z][a-z -]*)", text)}
    assert named and {words for words in named if command_of(words.split())[0] is COMMAND} == set()


def test_options_of_the_examples_exist(monkeypatch, capsys):
    unknown = {}
    for words in calls(".py"):
        monkeypatch.setattr(sys, "argv", [words[0], "--help"])
        with suppress(SystemExit):
            runpy.run_path(str(ROOT / words[0]), run_name="__main__")
        unknown |= {" ".join(words): options(words) - set(re.findall(r"--\w+", capsys.readouterr().out))}
    assert {line: names for line, names in unknown.items() if names} == {}


def test_every_method_has_its_page():
    cards = {path.name for path in (ROOT / "model_cards").glob("*.md")}
    for name in cards:
        assert f'"model_cards/{name}"' in TEXTS[f"docs/methods/{name}"]
    assert {path.name for path in (ROOT / "docs" / "methods").iterdir()} == cards


def test_every_recipe_is_on_its_page_with_what_was_published():
    rows = re.findall(r"^\| `(\w+(?::\w+)?)` \|(.*)\|$", TEXTS["docs/reproducing.md"], re.M)
    published = [recipe for recipe in shipped_recipes() if recipe.reproduces]
    assert {name for name, _ in rows} == {recipe.name for recipe in published}
    for recipe in published:
        row = next(row for name, row in rows if name == recipe.name)
        for scores in recipe.reproduces["published"].values():
            assert ", ".join(f"{score} {value}" for score, value in scores.items()) in row, recipe.name


def test_make_targets_exist():
    targets = set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.M))
    named = {target for text in TEXTS.values() for target in re.findall(r"(?:^|`)make ([\w-]+)", text, re.M)}
    assert named and named <= targets


def test_the_changelog_says_where_modules_went():
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `(lavseg\.[\w.]+)` \| `(lavseg\.[\w.]+)` \|$", text, re.M)
    assert rows and {new for _, new in rows if not resolves(new)} == set()
    assert {old for old, _ in rows if resolves(old)} == set()


def test_every_public_class_shows_its_use():
    """In Python that at least compiles and calls nothing of this package that it does not have."""
    for name, public in ((name, getattr(lavseg, name)) for name in lavseg.__all__):
        if isinstance(public, type):
            examples = re.findall(r"```python\n(.*?)```", inspect.cleandoc(public.__doc__ or ""), re.S)
            assert examples, f"{name} has no example"
            for example in examples:
                tree = ast.parse(example)
                known = {*lavseg.__all__, *vars(sys.modules[public.__module__])}
                called = {node.func.id for node in ast.walk(tree) if _calls_a_class(node)}
                defined = {node.name for node in ast.walk(tree) if isinstance(node, ast.ClassDef)}
                assert called - known - defined - set(vars(transformers)) == set(), name


def _calls_a_class(node):
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id[0].isupper()
