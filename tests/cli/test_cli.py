import os
import subprocess
import sys

import pytest
import typer

from lavseg.cli import app

PROGRAM = """
import sys
from lavseg.cli import main
sys.argv = ["lavseg", *{arguments!r}]
try:
    main()
finally:
    print("imported:", *sorted({{"torch", "transformers", "av", "numpy", "datasets"}} & set(sys.modules)))
"""
GROUPS = ("convert", "data")
COMMANDS = typer.main.get_command(app).commands


def leaves():
    """Every command as `(words, command)`."""
    for name, command in COMMANDS.items():
        if name in GROUPS:
            yield from (([name, inner], command.commands[inner]) for inner in command.commands)
        else:
            yield [name], command


def run(arguments, **variables):
    program = [sys.executable, "-c", PROGRAM.format(arguments=arguments)]
    return subprocess.run(program, capture_output=True, text=True, timeout=60, env={**os.environ, **variables})


@pytest.mark.parametrize("arguments", [["--help"], ["segment", "--help"], ["train", "--help"], ["data", "--help"]])
def test_help_imports_nothing_heavy(arguments):
    done = run(arguments)
    assert done.returncode == 0 and arguments[0].strip("-") in done.stdout
    assert done.stdout.splitlines()[-1].strip() == "imported:"


def test_the_commands():
    assert {"segment", "train", "evaluate", "convert", "data", "push", "info"} <= set(COMMANDS)
    assert set(COMMANDS["convert"].commands) == {"aural-sam2", "st-bava", "sama-avs", "vggish"}
    assert set(COMMANDS["data"].commands) == {"check", "synthetic", "export"}


def test_the_same_words_for_the_same_options():
    """Options of one name take values of one kind, once or repeatedly, and say what they are for."""
    kinds = {}
    for words, command in leaves():
        for parameter in command.params:
            assert parameter.help, (words, parameter.name)
            for option in parameter.opts:
                if option.startswith("--"):
                    kind = parameter.bare_type().removeprefix("list[").removesuffix("]")
                    kinds.setdefault(option, set()).add(kind)
    assert {name: found for name, found in kinds.items() if len(found) > 1} == {}


@pytest.mark.parametrize("words", [words for words, _ in leaves() if words != ["info"]], ids=" ".join)
def test_unknown_options_and_missing_arguments(words):
    if words == ["train"]:
        pytest.skip("takes any key of a recipe, see test_train.py")
    done = run([*words, "--paint"])
    assert done.returncode == 2 and "Usage" in done.stderr and "Traceback" not in done.stderr


def test_an_unknown_command():
    done = run(["paint"])
    assert done.returncode == 2 and "Usage" in done.stderr and "Traceback" not in done.stderr


def test_the_shell_can_complete():
    done = run([], _LAVSEG_COMPLETE="source_bash")
    assert done.returncode == 0 and "_LAVSEG_COMPLETE" in done.stdout
