"""`lavseg segment`: masks for a clip."""

import warnings
from enum import StrEnum
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from .first_use import MODEL, Yes, make_available
from .one_line_errors import INTERRUPTED, one_line_errors
from .outside import Plugins, TrustRemoteCode, load_plugins
from .printing import print_json
from .quiet import silence_libraries


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
    typer.Option(help="A picture, black off it.", metavar="[OBJECT@]SECONDS:FILE", show_default=False),
]


def segment(
    clip: Annotated[Path, typer.Argument(help="Video file with sound.", metavar="CLIP", show_default=False)],
    out: Annotated[Path, typer.Option(help="Folder for the results, new or empty.", show_default=False)],
    model: Annotated[str | None, typer.Option(help=MODEL, show_default=False)] = None,
    text: Annotated[
        list[str] | None,
        typer.Option(help="Which object is meant; give it again for further ones.", show_default=False),
    ] = None,
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
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an earlier result.")] = False,
    plugin: Plugins = None,
    trust_remote_code: TrustRemoteCode = False,
    yes: Yes = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print what result.json holds.")] = False,
) -> None:
    """Write a mask for every second of CLIP and every text.

    OUT receives 0/00000.png, ... for the first text, 1/ for the second, overlay.mp4 with all of them in their colours
    and the clip's sound, and result.json with times, areas and the model's scores. Ctrl-C leaves what is done by then.

    Points, boxes and masks show the object that is meant, together with its text if the method reads. They may be given
    more than once, are in pixels of CLIP, and go to the nearest of the frames that the method looks at. With several
    texts, OBJECT is the number of the object's folder: --point 1@3.0:40,30 goes with the second text.
    """
    with one_line_errors("lavseg segment"):
        if any(not expression.strip() for expression in text or []):
            raise ValueError("--text: is empty; say which object is meant, such as 'the louder of the two dogs'")
        shown = {"point": point, "negative": negative, "box": box, "mask": mask}
        try:
            make_available(model, yes)
            summary, said = _run(
                plugin,
                clip,
                text or [],
                model,
                out,
                device,
                overwrite,
                shown=shown,
                fps=fps,
                mask_format=mask_format.value,
                attention=attention,
                trust_remote_code=trust_remote_code,
            )
        except KeyboardInterrupt:
            _exit_early("stopped before the first frame was done, nothing was written")
    if as_json:
        print_json(summary)
    else:
        _print_places(summary, out)
    for message in said:
        typer.echo(f"lavseg segment: {message}", err=True)
    if not summary["complete"]:
        _exit_early(f"stopped; {out} holds the {len(summary['frame_times'])} frames done by then")


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


def _run(
    plugins: list[str] | None, *arguments: object, shown: dict[str, list[str] | None], **options: object
) -> tuple[dict, list[str]]:
    """`segment_file` with its stages and progress shown on stderr and the libraries' own messages silenced; its summary
    and what was said about the clip."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task("Starting", total=None)
        silence_libraries()
        from ..inference.segment_file import segment_file
        from ..inference.timed_prompts import parse_prompts
        from ..media import MediaWarning

        prompts = parse_prompts(shown)
        load_plugins(plugins)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("ignore")
            warnings.simplefilter("default", MediaWarning)
            summary = segment_file(
                *arguments,
                on_stage=lambda stage: progress.update(task, description=stage),
                on_frame=lambda done, total: progress.update(task, completed=done, total=total),
                prompts=prompts,
                **options,
            )
        return summary, [*dict.fromkeys(str(one.message) for one in caught)]
