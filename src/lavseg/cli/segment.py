"""`lavseg segment`: masks for a clip, or for many."""

from collections.abc import Callable, Iterable
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn, TypeVar

import typer

from .first_use import MODEL, StageOne, Yes, make_available
from .one_line_errors import INTERRUPTED, one_line_errors
from .outside import Plugins, TrustRemoteCode, load_plugins
from .printing import print_json
from .quiet import silence_libraries

if TYPE_CHECKING:
    from ..inference.segment_files import ClipOutcome

Result = TypeVar("Result")
_GOES_ON = "the same command goes on with what is missing"


class MaskFormat(StrEnum):
    """How masks are stored."""

    PNG = "png"
    RLE = "rle"
    NPZ = "npz"


Points = Annotated[
    list[str] | None, typer.Option(help="A point on an object.", metavar="[OBJECT@]SECONDS:X,Y", show_default=False)
]
Negatives = Annotated[
    list[str] | None, typer.Option(help="A point off it.", metavar="[OBJECT@]SECONDS:X,Y", show_default=False)
]
Boxes = Annotated[
    list[str] | None,
    typer.Option(help="A box around it.", metavar="[OBJECT@]SECONDS:X0,Y0,X1,Y1", show_default=False),
]
Masks = Annotated[
    list[str] | None,
    typer.Option(
        help="A PNG of the clip's size, black or transparent off it.",
        metavar="[OBJECT@]SECONDS:FILE",
        show_default=False,
    ),
]


def segment(
    clip: Annotated[
        list[Path],
        typer.Argument(
            help="Video file with sound; or several, a folder, a list of paths.", metavar="CLIP...", show_default=False
        ),
    ],
    out: Annotated[Path, typer.Option(help="Folder for the results, new or empty.", show_default=False)],
    model: Annotated[str | None, typer.Option(help=MODEL, show_default=False)] = None,
    text: Annotated[
        list[str] | None,
        typer.Option(help="Which object is meant; give it again for further ones.", show_default=False),
    ] = None,
    texts: Annotated[Path | None, typer.Option(help="File with one text a line.", show_default=False)] = None,
    point: Points = None,
    negative: Negatives = None,
    box: Boxes = None,
    mask: Masks = None,
    device: Annotated[str | None, typer.Option(help="Such as cpu or cuda:0.", show_default="a GPU if any")] = None,
    fps: Annotated[
        float | None, typer.Option(help="Frames per second, up to the clip's own.", show_default="the method's own, 1")
    ] = None,
    mask_format: Annotated[
        MaskFormat, typer.Option("--format", help="PNG files, COCO run lengths in JSON, or npz.")
    ] = MaskFormat.PNG,
    attention: Annotated[
        bool, typer.Option("--attention", help="Draw the attention maps of a method that has them.")
    ] = False,
    classes: Annotated[
        bool, typer.Option("--classes", help="Write the class of every pixel, of a model that names classes.")
    ] = False,
    stage_one: StageOne = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an earlier result.")] = False,
    plugin: Plugins = None,
    trust_remote_code: TrustRemoteCode = False,
    yes: Yes = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print what result.json holds, of several clips what became of each.")
    ] = False,
) -> None:
    """Write a mask for every second of CLIP and every text.

    OUT receives 0/00000.png, ... for the first text, 1/ for the second, overlay.mp4 with all of them in their colours
    and the clip's sound, and result.json with times, areas and the model's scores. Ctrl-C leaves what is done by then.

    With --classes a model that names classes also writes pictures whose pixels are numbers of classes, to classes/.

    Points, boxes and masks show the object that is meant, together with its text if the method reads. They may be given
    more than once, are in pixels of CLIP, and go to the nearest of the frames that the method looks at. With several
    texts, OBJECT is the number of the object's folder: --point 1@3.0:40,30 goes with the second text.

    Several clips, a folder, or a .txt file with one path a line are segmented with the same texts, each into a folder
    in OUT named after the clip. A clip that cannot be segmented is named at the end; the same command again goes
    on with what is missing. Started by `accelerate launch` on several processes or GPUs, each takes its share.
    """
    with one_line_errors("lavseg segment"):
        from ..inference.clip_lists import means_many, read_lines

        sentences = [*(text or []), *([] if texts is None else read_lines(texts, "--texts"))]
        if not all(map(str.strip, sentences)):
            raise ValueError("--text: is empty; say which object is meant, such as 'the louder of the two dogs'")
        make_available(model, yes, stage_one)
        shown = {"point": point, "negative": negative, "box": box, "mask": mask}
        given = (sentences, model, out, device, overwrite)
        options = {"fps": fps, "mask_format": mask_format.value, "attention": attention, "classes": classes}
        options["stage_one"] = stage_one
        segment_them = _segment_many if means_many(clip) else _segment_one
        segment_them(clip, *given, shown, as_json, plugins=plugin, trust_remote_code=trust_remote_code, **options)


