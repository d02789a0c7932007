"""Peak memory and time of `segment_file` on clips of growing length: memory has to stay flat."""

import argparse
import json
import resource
import tempfile
import time
from pathlib import Path

import numpy as np
from cells import in_own_process

from lavseg.data import render_clip
from lavseg.media import write_video

SECONDS_PER_SCENE = 10
RATE = 16000


def write_clip(path: Path, seconds: int, fps: int, size: tuple[int, int]) -> None:
    """One scene after the other, each frame shown for as long as the rate asks."""
    scenes = [
        render_clip(np.random.default_rng(seed), SECONDS_PER_SCENE, size)
        for seed in range(seconds // SECONDS_PER_SCENE)
    ]
    frames = (frame for scene in scenes for frame in scene.frames for _ in range(fps))
    write_video(path, frames, fps, np.concatenate([scene.waveform for scene in scenes], axis=1), RATE)


def measure(clip: Path, model: str, out: Path, fps: float | None) -> dict[str, float]:
    """Segment a clip in this process and report its own peak memory."""
    from transformers.utils import logging

    from lavseg.inference.segment_file import segment_file

    logging.disable_progress_bar()
    begin = time.perf_counter()
    summary = segment_file(clip, ["the trumpet"], model, out, fps=fps, mask_format="rle")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    frames = len(summary["frame_times"])
    return {"frames": frames, "peak_mib": round(peak), "seconds": round(time.perf_counter() - begin, 1)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="examples/sam2-love-tiny", help="folder or Hub id of a checkpoint")
    parser.add_argument("--minutes", type=float, nargs="+", default=[1, 5, 10])
    parser.add_argument("--clip_fps", type=int, default=5, help="frames per second of the clips")
    parser.add_argument("--fps", type=float, help="frames per second to segment; by default the method's own")
    parser.add_argument("--height", type=int, default=240, help="with --width 1920, 1080 measures full HD")
    parser.add_argument("--width", type=int, default=320)
    arguments = parser.parse_args()
    for minutes in arguments.minutes:
        with tempfile.TemporaryDirectory() as folder:
            clip = Path(folder) / "clip.mp4"
            in_own_process(
                write_clip, clip, round(60 * minutes), arguments.clip_fps, (arguments.height, arguments.width)
            )
            result = in_own_process(measure, clip, arguments.model, Path(folder) / "out", arguments.fps)
            print(json.dumps({"minutes": minutes, **result}), flush=True)


if __name__ == "__main__":
    main()
