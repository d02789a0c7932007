"""Runs commands and calls of the library on bad input: in children with limits, and says how they ended.

    def test_a_damaged_clip(forked, tmp_path):
        with unchanged(tmp_path):
            refused(forked.command("segment", clip, "--model", model, "--out", tmp_path / "out"), says="clip.mp4")

The fixture `forked` is in `robustness_fixtures.py`. Functions that are called have to be importable: at the top of a
test module.
"""

import hashlib
import os
import pickle
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Pipe
from pathlib import Path
from typing import Any

import fork_server
import pytest

GIB = 2**30
# Of a Python traceback, of Typer's boxes, and of what Rust and C++ say when they end a process.
NOISE = ("Traceback", "╭", "panicked at", "terminate called", "Warning:")


@dataclass
class Outcome:
    """How a job ended.

    `status` is below zero where a signal ended it; `hung` where that was the time limit. `value` is what a called
    function returned; `error` the names of the class and the bases of what it raised, and `message` its text.
    """

    job: str
    status: int
    hung: bool
    seconds: float
    stdout: str
    stderr: str
    value: Any = None
    error: tuple[str, ...] = ()
    message: str = ""

    def __str__(self):
        out, err = self.stdout[-2000:], self.stderr[-6000:]
        return f"{self.job}\nstatus {self.status}, {self.seconds:.1f} s\n--- stdout\n{out}\n--- stderr\n{err}"


class Running:
    """A job under way. `pid` is its process id."""

    def __init__(self, server, job, records):
        self.server, self.job, self.records = server, job, records
        self.pid = server.connection.recv()

    def send(self, number):
        """Send a signal to it."""
        os.kill(self.pid, number)

    def send_when(self, condition, number):
        """Send a signal as soon as `condition()` holds; False where the job ended before."""
        while not self.server.connection.poll():
            if condition():
                self.send(number)
                return True
            time.sleep(0.001)
        return False

    def wait(self):
        """Its `Outcome`, when it has ended."""
        status, hung, seconds = self.server.connection.recv()
        with self.records as folder:
            texts = [Path(folder, name) for name in ("stdout", "stderr")]
            texts = [path.read_text(errors="replace") if path.exists() else "" for path in texts]
            outcome = Outcome(self.job, status, hung, seconds, *texts)
            if (result := Path(folder, "result")).is_file() and result.stat().st_size:
                kind, found = pickle.loads(result.read_bytes())
                if kind == "value":
                    outcome.value = found
                else:
                    outcome.error, outcome.message = tuple(found[0]), found[1]
        return outcome


class ForkServer:
    """A process that has imported the library; every job is a fork of it, in a session of its own.

    Jobs run one after the other. Each has at most `seconds`, `cpu_seconds` of the processor, `memory` bytes above what
    the library takes, and where `file_size` is given no file above so many bytes: writing on fails as on a full disk.
    """

    def __init__(self):
        self.connection, theirs = Pipe()
        environment = os.environ | {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "COLUMNS": "80"}
        # Functions of test modules are found by their names.
        environment["PYTHONPATH"] = os.pathsep.join([str(Path(__file__).parent), *filter(None, sys.path)])
        program = [sys.executable, fork_server.__file__, str(theirs.fileno())]
        self.process = subprocess.Popen(
            program, env=environment, pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL, stderr=subprocess.PIPE
        )
        theirs.close()
        try:
            self.connection.recv()
        except EOFError:
            raise RuntimeError(self.process.stderr.read().decode()) from None

    def close(self):
        self.connection.close()
        self.process.kill()
        self.process.wait()
        self.process.stderr.close()

    def start(
        self,
        function,
        *arguments,
        seconds=60,
        cpu_seconds=60,
        memory=4 * GIB,
        file_size=None,
        folder=None,
        environment=None,
        fresh=False,
        **options,
    ):
        """Start `function(*arguments, **options)`; the other arguments are the limits, the working folder, further
        variables, and whether a fresh interpreter runs it, which only commands can."""
        records = tempfile.TemporaryDirectory()
        job = {
            "function": function,
            "arguments": arguments,
            "options": options,
            "seconds": seconds,
            "cpu_seconds": cpu_seconds,
            "memory": memory,
            "file_size": file_size,
            "folder": str(folder or Path.cwd()),
            "environment": environment or {},
            "fresh": fresh,
            "records": records.name,
        }
        self.connection.send_bytes(pickle.dumps(job))
        name = "lavseg" if function is fork_server.command else function.__name__
        return Running(self, " ".join([name, *map(str, arguments), *map(str, options.items())]), records)

    def call(self, function, *arguments, **options):
        """The `Outcome` of calling a function; see `start`."""
        return self.start(function, *arguments, **options).wait()

    def command(self, *arguments, **limits):
        """The `Outcome` of `lavseg` with these arguments; see `start`."""
        return self.call(fork_server.command, *arguments, **limits)

    def start_command(self, *arguments, **limits):
        """`lavseg` with these arguments, under way; see `start`."""
        return self.start(fork_server.command, *arguments, **limits)


def survived(outcome):
    """Neither a hang nor a crash nor an error that nobody expected; returns the outcome."""
    assert not outcome.hung, f"hangs: {outcome}"
    assert outcome.status >= 0, f"ended by {signal.Signals(-outcome.status).name}: {outcome}"
    return outcome


def ended_well(outcome):
    """A command or a call without fault; returns the outcome."""
    survived(outcome)
    assert outcome.status == 0, str(outcome)
    assert "Traceback" not in outcome.stderr, str(outcome)
    return outcome


def refused(outcome, says="", status=2):
    """A command that ended with one line on stderr, which holds `says`, nothing on stdout, and this exit status."""
    survived(outcome)
    assert outcome.status == status, str(outcome)
    assert outcome.stdout == "", str(outcome)
    assert outcome.stderr.count("\n") == 1 and outcome.stderr.endswith("\n"), f"not one line: {outcome}"
    assert not any(noise in outcome.stderr for noise in NOISE), str(outcome)
    assert says in outcome.stderr, f"does not say {says!r}: {outcome}"
    return outcome


def refused_or_done(outcome, says=""):
    """A command that ended well or is `refused`; returns whether it ended well."""
    if outcome.status == 0:
        ended_well(outcome)
        return True
    refused(outcome, says)
    return False


def raised(outcome, says="", kind="ValueError"):
    """A call that raised an error for people: of this class, in one line, which holds `says`."""
    survived(outcome)
    assert kind in outcome.error, f"no {kind}: {outcome}"
    assert outcome.message.strip() and "\n" not in outcome.message.strip(), f"not one line: {outcome}"
    assert says in outcome.message, f"does not say {says!r}: {outcome}"
    return outcome


def tree(folder):
    """Every path below a folder, hidden ones too, with a digest of what files hold and None for folders."""
    folder = Path(folder)
    return {
        str(path.relative_to(folder)): hashlib.sha1(path.read_bytes()).hexdigest() if path.is_file() else None
        for path in sorted(folder.rglob("*"))
    }


@contextmanager
def unchanged(folder):
    """Whatever happens in the block leaves this folder as it was."""
    before = tree(folder)
    yield
    after = tree(folder)
    differing = sorted(name for name in {*before, *after} if before.get(name, 0) != after.get(name, 0))
    assert not differing, f"changed or left over in {folder}: {differing}"


def mutants(seed, count):
    """Parameters for `count` deterministic mutations: the first three run by default, the others are slow."""
    return [pytest.param(seed + index, marks=[pytest.mark.slow] if index >= 3 else []) for index in range(count)]
