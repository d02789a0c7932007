"""The rooms of `src/lavseg` as CONTRIBUTING.md draws them, read from the syntax trees."""

import ast
from collections import Counter, defaultdict
from dataclasses import fields
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

from lavseg.auto import METHODS
from lavseg.modeling.configuration import AudioVisualConfig
from lavseg.models.sam2_love import Sam2LoveConfig

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src" / "lavseg"
# A room may import from itself and from those that follow it.
ROOMS = (
    *("cli", "app", "inference", "training", "evaluation", "data", "hub", "metrics", "auto", "checkpoint"),
    *("released", "recipe_files", "models", "backbones", "modeling", "remote_files", "losses", "output_folders"),
    *("media", "visualization", "error_reasons"),
)
# They stand above the rooms: what one writes as `lavseg.name`, how Transformers comes to know the architectures, and
# the tests that a method has to pass.
DOORS = ("__init__", "registration", "testing")
LINES_PER_FILE, LINES_PER_FUNCTION, MODULES_IN_MODELING, LINES_ALIKE = 400, 60, 9, 5


def modules(source):
    """The path of every module below `source`, by its dotted name without `lavseg`; a package has its folder's."""
    paths = {path: path.relative_to(source).with_suffix("").parts for path in sorted(source.rglob("*.py"))}
    return {".".join(parts[:-1] if parts[-1:] == ("__init__",) else parts): path for path, parts in paths.items()}


def imports(path, name, known):
    """Modules of this package that a module imports anywhere: at its top, in functions, for type checkers."""
    package = name.split(".") if path.name == "__init__.py" else name.split(".")[:-1]
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found = [alias.name.split(".")[1:] for alias in node.names if alias.name.split(".")[0] == "lavseg"]
        elif isinstance(node, ast.ImportFrom) and (node.level or node.module.split(".")[0] == "lavseg"):
            start = package[: len(package) - node.level + 1] if node.level else []
            rest = (node.module or "").split(".")[0 if node.level else 1 :]
            found = [[*start, *rest, alias.name] for alias in node.names]
        else:
            continue
        for parts in found:
            parts = [part for part in parts if part]
            if len(parts) == 1 and parts[0] not in known and parts[0] != "__version__":
                yield f"__init__.{parts[0]}"  # a public name, which may come from any room
                continue
            while ".".join(parts) not in known:  # a name in a module
                parts = parts[:-1]
            yield ".".join(parts)


def graph(source):
    known = modules(source)
    return {name: sorted({*imports(path, name, known)} - {name}) for name, path in known.items()}


def room(name):
    return name.split(".")[0] or "__init__"


def upward_imports(source):
    """Imports against the order of the rooms, and of one method by another."""
    wrong = []
    for name, imported in graph(source).items():
        for other in imported:
            if room(name) in DOORS or other == "":
                continue
            siblings = [part.split(".")[1:2] for part in (name, other) if room(part) == "models"]
            between_methods = len(siblings) == 2 and siblings[0] != siblings[1]
            if (
                between_methods
                or room(other) in DOORS
                or room(other) == "__init__"
                or ROOMS.index(room(name)) > ROOMS.index(room(other))
            ):
                wrong.append(f"{name} imports {other}")
    return wrong


def cycle(edges):
    """One cycle of a graph, empty where there is none."""
    try:
        list(TopologicalSorter(edges).static_order())
    except CycleError as error:
        return error.args[1]
    return []


class _Anonymous(ast.NodeTransformer):
    """Leaves out names, constants and annotations."""

    def generic_visit(self, node):
        super().generic_visit(node)
        for field in ("id", "arg", "attr", "name", "annotation"):
            if hasattr(node, field):
                setattr(node, field, None)
        return node

    def visit_Constant(self, node):
        return ast.Constant(None)


def shape(statements):
    """Statements as text in which names and constants make no difference."""
    return "".join(ast.dump(_Anonymous().visit(statement)) for statement in statements)


