"""The pages that are made from the code, and the files beside them, hold what the code does."""

import re
import runpy
import tomllib
from dataclasses import MISSING, fields
from pkgutil import resolve_name
from types import SimpleNamespace

import pytest
import yaml
from transformers import TrainingArguments

import lavseg
from conftest import ROOT
from lavseg.recipe_files import shipped_recipes
from lavseg.training.arguments import LavsegTrainingArguments
from lavseg.training.run import RunArguments, encoders
from test_docs import COMMAND, TEXTS

HOOKS = ROOT / "docs" / "site_hooks.py"
ADDRESS = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["urls"]["Repository"]


def every_command(command=COMMAND, name="lavseg"):
    yield name, command
    for word, inner in getattr(command, "commands", {}).items():
        yield from every_command(inner, f"{name} {word}")


def section(page, heading):
    """What stands below a heading of level 2, up to the next one."""
    return re.search(rf"^## {heading}\n(.*?)(?=^## |\Z)", TEXTS[page], re.M | re.S)[1]


def test_every_command_and_option_is_on_its_page():
    page = runpy.run_path(str(HOOKS))["on_page_markdown"]
    text = page(TEXTS["docs/command_line.md"], SimpleNamespace(file=SimpleNamespace(src_uri="command_line.md")))
    sections = dict(re.findall(r"^#+ `(lavseg[\w -]*)`\n(.*?)(?=^##|\Z)", text, re.M | re.S))
    assert sections.keys() == {name for name, _ in every_command()}
    for name, command in every_command():
        for parameter in command.params:
            is_option = parameter.param_type_name == "option"
            shown = parameter.opts if is_option else [parameter.metavar or parameter.name.upper()]
            assert [word for word in shown if f"`{word}" not in sections[name]] == [], name
            assert (parameter.help or "").split(".")[0] in sections[name], (name, parameter.name)


def test_every_public_name_is_in_the_api():
    named = [
        name
        for page in (ROOT / "docs" / "api").iterdir()
        for name in re.findall(r"^::: (\S+)$", page.read_text(), re.M)
    ]
    assert len(named) == len(set(named)) and {f"lavseg.{name}" for name in lavseg.__all__} <= set(named)
    for name in named:
        assert resolve_name(name).__doc__, name


def test_docstrings_link_to_public_names(tmp_path):
    griffe = pytest.importorskip("griffe", reason="mkdocstrings is not installed (extra dev)")
    (tmp_path / "made_up").mkdir()
    (tmp_path / "made_up" / "__init__.py").write_text('_PUBLIC = {"Clip": "clips"}')
    (tmp_path / "made_up" / "clips.py").write_text('class Clip:\n    """Not a [`Frame`], see [`Clip`] and [`x`](y)."""')
    extension = runpy.run_path(str(ROOT / "docs" / "docstrings.py"))["PublicNames"]()
    package = griffe.load("made_up", search_paths=[tmp_path], extensions=griffe.Extensions(extension))
    assert package["Clip"].docstring.value == "Not a `Frame`, see [`Clip`][made_up.Clip] and [`x`](y)."


def test_every_own_key_of_training_is_on_its_page_with_its_default():
    rows = dict(re.findall(r"^\| `(\w+)` \| (?:`(\S+)` )?\| .*\|$", section("docs/training.md", "Keys"), re.M))
    theirs = {item.name for item in fields(TrainingArguments)}
    own = {item.name: item for item in fields(RunArguments) if item.init}
    own |= {item.name: item for item in fields(LavsegTrainingArguments) if item.name not in theirs}
    assert rows.keys() == own.keys() | encoders().keys()
    for name, item in own.items():
        default = item.default_factory() if item.default_factory is not MISSING else item.default
        default = " ".join(default) if isinstance(default, list) else default
        assert rows[name] == ("" if default in (None, MISSING) else str(default)), name


def test_every_recipe_is_on_the_page_on_training():
    names = {
        name
        for row in re.findall(r"^\| (`.*?`) \|", section("docs/training.md", "Recipes"), re.M)
        for name in row.split("`")[1::2]
    }
    assert names == {recipe.name for recipe in shipped_recipes() if ":" not in recipe.name}


def test_the_numbers_of_the_readme_are_those_of_the_page_with_their_sources():
    rows = re.findall(r"^\| \[([\w-]+)\].*$", section("README.md", "Methods"), re.M)
    assert rows == [
        "SAM2-LOVE",
        "AuralSAM2",
        "ST-BAVA",
        "SAMA-AVS",
        "GAVS",
        "AVSegFormer",
        "SimToken",
        "EEMC",
        "Stepping-Stones",
        "ReferFormer",
        "TPAVI",
    ]
    published = section("docs/choosing_a_method.md", "Published numbers")
    for method in rows:
        line = re.search(rf"^\| \[{method}\].*$", TEXTS["README.md"], re.M)[0]
        numbers = [number for cell in line.split("|")[6:-1] for number in cell.split() if number != "/"]
        sources = re.findall(rf"^\| {method}(?:,| with text).*$", published, re.M)
        assert numbers and set(numbers) <= {cell.strip() for row in sources for cell in row.split("|")}, method


def test_the_address_of_the_repository_stands_in_one_place():
    config = SimpleNamespace()
    runpy.run_path(str(HOOKS))["on_config"](config)
    assert config.repo_url == ADDRESS and config.repo_name == ADDRESS.partition("github.com/")[2]
    others = [
        ROOT / "mkdocs.yml",
        ROOT / "CITATION.cff",
        *(ROOT / ".github").rglob("*.*"),
        *(ROOT / "src").rglob("*.py"),
    ]
    texts = {**TEXTS, **{str(path): path.read_text(encoding="utf-8") for path in others}}
    assert [name for name, text in texts.items() if ADDRESS in text] == []


def test_nothing_says_that_the_package_is_on_pypi():
    stub, card = (ROOT / "src/lavseg" / name for name in ("modeling/remote_code/hub_lavseg.py", "hub/model_card.py"))
    texts = {**TEXTS, "stub": stub.read_text(encoding="utf-8"), "card": card.read_text(encoding="utf-8")}
    assert [name for name, text in texts.items() if re.search(r"pip install (?:-\S+ )?[\"']?lavseg", text)] == []


def test_the_citation_is_of_this_version():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert (citation["version"], citation["license"]) == (lavseg.__version__, "Apache-2.0")
    bibtex = (
        "".join(re.findall(r"```bibtex\n(.*?)```", "".join(TEXTS.values()), re.S)).replace("{", "").replace("}", "")
    )
    cited = {reference["title"] for reference in citation["references"]}
    assert cited >= set(re.findall(r"^ *title *= (.*),$", bibtex, re.M)) - {"VGGish"}


def test_forms_for_issues_have_what_github_asks_for():
    forms = [path for path in (ROOT / ".github" / "ISSUE_TEMPLATE").glob("*.yml") if path.stem != "config"]
    assert len(forms) == 3
    for form in (yaml.safe_load(path.read_text(encoding="utf-8")) for path in forms):
        assert form.keys() == {"name", "description", "labels", "body"}
        for part in form["body"]:
            assert part["attributes"].keys() >= ({"value"} if part["type"] == "markdown" else {"label"})
