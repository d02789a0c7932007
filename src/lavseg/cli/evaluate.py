"""`lavseg evaluate`: scores of a checkpoint on a data set."""

from pathlib import Path
from typing import Annotated

import typer

from .first_use import MODEL, StageOne, Yes, make_available
from .one_line_errors import one_line_errors
from .outside import Plugins, TrustRemoteCode, load_plugins
from .printing import print_json, print_table
from .quiet import silence_data_sets, silence_libraries

# Scores where something is to be found, and where nothing is.
_OF_OBJECTS, _OF_NULLS = {"jaccard", "f_score", "j_and_f"}, {"s"}
# In a column of its own, and in the report alone.
_ELSEWHERE = ("rows", "s_ratio")
_Subsets = Annotated[
    list[str] | None,
    typer.Option(help="Of AVSBench: s4, ms3, v1s, v1m or v2; give it again to join several.", show_default=False),
]
_Sentences = Annotated[
    int, typer.Option(help="Sentences about a clip that are run together; fewer take less memory and more time.")
]
_AcrossClips = Annotated[
    bool,
    typer.Option(
        "--across-clips",
        help="Let the rows of a batch of the protocol attend to one another, as EEMC's released evaluation does.",
    ),
]
_Streaming = Annotated[
    bool,
    typer.Option("--streaming", help="Read an exported data set row after row on one process, without a copy of it."),
]


def evaluate(
    model: Annotated[str, typer.Option(help=MODEL, show_default=False)],
    data: Annotated[
        str, typer.Option(help="Folder of the data set, or Hub id of an exported one, ORG/NAME.", show_default=False)
    ],
    dataset: Annotated[str, typer.Option(help="Layout of the data set, ref_avs or avsbench.")] = "ref_avs",
    subset: _Subsets = None,
    split: Annotated[
        list[str] | None,
        typer.Option(help="Split to score; give it again for further ones.", show_default="all test splits"),
    ] = None,
    protocol: Annotated[
        str | None,
        typer.Option(
            help="Whose definition of the scores: avsbench, ref_avs, gavs, simtoken, sama_avs, aural_sam2, "
            "stepping_stones or frame; of classes: avss.",
            show_default="the data set's own",
        ),
    ] = None,
    out: Annotated[Path | None, typer.Option(help="File for the scores as JSON.", show_default=False)] = None,
    workers: Annotated[int, typer.Option(help="Processes that read the data.")] = 0,
    sentences: _Sentences = 16,
    across_clips: _AcrossClips = False,
    stage_one: StageOne = None,
    streaming: _Streaming = False,
    bf16: Annotated[bool, typer.Option("--bf16", help="Compute in bfloat16.")] = False,
    plugin: Plugins = None,
    trust_remote_code: TrustRemoteCode = False,
    yes: Yes = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the scores as JSON.")] = False,
) -> None:
    """Score a checkpoint on splits of a data set under one publication's protocol: J, F and their mean, of null splits
    S, or under that of AVSBench-semantic scores of classes.

    OUT and --json hold all scores of every split.
    """
    with one_line_errors("lavseg evaluate"):
        make_available(model, yes, stage_one)
        silence_libraries()
        silence_data_sets()
        from ..evaluation.evaluate_checkpoint import evaluate_checkpoint

        load_plugins(plugin)
        asked = model, data, split or None, protocol, dataset, subset or []
        given = workers, bf16, out, trust_remote_code, sentences, across_clips, stage_one, streaming
        report = evaluate_checkpoint(*asked, *given)
        if report is None:
            return
    if as_json:
        print_json(report)
    else:
        print_scores(report)


def print_scores(report: dict) -> None:
    """Print what `evaluate_checkpoint` returned for people: of each split the scores that mean something there."""
    from ..data.ref_avs import NULL_SPLITS

    splits = report["splits"]
    nulls = [split for split in splits if report["dataset"] == "ref_avs" and split in NULL_SPLITS]
    shown = {split: values.keys() - (_OF_OBJECTS if split in nulls else _OF_NULLS) for split, values in splits.items()}
    known = dict.fromkeys(name for values in splits.values() for name in values if name not in _ELSEWHERE)
    scores = [name for name in known if any(name in names for names in shown.values())]
    typer.echo(f"{report['model']}, protocol {report['protocol']}")
    print_table(
        ["split", "rows", *scores],
        [
            [split, values["rows"], *(f"{values[name]:.4f}" if name in shown[split] else "" for name in scores)]
            for split, values in splits.items()
        ],
    )
    if nulls:
        typer.echo(f"{', '.join(nulls)}: there is nothing to be found, so s counts: how much is marked, 0 is perfect")
