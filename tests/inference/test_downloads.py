"""Clips from URLs."""

import socket
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from lavseg.inference import downloads
from lavseg.inference.downloads import local_file


class Handler(BaseHTTPRequestHandler):
    asked: list[str] = []

    def do_GET(self):
        self.asked.append(self.path)
        kind, _, target = self.path[1:].partition("?to=")
        self.send_response(302 if target else 200)
        if target:
            self.send_header("Location", target)
        self.end_headers()
        try:
            for _ in range({"clip.mp4": 3, "slow": 50}.get(kind, 0)):
                self.wfile.write(bytes(1000))
                time.sleep(0.1 if kind == "slow" else 0)
        except BrokenPipeError:
            pass

    def log_message(self, *given):
        pass


@pytest.fixture
def url(monkeypatch):
    monkeypatch.setenv("NO_PROXY", "*")
    monkeypatch.setattr(Handler, "asked", [])
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


@pytest.fixture
def public(monkeypatch):
    """The address of the server counts as a public one, and no other of this machine."""
    require = downloads._require_public
    monkeypatch.setattr(
        downloads, "_require_public", lambda address, given: address == "127.0.0.1" or require(address, given)
    )


def test_what_is_no_url_is_left_alone(tmp_path):
    for source in (tmp_path / "clip.mp4", "clip.mp4", b"RIFF", None):
        with local_file(source) as file:
            assert file is source


def test_a_file_that_is_gone_afterwards(url):
    with local_file(f"{url}/clip.mp4", private_addresses=True) as file:
        assert file.name == "clip.mp4" and file.read_bytes() == bytes(3000)
    assert not file.parent.exists()


@pytest.mark.parametrize(
    "address",
    ["127.0.0.1", "10.1.2.3", "192.168.1.1", "169.254.169.254", "0.0.0.0", "[::1]", "[::ffff:127.0.0.1]", "[fe80::1]"],
)
def test_private_addresses_are_not_asked(address):
    with pytest.raises(ValueError, match=r"leads to .*, which is no public address; pass private_addresses=True"):
        local_file(f"http://{address}:1/clip.mp4").__enter__()


def test_names_of_private_addresses_are_not_asked(monkeypatch):
    found = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, 80)) for address in ("8.8.8.8", "10.0.0.7")]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *given, **named: found)
    with pytest.raises(ValueError, match=r"^http://example\.com/clip\.mp4: leads to 10\.0\.0\.7"):
        local_file("http://example.com/clip.mp4").__enter__()


@pytest.mark.parametrize("exempt", [True, False])
def test_a_name_that_changes_its_address(url, monkeypatch, exempt):
    """What it gave when it was looked at is public; the connection shows where it leads."""
    monkeypatch.setattr(downloads, "_require_public_host", lambda request: None)
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    if not exempt:
        monkeypatch.delenv("NO_PROXY")
    with pytest.raises(ValueError, match=r"leads to 127\.0\.0\.1"):
        local_file(f"{url}/clip.mp4").__enter__()


def test_redirects(url, public):
    with local_file(f"{url}/there?to={url}/clip.mp4") as file:
        assert file.stat().st_size == 3000
    with pytest.raises(ValueError, match=r"^http://\[::1\]:9/clip\.mp4: leads to ::1"):
        local_file(f"{url}/there?to=http://[::1]:9/clip.mp4").__enter__()
    with pytest.raises(ValueError, match=r"cannot be fetched"):
        local_file(f"{url}/there?to=file:///etc/passwd").__enter__()


def test_limits_of_size_and_time(url, public, monkeypatch, tmp_path):
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(downloads, "MAX_MEGABYTES", 0.002)
    with pytest.raises(ValueError, match=r"clip\.mp4: is larger than 0\.002 MB; fetch it yourself"):
        local_file(f"{url}/clip.mp4").__enter__()
    monkeypatch.setattr(downloads, "MAX_MEGABYTES", 1)
    monkeypatch.setattr(downloads, "MAX_SECONDS", 0.5)
    began = time.monotonic()
    with pytest.raises(ValueError, match=r"slow: takes more than 0\.5 seconds to fetch"):
        local_file(f"{url}/slow").__enter__()
    assert time.monotonic() - began < 4


@pytest.mark.parametrize(
    "url", ["http://", "http://a b/", "http://\udcff/x", "http://127.0.0.1:99999/", "http://" + "a" * 300]
)
def test_urls_that_are_none(url):
    with pytest.raises(ValueError, match="cannot be fetched") as caught:
        local_file(url, private_addresses=True).__enter__()
    assert "\n" not in str(caught.value)
