"""Segments a video file and writes what was found into a folder, frame by frame."""

import json
import re
import signal
import threading
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from itertools import chain
from pathlib import Path
from typing import NamedTuple

import torch
from transformers import PreTrainedConfig

from ..checkpoint import load_checkpoint
from ..data.classes import CLASSES
from ..evaluation.first_stage import FirstStage, check_first_stage
from ..media import ClipReader, MediaWarning
from ..modeling.base import AudioVisualPreTrainedModel
from ..modeling.processing import AudioVisualProcessor
from ..output_folders import (
    check_new_folder,
    check_replaceable_folder,
    check_writable_folder,
    holds_results,
    staged_folder,
)
from .mask_files import MASK_FILES
from .prompted_clip import check_takes_prompts
from .result_files import ResultFiles
from .segment_video import segment_video
from .timed_prompts import TimedPrompt, check_objects, described, prompt_arguments

RESULT = "result.json"
# Names of all that a result holds.
_RESULT_NAMES = re.compile(r"result\.json|classes|(overlay|attention)\.mp4|\d+(\.json|\.npz)?")


class LoadableModel(NamedTuple):
    """The name of a checkpoint, and what loads its model and processor."""

    name: str | Path
    load: Callable[[], tuple[AudioVisualPreTrainedModel, AudioVisualProcessor]]


def segment_file(
    clip: str | Path,
    texts: Sequence[str],
    model: str | Path,
    out: str | Path,
    device: str | None = None,
    overwrite: bool = False,
    on_stage: Callable[[str], None] = lambda stage: None,
    fps: float | None = None,
    mask_format: str = "png",
    attention: bool = False,
    on_frame: Callable[[int, int], None] = lambda done, total: None,
    trust_remote_code: bool = False,
    prompts: Sequence[TimedPrompt] = (),
    stage_one: str | Path | None = None,
    classes: bool = False,
) -> dict:
    """Segment what each expression means and write masks, an overlay video and a summary.

    The clip may have any length, see `segment_video`. Files grow, frame by frame, in a folder beside `out` that takes
    its place at the end; nothing is written before the first frame is done. Ctrl-C ends the work and leaves whole files
    with the frames done so far; after any other error `out` is as it was before.

    `out` receives the masks at the clip's size: `0/00000.png`, ... for the first expression (8 bit, 0 and 255), `1/`
    for the second, and so on; or `0.json` with COCO's run-length encoding; or `0.npz` with an array for each frame. On
    demand `classes/00000.png`, ... say of which class every pixel is (8 bit, with AVSBench-semantic's colours).
    `overlay.mp4` shows all of them over the frames that were segmented, with the clip's sound, and below what the
    colours mean and how loud it is; `attention.mp4`, on demand, the attention maps; `result.json` is the returned
    summary.

    Args:
        clip: a video file with sound.
        texts: the expressions, all about this clip; empty for a model that takes none.
        model: folder or Hub id of a checkpoint, or the name of a released one.
        out: a folder that does not exist yet or is empty.
        device: where the model runs; by default the GPU if there is one.
        overwrite: replace `out` if it holds an earlier result.
        on_stage: called with a few words when a stage begins.
        fps: frames per second, from the method's own rate, the default, to the clip's.
        mask_format: `png`, `rle` or `npz`.
        attention: write `attention.mp4`, for methods that have attention maps.
        on_frame: called after each frame with how many are done and about how many there are in all.
        trust_remote_code: see [`load_checkpoint`].
        prompts: what a user shows of the objects, of which there is one for each expression, or one in all.
        stage_one: as `model`, a checkpoint that finds what sounds, whose masks are given to a model that names what
            they show.
        classes: write the classes of pixels, of a model that names them.

    Returns:
        `clip`, `model`, `stage_one` where there is one, `complete` (false after Ctrl-C), `fps`, `frame_times` (seconds,
        one for each frame), and `expressions`: for each its `text`, `folder` (of PNG files) or `file`, `color` (RGB in
        the overlay), `score` (how far its masks can be trusted, 0 to 1, see `confidence.clip_scores`; null where the
        model does not say), and for each frame `area_fractions` (share of pixels in the mask) and, where the model
        gives them, `frame_scores` (how far this mask can be trusted), `object_score_logits` (above zero: judged
        visible) and `iou_scores` (the model's own estimate); with a presence head also `presence_logit` (above zero:
        judged to be in the clip at all), the highest of all windows; where a user shows the object, `prompts`, each
        with `kind`, `seconds`, `places` (points, or a box's corners) or `file`, and `frame`, the one it was put on,
        counted at the processor's rate; `warnings`, sentences on what makes the result doubtful; and with `classes`,
        `classes`: its `folder`, and for each that was `found` anywhere its `id`, `name`, `color` and `area_fractions`.

    Raises:
        ValueError: (of which `MediaError` and `CheckpointError` are kinds) something given cannot be used.
        KeyboardInterrupt: by Ctrl-C before the first frame was done.
    """
    load = partial(load_on_device, device=device, trust_remote_code=trust_remote_code)
    return segment_with(
        LoadableModel(model, partial(load, model)),
        clip,
        texts,
        out,
        overwrite,
        on_stage=on_stage,
        fps=fps,
        mask_format=mask_format,
        attention=attention,
        on_frame=on_frame,
        prompts=prompts,
        stage_one=None if stage_one is None else LoadableModel(stage_one, partial(load, stage_one)),
        classes=classes,
    )


