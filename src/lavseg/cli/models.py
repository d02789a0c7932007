"""`lavseg models`: released checkpoints."""

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .printing import print_json, print_table
from .recipes import published_numbers

if TYPE_CHECKING:
    from ..released import Release


def models(as_json: Annotated[bool, typer.Option("--json", help="Print all that is known as JSON.")] = False) -> None:
    """List checkpoints for real clips that others published, by the names that --model takes."""
    from ..released import releases

    found = [*releases().values()]
    if as_json:
        print_json([_all(release) for release in found])
        return
    print_table(
        ["name", "hears", "reads", "MB", "published numbers", "state"],
        [
            (one.name, one.hears, one.reads, one.megabytes, published_numbers(one.reproduces), _state(one))
            for one in found
        ],
    )
    for release in found:
        typer.echo(f"{release.name}:")
        for line in _lines(release):
            typer.echo(f"  {line}")
    typer.echo(
        "MB are counted from the networks, numbers are the papers'. None of these files was opened in the tests."
    )


def _lines(release: "Release") -> list[str]:
    lines = [f"{one.address or release.file}, licence: {one.licence}" for one in release.sources.values()]
    if release.accept:
        lines.append(f"to accept: {release.accept}")
    if release.reproduces:
        paper, table, protocol = (release.reproduces[part] for part in ("paper", "table", "protocol"))
        lines.append(f"numbers: {paper}, {table}, protocol {protocol}")
    return [*lines, release.by_hand] if release.by_hand else lines


def _all(release: "Release") -> dict[str, Any]:
    computed = {"megabytes": release.megabytes, "state": _state(release), "by_hand": release.by_hand}
    return {**asdict(release), **computed, "folder": str(release.folder)}


def _state(release: "Release") -> str:
    if release.by_hand:
        return "by hand, see below"
    return "here" if release.is_here else "fetched on first use"
