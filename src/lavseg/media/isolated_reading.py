"""Reads clips in child processes, for files of strangers: where one ends or hangs its decoder, only the child ends."""

import json
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from functools import cached_property
from io import BytesIO
from multiprocessing.connection import Connection, Pipe
from pathlib import Path
from threading import Timer
from typing import Literal

import numpy as np

from . import reading
from .errors import MediaError, caught_warnings
from .packets import warn
from .reading import ClipPart, ClipReader, VideoInfo

# Limits of a child: bytes of memory, and seconds of all its threads together.
MEMORY = 4 * 2**30
CPU_SECONDS = 300
# With the paths of the parent the child finds the same packages. `multiprocessing` would run the caller's program anew.
PROGRAM = f"import json, sys; sys.path[:] = json.loads(sys.argv[1]); from {__name__} import main; main(*sys.argv[2:])"
# What a message begins with.
ANSWER, REMARK, REFUSAL, END = b"a", b"m", b"r", b"e"


class IsolatedClipReader(ClipReader):
    """A `ClipReader` whose decoder runs in a child process, and for a limited time.

    What the decoder does to its process, or a file that takes more than `MEMORY` or `CPU_SECONDS`, is a `MediaError`.
    Answers come one by one as they are asked for; the child is ahead by one. Needs Unix, whose limits it sets.

    Args:
        path: a video file.
        time_limit: seconds from now on in which everything is to be read.

    Attributes:
        remarks: what was warned of, once the clip is read to its end.
    """

    def __init__(self, path: str | Path, time_limit: float):
        super().__init__(path)
        self.time_limit = time_limit
        self.remarks: list[str] = []
        self.deadline = time.monotonic() + time_limit

    @cached_property
    def info(self) -> VideoInfo:
        """As in the base class."""
        with closing(self._read("inspect_video")) as answers:
            values = next(answers)
        return VideoInfo(float(values["seconds"]), float(values["fps"]))

    def iter_clip(self, fps: float = 1.0, at: Literal["end", "start"] = "end") -> Iterator[ClipPart]:
        """As in the base class; every error comes with the first part."""
        with closing(self._read("iter_clip", fps, at)) as answers:
            for values in answers:
                rate = int(values["sampling_rate"]) if "sampling_rate" in values else None
                yield ClipPart(float(values["time"]), values["frame"], values.get("waveform"), rate)

    def iter_frames(self, fps: float = 1.0, at: Literal["end", "start"] = "end") -> Iterator[tuple[float, np.ndarray]]:
        """As in the base class; every error comes with the first frame."""
        with closing(self._read("iter_frames", fps, at)) as answers:
            for values in answers:
                yield float(values["time"]), values["frame"]

    def _read(self, function: str, *options: float | str) -> Iterator[dict[str, np.ndarray]]:
        """What a function of `lavseg.media` gives, by the names of its fields, without those that are None."""
        receiver, sender = Pipe(duplex=False)
        arguments = [json.dumps(sys.path), str(sender.fileno()), function, json.dumps([str(self.path), *options])]
        with receiver, sender:
            child = subprocess.Popen(
                [sys.executable, "-c", PROGRAM, *arguments],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                pass_fds=[sender.fileno()],
                start_new_session=True,
                # Every thread would count as memory.
                env=os.environ | {"OPENBLAS_NUM_THREADS": "1"},
            )
            timer = Timer(max(self.deadline - time.monotonic(), 0), child.kill)
            timer.daemon = True
            timer.start()
            sender.close()
            try:
                while (message := receiver.recv_bytes())[:1] in (ANSWER, REMARK):
                    if message[:1] == REMARK:
                        self._remark(message[1:].decode("utf-8", "surrogateescape"))
                        continue
                    with np.load(BytesIO(message[1:]), allow_pickle=False) as answer:
                        yield {name: answer[name] for name in answer.files}
            except (EOFError, OSError):
                raise MediaError(f"{self.path}: {self._reason(child.wait())}") from None
            finally:
                timer.cancel()
                child.kill()
                child.wait()
        if message[:1] == REFUSAL:
            error, _, text = message[1:].decode("utf-8", "surrogateescape").partition(" ")
            raise (MediaError if error == MediaError.__name__ else ValueError)(text)

    def _remark(self, text: str) -> None:
        if text not in self.remarks:
            self.remarks.append(text)
        warn(text)

    def _reason(self, status: int) -> str:
        if time.monotonic() >= self.deadline:
            return f"not done within {self.time_limit:g} seconds; give a shorter or smaller clip"
        if status == -signal.SIGXCPU:
            return f"decoding takes more than {CPU_SECONDS} seconds; give a shorter or smaller clip"
        return "the decoder crashed on this file; convert it to mp4 with H.264 and AAC"


def main(descriptor: str, function: str, arguments: str) -> None:
    """What the child does: read within limits, and send one message for each answer and one for the end."""
    sender = Connection(int(descriptor), readable=False)
    _limit()
    path, *options = json.loads(arguments)
    try:
        with caught_warnings() as caught:
            for answer in READERS[function](path, *options):
                content = BytesIO()
                np.savez(content, **{name: value for name, value in answer.items() if value is not None})
                sender.send_bytes(ANSWER + content.getvalue())
        for remark in caught:
            sender.send_bytes(REMARK + str(remark.message).encode("utf-8", "surrogateescape"))
        sender.send_bytes(END)
    except BrokenPipeError:
        pass
    except MemoryError:
        _refuse(sender, MediaError(f"{path}: decoding takes more than {MEMORY / 2**30:g} GiB of memory"))
    except ValueError as error:
        _refuse(sender, error)


def _refuse(sender: Connection, error: ValueError) -> None:
    sender.send_bytes(REFUSAL + f"{type(error).__name__} {error}".encode("utf-8", "surrogateescape"))


def _limit() -> None:
    """Little memory and time, no file written, no memory left behind in a file."""
    limits = {
        resource.RLIMIT_AS: MEMORY,
        resource.RLIMIT_CPU: CPU_SECONDS,
        resource.RLIMIT_FSIZE: 0,
        resource.RLIMIT_CORE: 0,
    }
    for kind, limit in limits.items():
        _, highest = resource.getrlimit(kind)
        limit = limit if highest == resource.RLIM_INFINITY else min(limit, highest)
        resource.setrlimit(kind, (limit, highest))


READERS: dict[str, Callable[..., Iterator[dict]]] = {
    "inspect_video": lambda path: iter([reading.inspect_video(path)._asdict()]),
    "iter_clip": lambda *given: (part._asdict() for part in reading.iter_clip(*given)),
    "iter_frames": lambda *given: ({"time": time, "frame": frame} for time, frame in reading.iter_frames(*given)),
}
