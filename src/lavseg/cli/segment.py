"""`lavseg segment`: masks for a clip."""

from pathlib import Path
from typing import Annotated

import typer


def segment(
    clip: Annotated[Path, typer.Argument(help="Video file with sound.", metavar="CLIP", show_default=False)],
    model: Annotated[str, typer.Option(help="Folder or Hub id of a checkpoint.", show_default=False)],
    out: Annotated[Path, typer.Option(help="Folder for the results, new or empty.", show_default=False)],
    text: Annotated[
        list[str] | None,
        typer.Option(help="Which object is meant; give it again for further ones.", show_default=False),
    ] = None,
    device: Annotated[str | None, typer.Option(help="Such as cpu or cuda:0.", show_default="a GPU if any")] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an earlier result.")] = False,
) -> None:
    """Write a mask for every second of CLIP and every text.

    OUT receives 0/00000.png, ... for the first text, 1/ for the second, overlay.mp4 with all of them in their colours
    and the clip's sound, and result.json with times, areas and the model's scores.
    """
    try:
        if any(not expression.strip() for expression in text or []):
            raise ValueError("--text: is empty; say which object is meant, such as 'the louder of the two dogs'")
        summary = _run(clip, text or [], model, out, device, overwrite)
    except (ValueError, OSError) as error:
        typer.echo(f"lavseg segment: {' '.join(str(error).split())}", err=True)
        raise typer.Exit(2) from error
    for expression in summary["expressions"]:
        seen = sum(fraction > 0 for fraction in expression["area_fractions"])
        frames = len(expression["area_fractions"])
        typer.echo(
            f"{out / expression['folder']}: {expression['text'] or 'sounding objects'} ({seen} of {frames} frames)"
        )


def _run(clip: Path, texts: list[str], model: str, out: Path, device: str | None, overwrite: bool) -> dict:
    """`segment_file` with its stages shown on stderr and the libraries' own messages silenced."""
    from rich.console import Console

    with Console(stderr=True).status("Starting") as status:
        from huggingface_hub.utils import disable_progress_bars
        from transformers.utils import logging

        from ..inference.segment_file import segment_file

        disable_progress_bars()
        logging.disable_progress_bar()
        logging.set_verbosity(logging.CRITICAL)
        return segment_file(clip, texts, model, out, device, overwrite, status.update)
