"""Segment a video from Python: masks as they are made, a contact sheet, and two models side by side.

python examples/segment_clip.py examples/clips/band.mp4 --text "the guitar on the right" \
    --model examples/sam2-love-tiny --out runs/guitar
"""

import argparse
import sys
from collections.abc import Iterator, Sequence
from itertools import chain, islice
from pathlib import Path

import numpy as np
import torch
from transformers.utils import logging

from lavseg.checkpoint import load_checkpoint
from lavseg.cli.one_line_errors import one_line_errors
from lavseg.inference.frame_predictions import SegmentedFrame
from lavseg.inference.segment_video import segment_video
from lavseg.media import VideoWriter
from lavseg.visualization import MaskVideo, mask_sheet, side_by_side

# Pictures on a contact sheet, and how many of them in a row.
PICTURES, COLUMNS = 20, 5


def segment(
    checkpoint: str, clip: Path, texts: Sequence[str], fps: float
) -> tuple[Iterator[SegmentedFrame], Sequence[str]]:
    """Frames of the clip with their masks, each as soon as it is known, whatever the clip's length, and what the masks
    show: the texts, or what sounds for a model that does not read."""
    model, processor = load_checkpoint(checkpoint)
    model = model.to("cuda" if torch.cuda.is_available() else "cpu")
    frames = segment_video(model, processor, clip, texts if processor.needs_text else (), fps)
    # What cannot be used shows by the first frame, before anything is written.
    return chain([next(frames)], frames), texts if processor.needs_text else ["sounding objects"]


def write_contact_sheet(frames: Sequence[SegmentedFrame], meant: Sequence[str], path: Path) -> None:
    """A picture of some frames, with what the masks show, the sound, and the second each frame appears at."""
    pictures, masks = np.stack([frame.part.frame for frame in frames]), np.stack([frame.masks for frame in frames], 1)
    times, sounds = [f"{frame.part.time:.1f} s" for frame in frames], [frame.part.waveform for frame in frames]
    mask_sheet(pictures, masks, meant, times, COLUMNS, sounds).save(path)


def write_comparison(
    pairs: Iterator[tuple[SegmentedFrame, SegmentedFrame]],
    names: Sequence[str],
    meant: Sequence[str],
    path: Path,
    fps: float,
    sampling_rate: int,
) -> float:
    """A video of both models' masks over the same frames; returns the mean IoU of the two models' first masks."""
    agreement, video = [], MaskVideo(meant, fps)
    with VideoWriter(path, fps, sampling_rate) as writer:
        for first, second in pairs:
            pair = side_by_side(first.part.frame, [first.masks, second.masks], names)
            writer.write(video.caption(np.asarray(pair), first.part.waveform), first.part.waveform)
            union = (first.masks[0] | second.masks[0]).sum()
            agreement.append((first.masks[0] & second.masks[0]).sum() / union if union else 1.0)
    return float(np.mean(agreement))


def main(argv: list[str]) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("clip", type=Path, help="video file with sound")
    parser.add_argument("--text", action="append", default=[], help="which object is meant; again for further ones")
    parser.add_argument("--model", required=True, help="folder or Hub id of a checkpoint")
    parser.add_argument("--compare", help="another checkpoint, to see both side by side")
    parser.add_argument("--fps", type=float, default=1.0, help="frames per second, up to the clip's own")
    parser.add_argument("--out", type=Path, required=True, help="folder to write")
    arguments = parser.parse_args(argv)
    logging.disable_progress_bar()
    with one_line_errors("segment_clip.py"):
        run(arguments)


def run(arguments: argparse.Namespace) -> None:
    names = [name for name in (arguments.model, arguments.compare) if name]
    (frames, meant), *others = [segment(name, arguments.clip, arguments.text, arguments.fps) for name in names]
    shown = list(islice(frames, PICTURES))
    arguments.out.mkdir(parents=True, exist_ok=True)
    write_contact_sheet(shown, meant, arguments.out / "contact_sheet.png")
    areas = np.stack([frame.masks.mean((1, 2)) for frame in shown], axis=1)
    for text, area in zip(meant, areas, strict=True):
        seen, share = (area > 0).sum(), 100 * area.mean()
        found = f"in {seen} of {len(shown)} frames, {share:.1f} % of the picture" if seen else "not found"
        print(f"{text}: {found}")
    for other, _ in others:
        path = arguments.out / "comparison.mp4"
        pairs = zip(chain(shown, frames), other, strict=True)
        agreement = write_comparison(
            pairs, [Path(name).name for name in names], meant, path, arguments.fps, shown[0].part.sampling_rate
        )
        print(f"{path}: the two models' masks overlap by {100 * agreement:.0f} %")


if __name__ == "__main__":
    main(sys.argv[1:])
