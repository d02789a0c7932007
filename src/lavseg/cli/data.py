"""`lavseg data`: look at a data set on disk, write a synthetic one, export one."""

from collections.abc import Iterable
from dataclasses import asdict
from operator import attrgetter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .one_line_errors import one_line_errors
from .printing import Json, print_json, print_table
from .quiet import silence_data_sets

if TYPE_CHECKING:
    from ..data.synthetic.cast import Cast

data = typer.Typer(help="Check, synthesise and export data sets.", no_args_is_help=True)

_Root = Annotated[
    str,
    typer.Argument(
        help="Folder of the data set, or Hub id of an exported one, ORG/NAME.", metavar="ROOT", show_default=False
    ),
]
_Dataset = Annotated[
    str | None,
    typer.Option(help="Layout of the data set, ref_avs or avsbench.", show_default="the one it has"),
]


@data.command()
def check(
    root: _Root,
    dataset: _Dataset = None,
    deep: Annotated[bool, typer.Option("--deep", help="Decode all images and sounds, which takes longer.")] = False,
    as_json: Json = False,
) -> None:
    """Count what ROOT holds and look at every file for faults. Exit status 1 where there are any.

    Of an exported data set the images and sounds inside are looked at; tables and names of files are no longer there.
    """
    with one_line_errors("lavseg data check"):
        from ..data.layouts import check_data_set

        silence_data_sets()
        reports = list(check_data_set(root, dataset, deep))
    if as_json:
        print_json([asdict(report) for report in reports])
    else:
        counts = ("rows", "readable", "clips", "nulls", "sizes")
        print_table(
            ("subset", "split", *counts),
            [(report.subset or "", report.split, *attrgetter(*counts)(report)) for report in reports],
        )
        for report in reports:
            if report.fault:
                typer.echo(report.fault)
    if any(report.fault for report in reports):
        raise typer.Exit(1)


@data.command()
def synthetic(
    out: Annotated[Path, typer.Option(help="Folder for the data set, new or empty.", show_default=False)],
    dataset: Annotated[
        str, typer.Option(help="Layout of the data set, ref_avs, or avsbench with all of its subsets.")
    ] = "ref_avs",
    clips: Annotated[int, typer.Option(help="Training clips, of each subset; other splits get a quarter.", min=1)] = 40,
    seed: Annotated[int, typer.Option(help="Of all draws.", min=0)] = 0,
    objects: Annotated[
        Path | None,
        typer.Option(
            help="Folder CATEGORY/NAME.png of pictures with transparency, each with its sound, NAME.wav, .ogg or .mp3.",
            show_default="a drawn band",
        ),
    ] = None,
    backgrounds: Annotated[
        Path | None, typer.Option(help="Folder of photographs to put OBJECTS on.", show_default="drawn ones")
    ] = None,
    as_json: Json = False,
) -> None:
    """Write clips of a drawn band that moves and plays, or of OBJECTS, as the original data sets are laid out."""
    with one_line_errors("lavseg data synthetic"):
        from rich.console import Console
        from rich.progress import track

        from ..data import write_avsbench, write_ref_avs
        from ..data.layouts import known_layout

        def progress(entries: list) -> Iterable:
            console = Console(stderr=True)
            return track(entries, "Writing clips", console=console, disable=not console.is_terminal)

        layout = known_layout(dataset)
        cast = _cast(objects, backgrounds)
        others = max(2, clips // 4)
        if layout == "ref_avs":
            splits = {"train": clips} | dict.fromkeys(("val", "test_s", "test_u", "test_n"), others)
            write_ref_avs(out, splits, seed=seed, progress=progress, cast=cast)
        else:
            splits = {"train": clips, "val": others, "test": others}
            counts = dict.fromkeys(("s4", "ms3", "v1s", "v1m", "v2"), splits)
            write_avsbench(out, counts, seed=seed, progress=progress, cast=cast)
    if as_json:
        print_json({"out": str(out)})
    else:
        typer.echo(f"{out}: written; `lavseg data check {out}` counts it")


def _cast(objects: Path | None, backgrounds: Path | None) -> "Cast":
    """What clips are made of; everything that is given for it is looked at."""
    from ..data.synthetic.cast import DRAWN_BAND
    from ..data.synthetic.cut_outs import CutOuts

    if objects is None and backgrounds is not None:
        raise ValueError("--backgrounds: goes with --objects; give both")
    return DRAWN_BAND if objects is None else CutOuts(objects, backgrounds)


@data.command()
def export(
    root: _Root,
    out: Annotated[
        Path | None, typer.Option(help="Folder for Parquet files, new or empty.", show_default=False)
    ] = None,
    repo: Annotated[
        str | None, typer.Option(help="Data set on the Hub, ORG/NAME, to be made or added to.", show_default=False)
    ] = None,
    dataset: _Dataset = None,
    subset: Annotated[
        str | None, typer.Option(help="Of AVSBench: s4, ms3, v1s, v1m or v2.", show_default=False)
    ] = None,
    split: Annotated[
        list[str] | None,
        typer.Option(help="Split to export; give it again for further ones.", show_default="all, without TODO"),
    ] = None,
    private: Annotated[bool, typer.Option("--private", help="Make the repository private.")] = False,
    as_json: Json = False,
) -> None:
    """Write ROOT as Parquet files with frames, sound and masks inside, to OUT or to REPO on the Hub.

    Mind the licence of the data before making them public.
    """
    with one_line_errors("lavseg data export"):
        from ..data.layouts import export_parquet, load_rows, push_rows, splits_of

        silence_data_sets()
        if (out is None) == (repo is None):
            raise ValueError("--out, --repo: give one of them, a folder or a name on the Hub")
        names, layout = splits_of(root, dataset, subset, split or [])
        rows = {name: load_rows(root, name, layout, [subset] if subset else []) for name in names}
        if out is not None:
            export_parquet(rows, out)
        else:
            push_rows(rows, repo, subset, private)
    counts = {name: len(part) for name, part in rows.items()}
    if as_json:
        print_json({"out": str(out or repo), "rows": counts})
    else:
        typer.echo(f"{out or repo}: " + ", ".join(f"{count} rows of {name}" for name, count in counts.items()))
