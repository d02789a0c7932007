"""Segments a video file and writes what was found into a folder."""

import json
import os
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch

from ..media import Clip, read_video, write_video
from ..visualization import overlay, palette, save_masks
from .checkpoint import load_checkpoint

RESULT = "result.json"


def segment_file(
    clip: str | Path,
    texts: Sequence[str],
    model: str | Path,
    out: str | Path,
    device: str | None = None,
    overwrite: bool = False,
    on_stage: Callable[[str], None] = lambda stage: None,
) -> dict:
    """Segment what each expression means and write masks, an overlay video and a summary.

    `out` appears when all is written: `0/00000.png`, ... hold the masks of the first expression (8 bit, 0 and 255, at
    the clip's size), `1/` those of the second, and so on; `overlay.mp4` shows all of them over the frames that were
    segmented, with the clip's sound; `result.json` is the returned summary.

    Args:
        clip: a video file with sound.
        texts: the expressions, all about this clip; empty for a model that takes none.
        model: folder or Hub id of a checkpoint.
        out: a folder that does not exist yet or is empty.
        device: where the model runs; by default the GPU if there is one.
        overwrite: replace `out` if it holds an earlier result.
        on_stage: is told in a few words what begins.

    Returns:
        `clip`, `model`, `frames_per_second`, `frame_times` (seconds, one a frame), and `expressions`: for each its
        `text`, `folder`, `color` (RGB in the overlay), and for each frame `area_fractions` (share of pixels in the
        mask), `object_score_logits` (above zero: judged visible) and `iou_scores` (the model's own estimate); with a
        presence head also `presence_logit` (above zero: judged to be in the clip at all).

    Raises:
        ValueError: (of which `MediaError` and `CheckpointError` are kinds) something given cannot be used.
    """
    out = Path(out)
    _check_out(out, overwrite)
    on_stage("Reading the clip")
    decoded = read_video(clip)
    if decoded.waveform is None:
        raise ValueError(f"{clip}: carries no sound, which the model needs")
    on_stage("Loading the model")
    network, processor = load_checkpoint(model)
    network = network.to(_device(device))
    on_stage(f"Segmenting {len(decoded.frames)} frames")
    masks, scores = _segment(network, processor, decoded, texts)
    on_stage("Writing the masks")
    colors = palette(len(masks))
    summary = {
        "clip": str(clip),
        "model": str(model),
        "frames_per_second": decoded.frames_per_second,
        "frame_times": decoded.frame_times.round(3).tolist(),
        "expressions": [
            {
                "text": texts[index] if texts else None,
                "folder": str(index),
                "color": colors[index].tolist(),
                "area_fractions": mask.mean((1, 2)).round(6).tolist(),
                **{name: values[index].round(4).tolist() for name, values in scores.items()},
            }
            for index, mask in enumerate(masks)
        ],
    }
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{out.name}-", dir=out.parent) as folder:
        draft = Path(folder) / "draft"
        for index, mask in enumerate(masks):
            save_masks(mask, draft / str(index))
        drawn = overlay(decoded.frames, masks, colors)
        write_video(draft / "overlay.mp4", drawn, decoded.frames_per_second, decoded.waveform, decoded.sampling_rate)
        (draft / RESULT).write_text(json.dumps(summary, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
        if out.exists():
            os.replace(out, Path(folder) / "earlier")
        os.replace(draft, out)
    return summary


def _check_out(out: Path, overwrite: bool) -> None:
    ancestor = next(parent for parent in out.absolute().parents if parent.exists())
    if not ancestor.is_dir() or not os.access(ancestor, os.W_OK):
        raise ValueError(f"{out}: cannot be made, {ancestor} is not a folder one may write into")
    if out.exists() and not out.is_dir():
        raise ValueError(f"{out}: is a file; give a folder for the results")
    if not out.exists() or not any(out.iterdir()):
        return
    if not overwrite:
        raise ValueError(f"{out}: is not empty; choose another folder, or replace it with --overwrite")
    if not (out / RESULT).is_file():
        raise ValueError(f"{out}: holds other things than an earlier result and is not overwritten")


def _device(name: str | None) -> torch.device:
    try:
        device = torch.device(name or ("cuda" if torch.cuda.is_available() else "cpu"))
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        raise ValueError(
            f"device {name!r} cannot be used here; 'cpu' always can, and 'cuda' where there is a GPU"
        ) from error
    return device


@torch.inference_mode()
def _segment(
    model: torch.nn.Module, processor: Callable, clip: Clip, texts: Sequence[str]
) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Masks bool `[E, T, H, W]` and the scores the model gives, by name, each with a leading `E`."""
    inputs = processor(clip.frames, clip.waveform, list(texts) or None, sampling_rate=clip.sampling_rate)
    outputs = model(**inputs.to(model.device))
    masks = processor.post_process_masks(outputs.pred_masks, inputs["original_sizes"])[0]
    scores = {
        "object_score_logits": outputs.object_score_logits,
        "iou_scores": outputs.iou_scores,
        "presence_logit": outputs.presence_logits,
    }
    return (
        masks.reshape(-1, *clip.frames.shape[:3]).cpu().numpy(),
        {name: values[0].double().cpu().numpy() for name, values in scores.items() if values is not None},
    )
