"""Segments many clips with the same sentences, each into a folder of its own, on one or several processes."""

import json
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import cache
from pathlib import Path
from typing import Any, Literal

import torch.distributed

from ..error_reasons import reason_of
from ..modeling.inputs import check_text
from ..output_folders import check_writable_folder
from .clip_lists import result_folders
from .mask_files import MASK_FILES
from .result_files import ATTENTION
from .segment_file import RESULT, LoadableModel, load_on_device, segment_with

# A process waits for the others, at the end, as long as they may take.
_PATIENCE = timedelta(days=30)


@dataclass(frozen=True)
class ClipOutcome:
    """What became of a clip.

    clip: its path.
    folder: where its result is, or would be.
    state: `segmented`; `finished` by an earlier run, so passed over; `stopped` by Ctrl-C with the frames done by then;
        or `failed`.
    reason: why it failed, in one line.
    summary: what `segment_file` returned.
    """

    clip: Path
    folder: Path
    state: Literal["segmented", "finished", "stopped", "failed"]
    reason: str = ""
    summary: dict | None = None


def segment_files(
    clips: Sequence[str | Path],
    texts: Sequence[str],
    model: str | Path,
    out: str | Path,
    device: str | None = None,
    overwrite: bool = False,
    on_outcome: Callable[[ClipOutcome], None] = lambda outcome: None,
    fps: float | None = None,
    mask_format: str = "png",
    attention: bool = False,
    trust_remote_code: bool = False,
    stage_one: str | Path | None = None,
    classes: bool = False,
    **options: Any,
) -> list[ClipOutcome]:
    """Segment clips one after the other, as `segment_file` does each, with the model loaded once.

    A clip that cannot be segmented does not keep the others from it. One whose whole result, of these texts and this
    model, is there already is passed over, so that the same call goes on where an earlier one ended. Where several
    processes were launched, each takes every n-th clip, on a GPU of its own where there are some, and waits for the
    others.

    Args:
        clips: video files with sound.
        texts, model, device, fps, mask_format, attention, trust_remote_code, stage_one, classes: see `segment_file`.
        out: a folder for one folder a clip, named after the clip, without its suffix.
        overwrite: segment clips whose result is there, too, and replace it.
        on_outcome: called after each clip of this process.
        options: further arguments of `segment_file`, but for prompts.

    Returns:
        What became of each clip, of all processes; after Ctrl-C, of those that this one had got to.

    Raises:
        ValueError: (of which `CheckpointError` is one) something that all clips share cannot be used.
        KeyboardInterrupt: by Ctrl-C between two clips, or before a clip's first frame was done.
    """
    clips, (rank, count) = [*map(Path, clips)], launched_processes()
    folders, outcomes = result_folders(clips, out), []
    check_writable_folder(Path(out), "out")
    if (Path(out) / RESULT).exists():
        raise ValueError(f"out: {out} is the result of one clip; name another folder for those of several")
    loadable = LoadableModel(model, cache(lambda: _load(model, device, trust_remote_code, texts)))
    load_first = cache(lambda: load_on_device(stage_one, _device_here(device), trust_remote_code))
    stage = None if stage_one is None else LoadableModel(stage_one, load_first)
    settings = {"fps": fps, "mask_format": mask_format, "attention": attention, "classes": classes}
    for clip, folder in [*zip(clips, folders, strict=True)][rank::count]:
        complete = None if overwrite else _complete(folder, clip, texts, model, stage_one, **settings)
        if complete:
            outcome = ClipOutcome(clip, folder, "finished")
        else:
            loadable.load()
            try:
                replace = overwrite or complete is False
                summary = segment_with(loadable, clip, texts, folder, replace, stage_one=stage, **settings, **options)
                state = "segmented" if summary["complete"] else "stopped"
                outcome = ClipOutcome(clip, folder, state, summary=summary)
            except Exception as error:  # whatever a library raises, the next clip may be a good one
                outcome = ClipOutcome(clip, folder, "failed", reason_of(error))
        outcomes.append(outcome)
        on_outcome(outcome)
        if outcome.state == "stopped":
            return outcomes
    return outcomes if count == 1 else _of_all_processes(outcomes, clips)


def launched_processes() -> tuple[int, int]:
    """The number of this process among those that `accelerate launch` or `torchrun` started, and how many these are."""
    if not {"RANK", "WORLD_SIZE", "MASTER_ADDR"} <= os.environ.keys():
        return 0, 1
    return int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])


def _load(model: str | Path, device: str | None, trust_remote_code: bool, texts: Sequence[str]) -> tuple:
    network, processor = load_on_device(model, _device_here(device), trust_remote_code)
    check_text("text", type(processor).__name__, texts or None, processor.needs_text)
    return network, processor


def _device_here(device: str | None) -> str | None:
    """The GPU of this process where none was named, several processes were launched and there is one."""
    if device is None and torch.cuda.is_available() and "LOCAL_RANK" in os.environ:
        return f"cuda:{int(os.environ['LOCAL_RANK']) % torch.cuda.device_count()}"
    return device


def _complete(
    folder: Path,
    clip: Path,
    texts: Sequence[str],
    model: str | Path,
    stage_one: str | Path | None,
    fps: float | None,
    mask_format: str,
    attention: bool,
    classes: bool,
) -> bool | None:
    """Whether a result of this clip and these settings is there and whole; None where there is none, or another one."""
    try:
        found = json.loads((folder / RESULT).read_text(encoding="utf-8"))
        said = [expression["text"] for expression in found["expressions"]]
        before = Path(found["clip"])
        same = before.name == clip.name and (not before.exists() or before.samefile(clip))
        stages = [str(model), stage_one and str(stage_one)]
        of_this = same and [found["model"], found.get("stage_one")] == stages
        kind = MASK_FILES[mask_format]
        drawn = (not attention or (folder / ATTENTION).is_file()) and (not classes or "classes" in found)
        as_asked = drawn and fps in (None, found["fps"]) and found["expressions"][0].get(kind.key) == f"0{kind.suffix}"
        return found["complete"] if said == ([*texts] or [None]) and of_this and as_asked else None
    except (OSError, ValueError, LookupError, TypeError):
        return None


def _of_all_processes(outcomes: list[ClipOutcome], clips: list[Path]) -> list[ClipOutcome]:
    """The outcomes of all processes, in the order of the clips; comes back when all have done theirs."""
    own = not torch.distributed.is_initialized()
    if own:
        torch.distributed.init_process_group("gloo", timeout=_PATIENCE)
    try:
        gathered = [None] * torch.distributed.get_world_size()
        torch.distributed.all_gather_object(gathered, outcomes)
    finally:
        if own:
            torch.distributed.destroy_process_group()
    found = {outcome.clip: outcome for part in gathered for outcome in part}
    return [found[clip] for clip in clips if clip in found]