def same_but_for_names(source):
    """Functions of more than five lines, docstrings aside, that become equal when names and constants are left out."""
    alike = defaultdict(list)
    for name, path in modules(source).items():
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef):
                body = node.body[ast.get_docstring(node) is not None :]
                if body and body[-1].end_lineno - body[0].lineno + 1 > LINES_ALIKE:
                    alike[shape(body)].append(f"{name}.{node.name}")
    return [names for names in alike.values() if len(names) > 1]


def without_test(source, tests):
    """Modules that have no test file at the mirrored path."""
    paths = [path.relative_to(source) for path in source.rglob("*.py") if path.name != "__init__.py"]
    return sorted(str(path) for path in paths if not (tests / path.parent / f"test_{path.name}").is_file())


def own_fields(config):
    """Fields of a method's configuration that the base it has from `modeling` does not have."""
    base = next(kind for kind in config.__mro__ if kind.__module__ == AudioVisualConfig.__module__)
    return {item.name for item in fields(config)} - {item.name for item in fields(base)}


def private_fields_read(source, names):
    """Where fields of the methods' own are read from a configuration outside the rooms of methods and backbones."""
    found = []
    for name, path in modules(source).items():
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if room(name) in ("models", "backbones"):
                continue
            if isinstance(node, ast.Attribute):
                owner, field = node.value, node.attr
            elif isinstance(node, ast.Call) and ast.unparse(node.func) in ("getattr", "hasattr"):
                owner, field = node.args[0], getattr(node.args[1], "value", None)
            else:
                continue
            if field in names and ast.unparse(owner).split(".")[-1] == "config":
                found.append(f"{name} reads {field}")
    return found


def lengths_of_functions(source):
    """Lines of every function without its docstring, by its name."""
    lengths = {}
    for name, path in modules(source).items():
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                doc = node.body[0] if ast.get_docstring(node) is not None else None
                of_doc = doc.end_lineno - doc.lineno + 1 if doc else 0
                lengths[f"{name}.{node.name}"] = node.end_lineno - node.lineno + 1 - of_doc
    return lengths


@pytest.fixture
def made_up(tmp_path):
    """A function that writes a tree of modules, by path and text, as `src/lavseg` is one."""

    def write(files):
        for name, text in {"__init__.py": "", **files}.items():
            path = tmp_path / "lavseg" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        return tmp_path / "lavseg"

    return write


def test_rooms_import_one_way():
    assert upward_imports(SOURCE) == []


@pytest.mark.parametrize(
    "line",
    [
        "from ..hub import push",
        "from ..hub.push import push",
        "from .. import hub",
        "import lavseg.hub.push",
        "from lavseg.hub import push",
        "def late():\n    from ..hub.push import push",
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from ..hub.push import push",
    ],
)
def test_an_upward_import_is_found_in_every_form(made_up, line):
    hub = {"hub/__init__.py": "", "hub/push.py": "from ..metrics import scores\ndef push(): ..."}
    source = made_up(
        {**hub, "metrics/__init__.py": "", "metrics/scores.py": "from ..losses import dice", "losses.py": ""}
    )
    assert upward_imports(source) == []
    (source / "metrics" / "scores.py").write_text(line)
    assert len(upward_imports(source)) == 1 and upward_imports(source)[0].startswith("metrics.scores imports hub")


def test_a_public_name_may_come_from_any_room(made_up):
    source = made_up({"metrics/scores.py": "from lavseg import __version__", "losses.py": ""})
    assert upward_imports(source) == []
    for line in ("from lavseg import LavsegTrainer", "from .. import LavsegTrainer"):
        (source / "metrics" / "scores.py").write_text(line)
        assert upward_imports(source) == ["metrics.scores imports __init__.LavsegTrainer"]


def test_an_import_of_a_sibling_method_is_found(made_up):
    source = made_up({"models/a/model_a.py": "from ...losses import dice", "models/b/model_b.py": "", "losses.py": ""})
    assert upward_imports(source) == []
    (source / "models" / "b" / "model_b.py").write_text("from ..a.model_a import A")
    assert upward_imports(source) == ["models.b.model_b imports models.a.model_a"]


