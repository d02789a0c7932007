"""What the server takes from one user and in all, checked before a request is read."""

import ipaddress
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path

import gradio as gr
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from .user_input import MAX_MEGABYTES

# What comes with a clip in a request that uploads it.
EXTRA_BYTES = 100_000
MAX_HOURLY_MEGABYTES = 2000
# Requests of one user that wait in the queue or are being worked on.
MAX_WAITING = 4
# What is in the path of a request that Gradio puts into its queue.
QUEUED = ("/queue/join", "/call/")
# Uploads and results of all users together.
MAX_DISK_MEGABYTES = 20_000
MEGABYTE, HOUR = 10**6, 3600


class Limits:
    """Refuses, as ASGI middleware, requests that send too much or wait too often.

    A user is an IP address, or the network of an IPv6 one, as the server sees it.

    Args:
        app: what is behind.
        page: the page, whose queue is looked at.
        folder: where uploads and results lie.
        clock: gives seconds.
    """

    def __init__(self, app: ASGIApp, page: gr.Blocks, folder: Path, clock: Callable[[], float] = time.monotonic):
        self.app, self.page, self.folder, self.clock = app, page, folder, clock
        self.sent: dict[str, deque[tuple[float, int]]] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on or answer it with the reason why not."""
        if scope["type"] == "http" and scope["method"] in ("POST", "PUT", "PATCH"):
            refusal = self._refusal(scope)
            if refusal is not None:
                status, reason = refusal
                await JSONResponse({"detail": reason}, status)(scope, receive, send)
                return
        await self.app(scope, receive, send)

    def _refusal(self, scope: Scope) -> tuple[int, str] | None:
        """Status and reason; None where the request is taken."""
        length = dict(scope["headers"]).get(b"content-length", b"")
        if not length.isdigit():
            return 411, "The request does not state its length."
        size, user = int(length), user_of(scope)
        if size > MAX_MEGABYTES * MEGABYTE + EXTRA_BYTES:
            return 413, f"The request is too large: clips of up to {MAX_MEGABYTES} MB are taken here, one at a time."
        if any(part in scope["path"] for part in QUEUED) and waiting(self.page, user) >= MAX_WAITING:
            return 429, f"{MAX_WAITING} of your requests wait already; try again when one of them is done."
        if size > EXTRA_BYTES:
            if self._sent_lately(user) + size > MAX_HOURLY_MEGABYTES * MEGABYTE:
                return 429, f"You sent {MAX_HOURLY_MEGABYTES} MB within an hour; try again later."
            if size_of(self.folder) + size > MAX_DISK_MEGABYTES * MEGABYTE:
                return 507, "The server has no room for further clips at the moment; try again in an hour."
            self.sent.setdefault(user, deque()).append((self.clock(), size))
        return None

    def _sent_lately(self, user: str) -> int:
        """Bytes that a user sent within the last hour."""
        for key, requests in [*self.sent.items()]:
            while requests and requests[0][0] < self.clock() - HOUR:
                requests.popleft()
            if not requests:
                del self.sent[key]
        return sum(size for _, size in self.sent.get(user, ()))


def user_of(scope: Scope) -> str:
    """Who sent a request: an IPv4 address, or the first half of an IPv6 one, which a household has to itself."""
    host = (scope.get("client") or ("",))[0]
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host
    return str(ipaddress.ip_network((address, 64), strict=False)) if address.version == 6 else str(address)


def waiting(page: gr.Blocks, user: str) -> int:
    """How many requests of a user are in the queue of a page or worked at."""
    queue = page._queue
    events = [event for line in queue.event_queue_per_concurrency_id.values() for event in line.queue]
    events += [event for job in queue.active_jobs for event in job or ()]
    return sum(user_of(event.request.scope) == user for event in events)


def size_of(folder: Path) -> int:
    """Bytes of all files below a folder, some of which may go away meanwhile."""
    total = 0
    for path in folder.rglob("*"):
        try:
            total += path.stat().st_size if path.is_file() else 0
        except FileNotFoundError:
            continue
    return total
