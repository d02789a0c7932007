import subprocess
import sys

import pytest

PROGRAM = """
import sys
from lavseg.cli import main
sys.argv = ["lavseg", *{arguments!r}]
try:
    main()
finally:
    print("imported:", *sorted({{"torch", "transformers", "av", "numpy"}} & set(sys.modules)))
"""


@pytest.mark.parametrize("arguments", [["--help"], ["segment", "--help"]])
def test_help_imports_nothing_heavy(arguments):
    program = [sys.executable, "-c", PROGRAM.format(arguments=arguments)]
    done = subprocess.run(program, capture_output=True, text=True, timeout=10)
    assert done.returncode == 0 and "segment" in done.stdout
    assert done.stdout.splitlines()[-1].strip() == "imported:"


@pytest.mark.parametrize("arguments", [["segment"], ["segment", "clip.mp4"], ["paint"]])
def test_missing_arguments_and_unknown_commands(arguments):
    program = [sys.executable, "-c", PROGRAM.format(arguments=arguments)]
    done = subprocess.run(program, capture_output=True, text=True, timeout=10)
    assert done.returncode == 2 and "Usage" in done.stderr and "Traceback" not in done.stderr
