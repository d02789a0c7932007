import hashlib
import re

import huggingface_hub
import pytest

from hub_stand_in import empty_cache
from lavseg.remote_files import bytes_to_fetch, fetch, is_address

CONTENT = bytes(range(256)) * 400
ADDRESS = "hf://owner/name/ckpts/best.pth"


@pytest.fixture(autouse=True)
def published(hub, monkeypatch, tmp_path):
    """One file on the Hub and on the web, and a repository with more than Transformers reads."""
    monkeypatch.setattr("huggingface_hub.file_download.time.sleep", lambda seconds: None)
    # What the client holds back until a piece is whole.
    monkeypatch.setattr(huggingface_hub.constants, "DOWNLOAD_CHUNK_SIZE", 1000)
    empty_cache(monkeypatch, tmp_path)
    files = {"ckpts/best.pth": CONTENT, "config.json": b"{}", "model.safetensors": CONTENT[:999], "other.onnx": b"x"}
    hub.repos["owner/name"] = {"private": False, "files": files}
    hub.pages["/release/best-1234.pth"] = CONTENT
    return {"hub": ADDRESS, "web": f"{hub.endpoint}/release/best-1234.pth"}


@pytest.fixture(params=["hub", "web"])
def address(request, published):
    return published[request.param]


def test_a_file_is_fetched_once(address, hub, tmp_path):
    assert bytes_to_fetch(address) == len(CONTENT)
    path = fetch(address)
    assert path.read_bytes() == CONTENT and path.name in ("best.pth", "best-1234.pth")
    assert bytes_to_fetch(address) == 0
    hub.ranges.clear()
    assert fetch(address) == path
    assert hub.ranges == []


def test_a_download_goes_on_where_it_was_interrupted(address, hub, tmp_path, monkeypatch):
    hub.breaks = [(40_000, str)]
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr("huggingface_hub.file_download.time.sleep", interrupted)
        fetch(address)
    (partial,) = tmp_path.rglob("*.incomplete")
    assert partial.read_bytes() == CONTENT[:40_000]
    hub.ranges.clear()
    assert fetch(address).read_bytes() == CONTENT
    assert hub.ranges == [40_000] and not [*tmp_path.rglob("*.incomplete")]


def interrupted(seconds):
    """Ctrl-C while the client waits before it tries again."""
    raise KeyboardInterrupt


def test_a_connection_that_breaks_is_taken_up_again(address, hub):
    hub.breaks = [(40_000, str), (0, str), (30_000, str)]
    assert fetch(address).read_bytes() == CONTENT
    assert hub.ranges == [0, 40_000, 40_000, 70_000]


def test_another_file_than_the_expected_is_refused(published, hub, tmp_path):
    hub.instead = CONTENT[::-1]
    digest = hashlib.sha256(CONTENT).hexdigest()
    for address, known in ((published["hub"], digest), (published["web"], digest[:8])):
        with pytest.raises(ValueError, match=rf"its sha256 is \w+ and should begin with {known}; fetch it again"):
            fetch(address, digest[:8])
    assert not [path for path in tmp_path.rglob("*") if path.is_file() and path.suffix != ".lock"]
    hub.instead = None
    assert all(fetch(address, digest[:8]).read_bytes() == CONTENT for address in published.values())


def test_a_repository_is_fetched_as_far_as_transformers_reads_it(hub):
    assert bytes_to_fetch("hf://owner/name") == 2 + 999
    folder = fetch("hf://owner/name")
    assert {path.name for path in folder.iterdir()} == {"config.json", "model.safetensors"}
    assert fetch(ADDRESS).parent == folder / "ckpts", "in the cache of the Hub's client, as it lays files out"
    hub.ranges.clear()
    found = huggingface_hub.hf_hub_download("owner/name", "model.safetensors")
    assert found == str(folder / "model.safetensors") and hub.ranges == []


def test_without_a_network_what_was_fetched_is_taken(address, hub, monkeypatch):
    path = fetch(address)
    hub.shutdown()
    hub.server_close()
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    assert fetch(address) == path
    with pytest.raises(ValueError, match=r"best2.pth: cannot be fetched \("):
        fetch(address.replace("best", "best2").replace("-1234", ""))


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ("hf://owner/name/absent.pth", r"cannot be fetched \(.*Entry Not Found"),
        ("hf://owner/absent/best.pth", r"cannot be fetched \(.*Repository Not Found"),
        ("hf://owner", "is no address of a file; give hf://OWNER/NAME/PATH, an https address or a path"),
        ("hf://owner/name@", "is no address of a file"),
        ("hf://owner/na me/best.pth", "cannot be fetched"),
        ("https://[oops/best.pth", "cannot be fetched"),
        ("http://lavseg.invalid/best.pth", "what comes over http can be changed on its way; give an https address or"),
    ],
)
def test_what_cannot_be_had_is_told_in_one_reason(given, reason):
    for ask in (fetch, bytes_to_fetch):
        with pytest.raises(ValueError, match=f"^{re.escape(given)}: {reason}") as caught:
            ask(given)
        assert len(str(caught.value).splitlines()) == 1


def test_a_page_that_is_not_there_is_told(hub):
    with pytest.raises(ValueError, match=r"absent\.pth: cannot be fetched \(.*404"):
        fetch(f"{hub.endpoint}/absent.pth")


def test_addresses_and_paths():
    assert all(map(is_address, [ADDRESS, "https://host/file"]))
    assert not any(map(is_address, ["facebook/sam2-hiera-large", "runs/best.pth", "hf/best.pth"]))
