"""Files that others published, fetched once: from the Hub into its cache, from the web into a folder of the same cache.

What an interruption left is kept, and the next call goes on from there. The Hub's client fetches a file anew, hence the
download of its own here; it finds the whole files under the names that it would give them.
"""

import hashlib
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

from huggingface_hub import HfApi, constants, get_hf_file_metadata, hf_hub_download, hf_hub_url
from huggingface_hub.errors import HFValidationError, OfflineModeIsEnabled
from huggingface_hub.file_download import http_get, repo_folder_name
from huggingface_hub.utils import (
    WeakFileLock,
    build_hf_headers,
    filter_repo_objects,
    get_session,
    hf_raise_for_status,
    httpx,
)

from .error_reasons import reason_of

# What Transformers reads of a checkpoint.
FILES = ["*.json", "*.txt", "*.safetensors"]

_HUB_ADDRESS = re.compile(r"hf://([^/@]+/[^/@]+)(?:@([^/]+))?(?:/(.+))?")
_WEB = ("https://", "http://")
_HERE = ("localhost", "127.0.0.1", "::1")
_UNREACHABLE = (httpx.ConnectError, httpx.TimeoutException, OfflineModeIsEnabled)
_INCOMPLETE = ".incomplete"
# So that sizes are those of the files.
_UNCOMPRESSED = {"Accept-Encoding": "identity"}


def is_address(given: str | Path) -> bool:
    """Whether this is what `fetch` takes and no path."""
    return str(given).startswith(("hf://", *_WEB))


def fetch(address: str, sha256: str = "") -> Path:
    """The path of a published file in the cache, fetched unless it is there; progress is shown on stderr.

    Without a network, what was fetched before counts as current.

    Args:
        address: `hf://OWNER/NAME/PATH` or `hf://OWNER/NAME@REVISION/PATH` for a file on the Hub; `hf://OWNER/NAME` for
            the folder with all that Transformers reads of a repository; or an https address, or an
            http one of this machine.
        sha256: the file's digest or its first digits, where known. The Hub's large files carry theirs.

    Raises:
        ValueError: when it cannot be fetched, or another file came.
    """
    with _one_reason(address):
        if address.startswith(_WEB):
            target, size = _find_on_the_web(address)
            _download(address, target, size, sha256)
            return target
        repo, revision, path = _hub_address(address)
        if path:
            return _fetch_from_hub(repo, path, revision)
        folders = [_fetch_from_hub(repo, name, revision).parents[name.count("/")] for name in _names(repo, revision)]
        return folders[0]


def bytes_to_fetch(address: str) -> int:
    """How much `fetch` would have to fetch: nothing where it is here; what the server does not tell counts as nothing.

    Raises:
        ValueError: when it cannot be reached.
    """
    with _one_reason(address):
        if address.startswith(_WEB):
            target, size = _find_on_the_web(address)
            return 0 if target.exists() else size or 0
        repo, revision, path = _hub_address(address)
        names = [path] if path else _names(repo, revision)
        found = [hf_hub_download(repo, name, revision=revision, dry_run=True) for name in names]
        return sum(one.file_size or 0 for one in found if one.will_download)


def cache_folder(*parts: str) -> Path:
    """A folder of this package in the cache; it need not exist yet."""
    return Path(constants.HF_ASSETS_CACHE, "lavseg", *parts)


@contextmanager
def alone(name: str) -> Iterator[None]:
    """Of several processes, one after the other enters a block of this name."""
    locks = cache_folder("locks")
    locks.mkdir(parents=True, exist_ok=True)
    with WeakFileLock(locks / f"{name}.lock"):
        yield


@contextmanager
def _one_reason(address: str) -> Iterator[None]:
    try:
        yield
    except (httpx.HTTPError, httpx.InvalidURL, HFValidationError, OSError) as error:
        raise ValueError(f"{address}: cannot be fetched ({reason_of(error)})") from error


def _hub_address(address: str) -> tuple[str, str, str]:
    """Repository, revision and path, which is empty for the repository as a whole."""
    found = _HUB_ADDRESS.fullmatch(address)
    if not found:
        raise ValueError(f"{address}: is no address of a file; give hf://OWNER/NAME/PATH, an https address or a path")
    return found[1], found[2] or constants.DEFAULT_REVISION, found[3] or ""


def _names(repo: str, revision: str) -> list[str]:
    names = [*filter_repo_objects(HfApi().list_repo_files(repo, revision=revision), allow_patterns=FILES)]
    if not names:
        raise ValueError(f"hf://{repo}: holds none of {', '.join(FILES)}")
    return names


def _fetch_from_hub(repo: str, path: str, revision: str) -> Path:
    url = hf_hub_url(repo, path, revision=revision)
    try:
        known = get_hf_file_metadata(url)
    except _UNREACHABLE:  # the client takes what is here, or asks again
        return Path(hf_hub_download(repo, path, revision=revision))
    blob = Path(constants.HF_HUB_CACHE, repo_folder_name(repo_id=repo, repo_type="model"), "blobs", known.etag)
    _download(url, blob, known.size, known.etag if len(known.etag) == 64 else "", build_hf_headers())
    return Path(hf_hub_download(repo, path, revision=revision))


def _find_on_the_web(url: str) -> tuple[Path, int | None]:
    """Where a file is kept, apart for each of its versions, and its size in bytes if the server tells it."""
    if url.startswith("http://") and httpx.URL(url).host not in _HERE:
        raise ValueError(f"{url}: what comes over http can be changed on its way; give an https address or a path")
    folder = cache_folder("files", _digits(url))
    # Signed addresses, to which releases are redirected, need not answer HEAD.
    headers = {**_UNCOMPRESSED, "Range": "bytes=0-0"}
    try:
        with get_session().stream("GET", url, headers=headers, timeout=constants.HF_HUB_DOWNLOAD_TIMEOUT) as found:
            hf_raise_for_status(found)
            whole = found.headers.get("Content-Range", "").rpartition("/")[2]
            size, version = whole or found.headers.get("Content-Length", ""), found.headers.get("ETag")
    except _UNREACHABLE:
        kept = [path for path in folder.glob("*/*") if path.suffix != _INCOMPLETE]
        if not kept:
            raise
        newest = max(kept, key=lambda path: path.stat().st_mtime)
        return newest, newest.stat().st_size
    target = folder / _digits(f"{version} {size}") / (Path(urlsplit(url).path).name or "file")
    return target, int(size) if size.isdecimal() else None


def _digits(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _download(url: str, target: Path, size: int | None, sha256: str, headers: dict[str, str] | None = None) -> None:
    """Fetch what `target` lacks; it is there when it is whole."""
    if target.exists():
        return
    with alone(_digits(str(target))):
        if target.exists():  # by another process meanwhile
            return
        target.parent.mkdir(parents=True, exist_ok=True)
        partial = target.with_name(target.name + _INCOMPLETE)
        if size is None or (partial.exists() and partial.stat().st_size > size):
            partial.unlink(missing_ok=True)
        with partial.open("ab") as file:
            http_get(
                url,
                file,
                resume_size=file.tell(),
                headers={**(headers or {}), **_UNCOMPRESSED},
                expected_size=size,
                displayed_filename=Path(urlsplit(url).path).name,
            )
        with partial.open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest() if sha256 else ""
        if not found.startswith(sha256):
            partial.unlink()
            raise ValueError(f"{url}: its sha256 is {found} and should begin with {sha256}; fetch it again")
        os.replace(partial, target)
