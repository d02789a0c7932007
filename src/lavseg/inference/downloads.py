"""Fetches clips by http(s): of a limited size, in a limited time, and from public addresses."""

import ipaddress
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from urllib.parse import urlsplit
from urllib.request import getproxies

from huggingface_hub.utils import httpx

from ..error_reasons import reason_of

MAX_MEGABYTES = 1000
# Seconds for the whole download, and within which something has to come.
MAX_SECONDS, PATIENCE = 600, 60


@contextmanager
def local_file(source: Any, private_addresses: bool = False) -> Iterator[Any]:
    """`source` itself, or for a URL the file fetched from it, as long as the block lasts.

    Args:
        source: what may be a URL.
        private_addresses: fetch from this machine and from private networks, too.

    Raises:
        ValueError: the URL cannot be fetched, or from where is not allowed; or what was fetched cannot be used.
    """
    if not (isinstance(source, str) and source.startswith(("http://", "https://"))):
        yield source
        return
    with TemporaryDirectory() as folder:
        file = Path(folder) / f"clip{Path(urlsplit(source).path).suffix}"
        try:
            _fetch(source, file, private_addresses)
        except (httpx.HTTPError, httpx.InvalidURL, UnicodeError) as error:
            raise ValueError(f"{source}: cannot be fetched ({reason_of(error)})") from error
        try:
            yield file
        except ValueError as error:
            raise ValueError(str(error).replace(str(file), source)) from error


def _fetch(source: str, file: Path, private_addresses: bool) -> None:
    deadline, fetched = time.monotonic() + MAX_SECONDS, 0
    # Called before each request, so before each redirect is followed.
    hooks = {"request": [] if private_addresses else [_require_public_host]}
    with (
        httpx.Client(follow_redirects=True, timeout=PATIENCE, event_hooks=hooks) as client,
        client.stream("GET", source) as response,
        file.open("wb") as written,
    ):
        if not private_addresses and not getproxies().keys() - {"no"}:
            # A name may have changed its address in between.
            _require_public(response.extensions["network_stream"].get_extra_info("server_addr")[0], source)
        response.raise_for_status()
        for piece in response.iter_bytes():
            fetched += written.write(piece)
            if fetched > MAX_MEGABYTES * 10**6:
                raise ValueError(f"{source}: is larger than {MAX_MEGABYTES} MB; fetch it yourself and give its path")
            if time.monotonic() > deadline:
                raise ValueError(f"{source}: takes more than {MAX_SECONDS} seconds to fetch; fetch it yourself")


def _require_public_host(request: httpx.Request) -> None:
    """Refuse a request to this machine or a private network, before it is sent."""
    url = request.url
    try:
        found = socket.getaddrinfo(url.host, url.port or url.scheme, type=socket.SOCK_STREAM)
    except OSError:
        return  # a proxy may know it; otherwise the request fails
    for *_, address in found:
        _require_public(address[0], str(url))


def _require_public(address: str, url: str) -> None:
    found = ipaddress.ip_address(address.partition("%")[0])
    found = getattr(found, "ipv4_mapped", None) or found
    if not found.is_global or found.is_multicast:
        raise ValueError(
            f"{url}: leads to {address}, which is no public address; pass private_addresses=True where that is meant"
        )
