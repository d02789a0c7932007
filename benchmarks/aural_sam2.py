"""What AuralSAM2 costs: seconds per frame of its parts, peak memory, and the whole beside SAM2 alone.

    python benchmarks/aural_sam2.py --hosts tiny base_plus large --frames 5 10 --dtypes float32 bfloat16
    python benchmarks/aural_sam2.py --hosts tiny --image-size 256 --frames 5

Prints one JSON line for every host, clip length and precision. Weights and inputs are random, sound alone prompts, the
behaviour is the released one. Each arm runs in a process of its own, after a warm-up with a clip of two frames:

- `forward`: a clip without gradient; `encoder`, `fuser` (VGGish included) and `tracking` are its parts.
- `released`: the same network as the released code computes it, over the original `sam2` package, which has to be
  installed: see `released_aural_sam2.py`.
- `sam2`: the host alone tracks a click through the same clip.
- `step`: forward, backward and one update of the fuser, labels at the input's size, the image encoder without gradient.

`over_sam2` is `forward` over `sam2`, `of_released` is `forward` over `released`. Peak memory is the process's largest
resident set, weights included, and on a GPU what was allocated at most. That `forward` and `released` compute the same
is tested in `tests/benchmarks`.
"""

import argparse
import json
import resource
import time
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager, nullcontext
from importlib.util import find_spec
from multiprocessing import get_context

import torch

from lavseg.backbones.sam2.configuration_sam2 import hiera_sam2_config
from lavseg.backbones.sam2.key_frame_tracking import KeyFrameTracker
from lavseg.models.aural_sam2 import AuralSam2Config, AuralSam2Model, modeling_aural_sam2

ARMS = ("forward", "released", "sam2", "step")
DEVICE = "cuda" if torch.cuda.is_available() else "cpu"


class Clock:
    """Seconds by name."""

    def __init__(self):
        self.seconds = {}

    @contextmanager
    def measure(self, name):
        synchronize()
        start = time.perf_counter()
        yield
        synchronize()
        self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - start

    def watch(self, owner, method, name):
        """Count the time that a function of `owner` takes."""
        function = getattr(owner, method)

        def measured(*args, **kwargs):
            with self.measure(name):
                return function(*args, **kwargs)

        setattr(owner, method, measured)


def synchronize():
    if DEVICE == "cuda":
        torch.cuda.synchronize()


def make_clip(size, frames):
    generator = torch.Generator().manual_seed(0)
    clip = {
        "pixel_values": torch.randn(1, frames, 3, size, size, generator=generator),
        "input_features": torch.randn(1, frames, 2, 96, 64, generator=generator),
    }
    return {name: value.to(DEVICE) for name, value in clip.items()}


def track_alone(model, clip):
    """SAM2 follows a click on the first frame."""
    pixels = clip["pixel_values"]
    point = torch.full((1, 1, 1, 2), pixels.shape[-1] / 2, device=DEVICE)
    click = model.sam2.prompt_encoder(point, torch.ones(1, 1, 1, dtype=torch.int32, device=DEVICE), None, None)[0]
    return KeyFrameTracker(model.sam2, pixels, [pixels.shape[1]], [0], click[:, 0]).segment([0])


def make_step(model):
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-4)
    model.train()

    def step(clip):
        frames, size = clip["pixel_values"].shape[1], clip["pixel_values"].shape[-1]
        labels = torch.zeros(1, frames, size, size, dtype=torch.uint8, device=DEVICE)
        labels[..., size // 4 : size // 2, size // 4 : size // 2] = 1
        model(**clip, labels=labels).loss.backward()
        optimizer.step()
        optimizer.zero_grad()

    return step


def ours(model, clock):
    """Our forward pass; the clock tells its parts."""
    track = modeling_aural_sam2.track_every_frame
    modeling_aural_sam2.track_every_frame = lambda *args, **kwargs: list(track(*args, **kwargs))
    clock.watch(modeling_aural_sam2, "track_every_frame", "tracking")
    clock.watch(model, "_encode_frames", "encoder")
    clock.watch(model, "_encode_audio", "fuser")
    clock.watch(model.fuser, "forward", "fuser")
    return lambda clip: model(**clip)


def released(host, size, clock):
    """The released code's forward pass; the clock tells its parts."""
    from released_aural_sam2 import ReleasedAuralSam2

    network = ReleasedAuralSam2(host, size).to(DEVICE)
    clock.watch(network.host.image_encoder, "forward", "encoder")
    clock.watch(network.fuser, "forward", "fuser")
    clock.watch(network, "track", "tracking")
    return lambda clip: network(clip["pixel_values"][0], clip["input_features"][0])


def make_run(arm, host, size, clock):
    """What an arm does with a clip."""
    if arm == "released":
        return released(host, size, clock)
    config = AuralSam2Config(sam2_config=hiera_sam2_config(host, size), use_text=False, behavior="release")
    model = AuralSam2Model(config).eval().to(DEVICE)
    if arm == "forward":
        return ours(model, clock)
    return make_step(model) if arm == "step" else lambda clip: track_alone(model, clip)


def run_arm(arm, host, size, frames, dtype, repeats):
    """Best of `repeats` runs of one arm, in seconds per frame, and the peak memory of this process in MB."""
    torch.manual_seed(0)
    clock = Clock()
    run = make_run(arm, host, size, clock)
    gradient = nullcontext() if arm == "step" else torch.no_grad()
    best = None
    with gradient, torch.autocast(DEVICE, torch.bfloat16, enabled=dtype == "bfloat16"):
        run(make_clip(size, 2))
        clip = make_clip(size, frames)
        for _ in range(repeats):
            clock.seconds.clear()
            with clock.measure("total"):
                run(clip)
            if best is None or clock.seconds["total"] < best["total"]:
                best = dict(clock.seconds)
    parts = {name: round(seconds / frames, 4) for name, seconds in best.items()}
    if DEVICE == "cuda":
        peak = torch.cuda.max_memory_allocated() / 2**20
    else:
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10
    return {**parts, "peak_memory_mb": round(peak)}


def in_own_process(*arguments):
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(run_arm, *arguments).result()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--hosts", nargs="+", default=["tiny"], choices=["tiny", "small", "base_plus", "large"])
    parser.add_argument("--image-size", type=int, default=1024)
    parser.add_argument("--frames", nargs="+", type=int, default=[5], help="of a clip")
    parser.add_argument("--dtypes", nargs="+", default=["float32"], choices=["float32", "bfloat16"])
    parser.add_argument("--arms", nargs="+", default=ARMS, choices=ARMS)
    parser.add_argument("--repeats", type=int, default=1, help="runs of each arm, of which the fastest counts")
    given = parser.parse_args()
    if "released" in given.arms and find_spec("sam2") is None:
        parser.error("--arms: released runs on the original sam2 package; install it: pip install -e '.[sam2]'")
    for host in given.hosts:
        for frames in given.frames:
            for dtype in given.dtypes:
                report = {"host": host, "image_size": given.image_size, "frames": frames, "dtype": dtype}
                report |= {"device": DEVICE, "threads": torch.get_num_threads()}
                for arm in given.arms:
                    report[arm] = in_own_process(arm, host, given.image_size, frames, dtype, given.repeats)
                for name, other in (("over_sam2", "sam2"), ("of_released", "released")):
                    if "forward" in report and other in report:
                        report[name] = round(report["forward"]["total"] / report[other]["total"], 3)
                print(json.dumps(report, allow_nan=False), flush=True)


if __name__ == "__main__":
    main()