def _segment_one(
    clips: list[Path],
    texts: list[str],
    model: str,
    out: Path,
    device: str | None,
    overwrite: bool,
    shown: dict[str, list[str] | None],
    as_json: bool,
    **options: object,
) -> None:
    """Segment a clip and say what was found in it."""

    def work(**options: object) -> dict:
        from ..inference.segment_file import segment_file
        from ..inference.timed_prompts import parse_prompts

        return segment_file(clips[0], texts, model, out, device, overwrite, prompts=parse_prompts(shown), **options)

    try:
        summary, said = _run(work, **options)
    except KeyboardInterrupt:
        _exit_early("stopped before the first frame was done, nothing was written")
    if as_json:
        print_json(summary)
    else:
        _print_places(summary, out)
    _say(said)
    if not summary["complete"]:
        _exit_early(f"stopped; {out} holds the {len(summary['frame_times'])} frames done by then")


def _segment_many(
    clips: list[Path],
    texts: list[str],
    model: str,
    out: Path,
    device: str | None,
    overwrite: bool,
    shown: dict[str, list[str] | None],
    as_json: bool,
    **options: object,
) -> None:
    """Segment clips, say of each what was found in it and at the end which ones failed."""
    if names := [name for name, values in shown.items() if values]:
        raise ValueError(f"--{names[0]}: lies at a second and in pixels of one clip; give one clip, or leave it out")

    def work(**options: object) -> tuple[list["ClipOutcome"], bool]:
        from ..inference.clip_lists import find_clips
        from ..inference.segment_files import launched_processes, segment_files

        tell = (lambda outcome: None) if as_json else _print_outcome
        found = segment_files(find_clips(clips), texts, model, out, device, overwrite, on_outcome=tell, **options)
        return found, launched_processes()[0] == 0

    try:
        (outcomes, first), said = _run(work, **options)
    except KeyboardInterrupt:
        _exit_early(f"stopped; {_GOES_ON}")
    if as_json and first:
        print_json(
            [
                {"clip": str(each.clip), "folder": str(each.folder), "state": each.state, "reason": each.reason}
                for each in outcomes
            ]
        )
    _say(said)
    failed = [outcome for outcome in outcomes if outcome.state == "failed"]
    if first:
        _say(f"{outcome.clip.name}: {outcome.reason.removeprefix(f'{outcome.clip}: ')}" for outcome in failed)
    if outcomes and outcomes[-1].state == "stopped":
        _exit_early(f"stopped; {outcomes[-1].folder} holds the frames done by then, and {_GOES_ON}")
    if failed and first:
        raise typer.Exit(2)


def _print_outcome(outcome: "ClipOutcome") -> None:
    """What was found in a clip; what failed is said at the end."""
    if outcome.state == "finished":
        typer.echo(f"{outcome.folder}: finished before")
    elif outcome.summary is not None:
        _print_places(outcome.summary, outcome.folder)


def _say(messages: Iterable[str]) -> None:
    for message in messages:
        typer.echo(f"lavseg segment: {message}", err=True)


def _exit_early(message: str) -> NoReturn:
    """End after Ctrl-C; the message says what there is by then."""
    typer.echo(f"lavseg segment: {message}", err=True)
    raise typer.Exit(INTERRUPTED)


def _print_places(summary: dict, out: Path) -> None:
    """Where the masks of each text are, and in how many frames there are some."""
    for expression in summary["expressions"]:
        seen = sum(fraction > 0 for fraction in expression["area_fractions"])
        frames = len(expression["area_fractions"])
        place = out / (expression.get("folder") or expression["file"])
        found = f"{seen} of {frames} frames" if seen else f"not found, all {frames} masks are empty"
        typer.echo(f"{place}: {expression['text'] or 'sounding objects'} ({found})")


def _run(work: Callable[..., Result], plugins: list[str] | None, **options: object) -> tuple[Result, list[str]]:
    """What `work` returns, with its stages and progress shown on stderr and the libraries' own messages silenced; and
    what was said about clips."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task("Starting", total=None)
        silence_libraries()
        from ..media.errors import caught_warnings

        load_plugins(plugins)
        with caught_warnings() as caught:
            found = work(
                on_stage=lambda stage: progress.update(task, description=stage),
                on_frame=lambda done, total: progress.update(task, completed=done, total=total),
                **options,
            )
        return found, [*dict.fromkeys(str(one.message) for one in caught)]