def load_on_device(
    model: str | Path, device: str | None = None, trust_remote_code: bool = False
) -> tuple[AudioVisualPreTrainedModel, AudioVisualProcessor]:
    """A checkpoint's model, on a device, and its processor; as `segment_file` takes and refuses them."""
    network, processor = load_checkpoint(model, trust_remote_code)
    return network.to(_device(device)), processor


def segment_with(
    model: LoadableModel,
    clip: str | Path,
    texts: Sequence[str],
    out: str | Path,
    overwrite: bool = False,
    *,
    on_stage: Callable[[str], None] = lambda stage: None,
    fps: float | None = None,
    mask_format: str = "png",
    attention: bool = False,
    on_frame: Callable[[int, int], None] = lambda done, total: None,
    prompts: Sequence[TimedPrompt] = (),
    stage_one: LoadableModel | None = None,
    classes: bool = False,
) -> dict:
    """`segment_file` with a model that is loaded once the clip was found to be one."""
    _check_out(Path(out), overwrite, Path(clip))
    if mask_format not in MASK_FILES:
        raise ValueError(f"format: {mask_format!r} was given, accepted are {', '.join(MASK_FILES)}")
    objects = max(len(texts), 1)
    check_objects(prompts, objects)
    on_stage("Reading the clip")
    reader = ClipReader(clip)
    seconds = reader.info.seconds
    on_stage("Loading the model")
    network, processor = model.load()
    check_first_stage(network, stage_one is not None)
    stage = None if stage_one is None else FirstStage(*stage_one.load())
    check_takes_prompts(network, [f"--{prompt.kind}" for prompt in prompts])
    shown = prompt_arguments(prompts, reader, processor.fps, objects)
    on_stage("Segmenting")
    rate = float(processor.fps if fps is None else fps)
    frames = segment_video(
        network, processor, reader, texts, rate, attention, first_stage=stage, output_classes=classes, **shown
    )
    # What cannot be used shows by the first frame, before anything is written.
    first = next(frames)
    with ExitStack() as stack:
        folder = stack.enter_context(staged_folder(out, replace=overwrite))
        names = class_names(network.config) if classes else ()
        results, complete = ResultFiles(folder, texts, first, rate, mask_format, processor.needs_audio, names), True
        try:
            for frame in chain([first], frames):
                with _uninterrupted():
                    results.write(frame)
                on_frame(len(results.times), max(len(results.times), int(seconds * rate)))
        except KeyboardInterrupt:
            complete = False
        with suppress(KeyboardInterrupt), _uninterrupted():
            results.close()
            given = {"clip": clip, "model": model.name, **({"stage_one": stage_one.name} if stage_one else {})}
            summary = {**{name: str(value) for name, value in given.items()}, "complete": complete, **results.summary()}
            for prompt in prompts:
                record = described(prompt, reader, processor.fps)
                summary["expressions"][prompt.number or 0].setdefault("prompts", []).append(record)
            _write_summary(folder, summary)
            stack.close()
    for message in summary["warnings"]:
        warnings.warn(f"{clip}: {message}", MediaWarning, stacklevel=2)
    return summary


def _write_summary(folder: Path, summary: dict) -> None:
    text = json.dumps(summary, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    # Names of clips may hold bytes that are no UTF-8; JSON reads them from the escapes.
    (folder / RESULT).write_text(text, encoding="utf-8", errors="backslashreplace")


def class_names(config: PreTrainedConfig) -> list[str]:
    """What the classes of a model that names some are called, background first: as its configuration says, and 71
    without names, as in converted checkpoints, as in AVSBench-semantic."""
    names = [config.id2label[number] for number in range(config.num_labels)]
    unnamed = names == [f"LABEL_{number}" for number in range(len(CLASSES))]
    return [*CLASSES] if unnamed else names


@contextmanager
def _uninterrupted() -> Iterator[None]:
    """Put off Ctrl-C and SIGTERM until the block is done, so that no file is left half written."""
    if threading.current_thread() is not threading.main_thread():
        yield  # signals go to the main thread
        return
    received = []
    numbers = (signal.SIGINT, signal.SIGTERM)
    handlers = [signal.signal(number, lambda number, _: received.append(number)) for number in numbers]
    try:
        yield
    finally:
        for number, handler in zip(numbers, handlers, strict=True):
            signal.signal(number, handler)
    if received:
        signal.raise_signal(received[0])


def _check_out(out: Path, overwrite: bool, clip: Path) -> None:
    check_writable_folder(out, "out")
    if overwrite:
        check_replaceable_folder(out, "out")
    if not holds_results(out):
        check_new_folder(out, "out")
        return
    if not overwrite:
        raise ValueError(f"out: {out} is not empty; give a new or an empty folder, or replace it with --overwrite")
    others = [path.name for path in out.iterdir() if not _RESULT_NAMES.fullmatch(path.name)]
    if others or not (out / RESULT).is_file() or out.resolve() in (clip.resolve().parent, Path.cwd()):
        raise ValueError(f"out: {out} is in use or holds more than an earlier result, and is not overwritten")
    check_writable_folder(out.resolve().parent, "out")


def _device(name: str | None) -> torch.device:
    try:
        device = torch.device(name or ("cuda" if torch.cuda.is_available() else "cpu"))
        torch.zeros(1, device=device).item()  # "meta" computes nothing
    except (RuntimeError, AssertionError) as error:
        raise ValueError(
            f"device {name!r} cannot be used here; 'cpu' always can, and 'cuda' where there is a GPU"
        ) from error
    return device
