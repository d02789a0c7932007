"""Where the examples import from: the packages never from a script nor from their own name, `tiny` not from `demo`."""

import ast

import pytest

from conftest import ROOT

EXAMPLES = ROOT / "examples"
SCRIPTS = {path.stem for path in EXAMPLES.glob("*.py")}
FORBIDDEN = {
    "": SCRIPTS,
    "comparison": SCRIPTS | {"comparison"},
    "demo": SCRIPTS | {"demo", "comparison"},
    "tiny": SCRIPTS | {"tiny", "demo", "comparison"},
}


def imported(source):
    """The first part of the name of every module that is imported absolutely."""
    names = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and not node.level:
            names.add(node.module.split(".")[0])
    return names


@pytest.mark.parametrize("folder", FORBIDDEN)
def test_imports_point_one_way(folder):
    files = sorted((EXAMPLES / folder).glob("*.py"))
    siblings = {path.stem for path in files} - {"__init__"}
    forbidden = FORBIDDEN[folder] | (siblings if folder else set())
    wrong = {path.name: imported(path.read_text(encoding="utf-8")) & forbidden for path in files}
    assert files and not {name: names for name, names in wrong.items() if names}


def test_what_is_imported_is_found():
    assert imported("import a.b\nfrom c.d import e\nfrom .f import g\ndef h():\n    import i") == {"a", "c", "i"}
