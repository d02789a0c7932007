"""`lavseg segment`: masks for a clip."""

import warnings
from enum import StrEnum
from pathlib import Path
from typing import Annotated

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


def segment(
    clip: Annotated[Path, typer.Argument(help="Video file with sound.", metavar="CLIP", show_default=False)],
    out: Annotated[Path, typer.Option(help="Folder for the results, new or empty.", show_default=False)],
    model: Annotated[str | None, typer.Option(help=MODEL, show_default=False)] = None,
    text: Annotated[
        list[str] | None,
        typer.Option(help="Which object is meant; give it again for further ones.", show_default=False),
    ] = None,
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
    """
    with one_line_errors("lavseg segment"):
        if any(not expression.strip() for expression in text or []):
            raise ValueError("--text: is empty; say which object is meant, such as 'the louder of the two dogs'")
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
                fps=fps,
                mask_format=mask_format.value,
                attention=attention,
                trust_remote_code=trust_remote_code,
            )
        except KeyboardInterrupt as interrupt:
            typer.echo("lavseg segment: stopped before the first frame was done, nothing was written", err=True)
            raise typer.Exit(INTERRUPTED) from interrupt
    if as_json:
        print_json(summary)
    else:
        for expression in summary["expressions"]:
            seen = sum(fraction > 0 for fraction in expression["area_fractions"])
            frames = len(expression["area_fractions"])
            place = out / (expression.get("folder") or expression["file"])
            typer.echo(f"{place}: {expression['text'] or 'sounding objects'} ({seen} of {frames} frames)")
    for message in said:
        typer.echo(f"lavseg segment: {message}", err=True)
    if not summary["complete"]:
        frames = len(summary["frame_times"])
        typer.echo(f"lavseg segment: stopped; {out} holds the {frames} frames done by then", err=True)
        raise typer.Exit(INTERRUPTED)


def _run(plugins: list[str] | None, *arguments: object, **options: object) -> tuple[dict, list[str]]:
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
        from ..media import MediaWarning

        load_plugins(plugins)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("ignore")
            warnings.simplefilter("default", MediaWarning)
            summary = segment_file(
                *arguments,
                on_stage=lambda stage: progress.update(task, description=stage),
                on_frame=lambda done, total: progress.update(task, completed=done, total=total),
                **options,
            )
        return summary, [*dict.fromkeys(str(one.message) for one in caught)]
