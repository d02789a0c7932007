import subprocess
import sys

import pytest
import run_demo

from conftest import ROOT


@pytest.mark.parametrize(
    "option, words",
    [
        ("--model=absent", "no config.json"),
        ("--method=sama", "invalid choice"),
        ("--clips=3", "at least 4"),
        ("--method=gavs --clips=1", "at least 2"),
        ("--steps=3", "at least 4"),
    ],
)
def test_unusable_options_are_refused_at_once(untrained, tmp_path, capsys, option, words):
    with pytest.raises(SystemExit):
        run_demo.main([f"--out={tmp_path / 'demo'}", f"--model={untrained}", *option.split()])
    assert words in capsys.readouterr().err and not (tmp_path / "demo").exists()


@pytest.mark.slow
def test_it_starts_in_any_folder(tmp_path):
    """Whatever is there, even a package of the same name."""
    (tmp_path / "demo").mkdir()
    (tmp_path / "demo" / "__init__.py").write_text("raise SystemExit(3)")
    program = [sys.executable, str(ROOT / "examples" / "run_demo.py"), "--out=out", "--model=absent"]
    done = subprocess.run(program, capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 2 and "absent is no checkpoint" in done.stderr, done.stderr
