"""The harness finds what it is there to find."""

import os
import signal
import sys
import time
from pathlib import Path

import pytest
from harness import GIB, Outcome, ended_well, raised, refused, refused_or_done, survived, unchanged


def give(value):
    print("given", value)
    return {"value": value}


def fail(kind, text):
    raise kind(text)


def hang():
    time.sleep(60)


def crash():
    os.kill(os.getpid(), signal.SIGSEGV)


def eat_memory():
    return len(bytearray(3 * GIB))


def burn():
    while True:
        pass


def write_much(path):
    Path(path).write_bytes(bytes(10_000))


def say(path):
    Path(path).touch()
    hang()


def end_with(status, text):
    print(text, file=sys.stderr)
    sys.exit(status)


def test_what_a_job_returns_and_raises_comes_back(forked, tmp_path):
    found = ended_well(forked.call(give, 3, folder=tmp_path))
    assert found.value == {"value": 3} and found.stdout == "given 3\n"
    assert raised(forked.call(fail, ValueError, "color: 'mauve'"), says="mauve").message == "color: 'mauve'"
    for kind, text in ((TypeError, "color"), (ValueError, "two\nlines"), (ValueError, "")):
        with pytest.raises(AssertionError):
            raised(forked.call(fail, kind, text))


def test_limits_end_a_job_and_say_so(forked, tmp_path):
    with pytest.raises(AssertionError, match="hangs"):
        survived(forked.call(hang, seconds=0.2))
    for function, name in ((crash, "SIGSEGV"), (burn, r"SIGKILL|SIGXCPU")):
        with pytest.raises(AssertionError, match=name):
            survived(forked.call(function, cpu_seconds=1))
    assert "MemoryError" in forked.call(eat_memory, memory=GIB).error
    assert "OSError" in forked.call(write_much, tmp_path / "file", file_size=1000).error
    ended_well(forked.call(write_much, tmp_path / "file"))


def test_a_job_under_way_gets_signals(forked, tmp_path):
    job = forked.start(say, tmp_path / "here")
    assert job.send_when((tmp_path / "here").exists, signal.SIGTERM)
    assert job.wait().status == -signal.SIGTERM
    job = forked.start(give, 1)
    assert not job.send_when(lambda: False, signal.SIGTERM) and job.wait().status == 0


def test_refusals_are_one_line_with_status_2(forked):
    assert refused_or_done(forked.call(give, 1))
    assert not refused_or_done(forked.call(end_with, 2, "color: no"), says="color")
    for status, text in ((1, "color: no"), (2, "color:\nno"), (2, "a Traceback"), (2, "shape: no"), (0, "")):
        with pytest.raises(AssertionError):
            refused(forked.call(end_with, status, text), says="color")
    with pytest.raises(AssertionError):
        refused(Outcome("job", 2, False, 0.1, "something on stdout", "color\n"))


def test_commands_run_as_from_a_shell(forked):
    for fresh in (False, True):
        assert "segment" in ended_well(forked.command("--help", fresh=fresh)).stdout
    refused(forked.command("data", "check", "no-such-folder"), says="lavseg data check")


def test_leftovers_are_found(tmp_path):
    (tmp_path / "kept").write_text("a")
    with unchanged(tmp_path):
        (tmp_path / "gone").touch()
        (tmp_path / "gone").unlink()
    for change in (
        lambda: (tmp_path / ".hidden").mkdir(),
        lambda: (tmp_path / "kept").write_text("b"),
        lambda: (tmp_path / "kept").unlink(),
    ):
        with pytest.raises(AssertionError, match=r"hidden|kept"), unchanged(tmp_path):
            change()
