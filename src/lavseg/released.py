"""Checkpoints that others published, by name: what is known of them, and the folder that one of them becomes here."""

import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from .recipe_files import load_recipe
from .remote_files import alone, bytes_to_fetch, cache_folder, fetch

REGISTRY = Path(__file__).with_name("released.yaml")

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Source:
    """A file or repository that a checkpoint is made of; one that a browser has to fetch has no `address`."""

    megabytes: int
    licence: str
    address: str = ""


@dataclass(frozen=True)
class Release:
    """A published checkpoint; `released.yaml` says what each field is. `reproduces` is as in recipes."""

    name: str
    convert: str
    hears: str
    reads: str
    sources: dict[str, Source]
    accept: str = ""
    recipe: str = ""
    reproduces: dict[str, Any] = field(default_factory=dict)
    page: str = ""
    file: str = ""
    encoder: bool = False
    sha256: str = ""

    @property
    def folder(self) -> Path:
        """Where it lies once it is fetched and converted."""
        return cache_folder("released", self.name)

    @property
    def is_here(self) -> bool:
        """Whether it is fetched and converted."""
        return (self.folder / "config.json").is_file()

    @property
    def megabytes(self) -> int:
        """What it takes to fetch all of it, as far as that is known without asking."""
        return sum(source.megabytes for source in self.sources.values())

    @property
    def by_hand(self) -> str:
        """How one that cannot be had by its name is had; empty for others."""
        if self.encoder:
            return f"is what methods hear with, and no method; for --audio: lavseg convert {self.convert} --out FOLDER"
        if self.page:
            what = f"a browser has to fetch {self.file} from {self.page}"
            needed = "".join(f" --{part} {source.address}" for part, source in self.sources.items() if source.address)
            return f"{what}; then: lavseg convert {self.convert} {Path(self.file).name}{needed} --out FOLDER"
        return ""


def releases() -> dict[str, Release]:
    """All that are known, by name."""
    return {name: _release(name, entry) for name, entry in _registry().items()}


def find_release(name: str | Path) -> Release | None:
    """The one of this name; a folder or file of the same name goes first."""
    entry = None if Path(name).exists() else _registry().get(str(name))
    return entry and _release(str(name), entry)


def known_sha256(address: str) -> str:
    """The first digits of the sha256 of what lies at an address, empty where they are not known."""
    known = {release.sources["checkpoint"].address: release.sha256 for release in releases().values()}
    return known.get(address, "")


def tell(release: Release, size: int) -> None:
    """Say what is about to be fetched."""
    logger.warning(first_use(release, size))


def first_use(release: Release, size: int) -> str:
    """What there is to know before `size` bytes are fetched: size, licences, terms, and where the result is kept."""
    sources = "; ".join(f"{source.address} (licence: {source.licence})" for source in release.sources.values())
    accept = f" Using it means to accept {release.accept}." if release.accept else ""
    amount = f"{size / 1e9:.1f} GB" if size >= 1e9 else f"{size / 1e6:.0f} MB"
    return f"{release.name} is not here yet. To fetch: {amount}, {sources}.{accept} Kept converted in {release.folder}."


def checkpoint_folder(name: str | Path, on_first_use: Callable[[Release, int], None] = tell) -> str:
    """The folder of a released checkpoint by its name, for `from_pretrained` and `pipeline`.

    On first use it is fetched and converted, and kept in the cache of the Hub's client; from then on no network is
    needed. `lavseg models` lists the names.

    Args:
        name: one of these names; a folder or a Hub id comes back as it is.
        on_first_use: called before anything is fetched, with the bytes still to come; may raise to prevent it.

    Raises:
        ValueError: when it cannot be had by its name, fetched or converted.
    """
    release = find_release(name)
    if release is None:
        return str(name)
    if release.by_hand:
        raise ValueError(f"{name}: {release.by_hand}")
    if not release.is_here:
        with alone(release.name):
            _make(release, on_first_use)
    return str(release.folder)


def _make(release: Release, on_first_use: Callable[[Release, int], None]) -> None:
    if not release.is_here:  # nor made by another process meanwhile
        on_first_use(release, sum(bytes_to_fetch(source.address) for source in release.sources.values()))
        _convert_aural_sam2(release)


def _convert_aural_sam2(release: Release) -> None:
    from .models.aural_sam2.convert_aural_sam2 import convert_aural_sam2_checkpoint, holds_host

    sources = {part: source.address for part, source in release.sources.items()}
    checkpoint = fetch(sources.pop("checkpoint"), release.sha256)
    if holds_host(checkpoint):
        del sources["sam2"]
    convert_aural_sam2_checkpoint(
        checkpoint, release.folder, **{part: str(fetch(address)) for part, address in sources.items()}
    )


def _registry() -> dict[str, dict[str, Any]]:
    return yaml.safe_load(REGISTRY.read_text(encoding="utf-8"))


def _release(name: str, entry: dict[str, Any]) -> Release:
    sources = {part: Source(**source) for part, source in entry["sources"].items()}
    reproduces = load_recipe(entry["recipe"]).reproduces if "recipe" in entry else {}
    return Release(**{"reproduces": reproduces, **entry, "name": name, "sources": sources})