def test_a_room_that_imports_the_contract_is_found(made_up):
    source = made_up({"testing/__init__.py": "from ..losses import dice", "losses.py": ""})
    assert upward_imports(source) == []
    (source / "losses.py").write_text("from .testing import MethodContract")
    assert upward_imports(source) == ["losses imports testing"]


def test_no_module_is_imported_by_what_it_imports():
    assert cycle(graph(SOURCE)) == []


def test_a_cycle_is_found(made_up):
    source = made_up({"data/a.py": "from .b import x", "data/b.py": "def late():\n    from . import a"})
    assert {*cycle(graph(source))} == {"data.a", "data.b"}


def test_every_module_is_in_a_room():
    assert {room(name) for name in modules(SOURCE)} == {*ROOMS, *DOORS}


def test_no_two_modules_share_a_name():
    names = Counter(path.name for path in modules(SOURCE).values() if path.name != "__init__.py")
    assert {name for name, count in names.items() if count > 1} == set()


def test_no_file_is_long():
    lengths = {name: len(path.read_text(encoding="utf-8").splitlines()) for name, path in modules(SOURCE).items()}
    assert {name for name, lines in lengths.items() if lines > LINES_PER_FILE} == set()


def test_no_function_is_long():
    assert {name for name, lines in lengths_of_functions(SOURCE).items() if lines > LINES_PER_FUNCTION} == set()


def test_lines_of_a_function_are_counted_without_its_docstring(made_up):
    docstring = '"""One.\n\n        Two."""'
    text = f"class A:\n    async def run(self):\n        {docstring}\n        return (\n            1\n        )\n"
    assert lengths_of_functions(made_up({"data/a.py": text})) == {"data.a.run": 4}


def test_fields_of_a_method_are_read_in_the_methods_rooms_alone():
    assert private_fields_read(SOURCE, set().union(*(own_fields(config) for config, _, _ in METHODS))) == []


@pytest.mark.parametrize(
    "line",
    [
        "length = model.config.max_frames",
        "def late(config):\n    return config.max_frames",
        "length = getattr(self.model.config, 'max_frames', 10)",
        "length = hasattr(config, 'max_frames')",
    ],
)
def test_a_field_of_a_method_read_outside_is_found(made_up, line):
    known = {"models/a/model_a.py": line, "backbones/b.py": line, "data/c.py": "args.max_frames = config.model_type"}
    source = made_up({**known, "inference/windows.py": line})
    assert private_fields_read(source, own_fields(Sam2LoveConfig)) == ["inference.windows reads max_frames"]


def test_methods_have_folders():
    assert [path.name for path in (SOURCE / "models").glob("*.py")] == ["__init__.py"]


def test_what_methods_share_stays_small():
    assert len(list((SOURCE / "modeling").glob("*.py"))) <= MODULES_IN_MODELING


def test_tests_mirror_the_modules():
    assert without_test(SOURCE, ROOT / "tests") == []


def test_no_two_files_of_tests_share_a_name():
    names = Counter(path.name for path in (ROOT / "tests").rglob("test_*.py"))
    assert [name for name, count in names.items() if count > 1] == []


def test_a_module_without_test_is_found(made_up):
    source = made_up({"data/rows.py": "", "data/files.py": "", "tests/data/test_rows.py": ""})
    (source / "tests").rename(source.parent / "tests")
    assert without_test(source, source.parent / "tests") == ["data/files.py"]


def test_no_function_is_a_copy_with_other_names():
    assert same_but_for_names(SOURCE) == []


def test_a_copy_with_other_names_is_found(made_up):
    text = "def {0}({1}):\n" + "".join(f"    {{1}} = {{1}}.{{2}}({number}, {{3}})\n" for number in range(6))
    source = made_up(
        {
            "data/a.py": text.format("first", "rows", "split", "'a'") + "def short(x):\n    return x\n",
            "data/b.py": text.format("second", "clips", "part", "'b'") + "def brief(y):\n    return y\n",
            "data/c.py": text.format("third", "rows", "split", "'a'").replace("= rows.", "+= rows."),
        }
    )
    assert same_but_for_names(source) == [["data.a.first", "data.b.second"]]
