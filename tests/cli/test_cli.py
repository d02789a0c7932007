import subprocess
import sys

import typer
from typer.testing import CliRunner

from lavseg.cli import app

# One interpreter asks for the help of one command after the other: whatever one of them imported would show.
PROGRAM = """
import sys
from lavseg.cli import main
for arguments in {commands!r}:
    sys.argv = ["lavseg", *arguments, "--help"]
    try:
        main()
    except SystemExit as end:
        assert not end.code, arguments
heavy = {{"torch", "transformers", "av", "numpy", "datasets", "huggingface_hub"}}
print("imported:", *sorted(heavy & sys.modules.keys()))
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


def test_help_imports_nothing_heavy():
    commands = [[], *(words for words, _ in leaves())]
    done = subprocess.run([sys.executable, "-c", PROGRAM.format(commands=commands)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1].strip() == "imported:"
    assert all(f"Usage: lavseg {' '.join(words)}" in done.stdout for words in commands)


def test_the_commands():
    assert {"segment", "train", "evaluate", "convert", "data", "push", "info"} <= set(COMMANDS)
    assert set(COMMANDS["convert"].commands) == {
        "aural-sam2",
        "avsegformer",
        "eemc",
        "simtoken",
        "referformer",
        "st-bava",
        "sama-avs",
        "stepping-stones",
        "tpavi",
        "vggish",
    }
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


def test_unknown_options_and_commands():
    # `train` takes any key of a recipe, see test_train.py.
    given = [[*words, "--paint"] for words, _ in leaves() if words != ["train"]]
    for arguments in [*given, ["paint"]]:
        done = CliRunner().invoke(app, arguments)
        assert done.exit_code == 2 and done.stderr.count("\n") == 1 and "--help" in done.stderr, arguments


def test_the_shell_can_complete():
    done = CliRunner().invoke(app, [], env={"_LAVSEG_COMPLETE": "source_bash"}, prog_name="lavseg")
    assert done.exit_code == 0 and "_LAVSEG_COMPLETE" in done.stdout
