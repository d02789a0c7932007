"""Who works, who waits, and whose work was ended."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

# Seconds between two looks at whether those before are done.
WAIT_SECONDS = 0.2


@dataclass(eq=False)
class Work:
    """What a browser session had begun on a clip.

    Gradio's own way to cancel loses work whose number the browser does not know yet, and shows an error where the
    cancelled work ends too early.
    """

    session: str | None
    clip: str | None
    ended: bool = field(default=False, init=False)


class WorkLine:
    """Work of everybody: one piece at a time, in the order of asking.

    Args:
        longest: pieces of work that wait at most.
    """

    def __init__(self, longest: int):
        self.longest = longest
        self._line: list[Work] = []
        self._lock = threading.Lock()

    @contextmanager
    def joined(self, session: str | None, clip: str | None) -> Iterator[Work]:
        """A place in the line, until it is left.

        Raises:
            ValueError: the line is full.
        """
        work = Work(session, clip)
        with self._lock:
            if len(self._line) > self.longest:
                raise ValueError(f"{self.longest} requests wait already; try again in a few minutes")
            self._line.append(work)
        try:
            yield work
        finally:
            with self._lock:
                self._line.remove(work)

    def waiting(self, work: Work) -> Iterator[int]:
        """How many are before some work, again and again until its turn has come or it was ended."""
        while (before := self._before(work)) and not work.ended:
            yield before
            time.sleep(WAIT_SECONDS)

    def end(self, session: str | None, unless: str | None = None) -> None:
        """End what a session has begun, other than on the clip `unless`."""
        with self._lock:
            for work in self._line:
                if work.session == session and (unless is None or work.clip != unless):
                    work.ended = True

    def _before(self, work: Work) -> int:
        with self._lock:
            return self._line.index(work)
