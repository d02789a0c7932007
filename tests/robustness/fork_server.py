"""What `harness.ForkServer` starts: a process that has imported the library and forks a child for every job."""

import faulthandler
import os
import pickle
import resource
import select
import signal
import sys
import time
import traceback
from contextlib import suppress
from multiprocessing.connection import Connection

PRELOADED = (
    "lavseg.cli",
    "lavseg.cli.printing",
    "lavseg.data.layouts",
    "lavseg.evaluation.evaluate_checkpoint",
    "lavseg.hub.upload",
    "lavseg.inference.segment_file",
    "lavseg.inference.pipeline",
    "lavseg.training.run",
)


def command(*arguments):
    """What the `lavseg` script does with these arguments."""
    from lavseg.cli import main

    sys.argv = ["lavseg", *map(str, arguments)]
    main()


def serve(descriptor):
    """Fork a child for every job that comes, say its process id, and how it ended."""
    from importlib import import_module

    for name in PRELOADED:
        import_module(name)
    connection = Connection(descriptor)
    connection.send("ready")
    while True:
        try:
            message = connection.recv_bytes()
        except EOFError:
            return
        if not (child := os.fork()):
            connection.close()
            _child(pickle.loads(message))
        connection.send(child)
        connection.send(_wait(child, pickle.loads(message)["seconds"]))


def _wait(child, seconds):
    """Exit status of a child as `subprocess` gives it, and whether the time limit ended it."""
    begin, descriptor = time.monotonic(), os.pidfd_open(child)
    ended, _, _ = select.select([descriptor], [], [], seconds)
    os.close(descriptor)
    if not ended:
        os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(child, signal.SIGKILL)  # what it started and left behind
    return os.waitstatus_to_exitcode(status), not ended, time.monotonic() - begin


def _child(job):
    """Do a job and end as an interpreter would."""
    os.setsid()
    signal.signal(signal.SIGINT, signal.default_int_handler)
    faulthandler.disable()
    os.chdir(job["folder"])
    os.environ.update(job["environment"])
    for descriptor, name in ((1, "stdout"), (2, "stderr")):
        file = os.open(os.path.join(job["records"], name), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        os.dup2(file, descriptor)
        os.close(file)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    result = os.path.join(job["records"], "result")
    _limit(job)
    if job["fresh"]:
        code = "from lavseg.cli import main; main()"
        os.execv(sys.executable, [sys.executable, "-c", code, *map(str, job["arguments"])])
    try:
        status, found = 0, ("value", job["function"](*job["arguments"], **job["options"]))
    except SystemExit as end:
        status, found = end.code if isinstance(end.code, int) else int(end.code is not None), ("value", None)
    except BaseException as error:
        traceback.print_exc()
        status, found = 1, ("error", ([kind.__name__ for kind in type(error).__mro__], str(error)))
    try:
        with open(result, "wb") as file:
            pickle.dump(found, file)
        sys.stdout.flush()
        sys.stderr.flush()
    finally:
        os._exit(status)


def _limit(job):
    """No more memory than so many bytes above what the library takes, no more processor time, no core files."""
    with open("/proc/self/statm") as file:
        used = int(file.read().split()[0]) * resource.getpagesize()
    limits = {resource.RLIMIT_AS: used + job["memory"], resource.RLIMIT_CPU: job["cpu_seconds"]}
    limits |= {resource.RLIMIT_CORE: 0}
    if job["file_size"] is not None:
        limits[resource.RLIMIT_FSIZE] = job["file_size"]
    for kind, limit in limits.items():
        resource.setrlimit(kind, (limit, limit))


if __name__ == "__main__":
    from fork_server import serve as serve_from_module  # so that functions of this module have one name

    serve_from_module(int(sys.argv[1]))
