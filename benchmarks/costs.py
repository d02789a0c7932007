"""What the methods cost: a table of times and peak memory for each, beside SAM2 alone and the released code.

    python benchmarks/costs.py
    python benchmarks/costs.py --only 'aural_sam2/tiny/*' 'sam2_love/*/ours x6/float32'
    python benchmarks/costs.py --image-size 128 --frames 2 --only '*/tiny/*' --results runs/small_costs.jsonl

Its cells are `method/host/arm/precision`. Each runs in a process of its own, one after the other, after a warm-up with
a clip of two frames; weights and inputs are random. Results are added to `--results`, and a cell that is there is not
run again: what was stopped goes on where it was. One that dies, as for memory, is in the table as that. Of the arms

- `ours x1` and `ours x6` segment a clip for one sentence and for six, without gradient,
- `click` is SAM2 alone, which tracks a click through the same clip: the cells of the method `sam2`,
- `sound` is the method without text, AuralSAM2 in its released behaviour,
- `released` is the same network as AuralSAM2's released code computes it, over the original `sam2` package: see
  `released_aural_sam2.py`,
- `step` is forward, backward and update for one sentence, with gradient checkpointing, labels at the input's size.

Seconds are per frame: `encoder` of images, with what a method adds inside of it, `tracking` with prompts, decoder and
memory, and `fusion`, all the rest.
Peak memory is the process's largest resident set, weights included, and on a GPU what was allocated at most. bfloat16
is autocast.
"""

import argparse
import resource
import sys
import time
from contextlib import contextmanager, nullcontext
from fnmatch import fnmatch
from importlib.util import find_spec
from pathlib import Path

import torch
from cells import run_cells

from lavseg.backbones.adapted_sam.base_adapted_sam import AdaptedSamModel
from lavseg.backbones.sam.configuration_sam import vit_sam_config
from lavseg.backbones.sam2 import key_frame_tracking
from lavseg.backbones.sam2.configuration_sam2 import hiera_sam2_config
from lavseg.backbones.sam2.key_frame_tracking import KeyFrameTracker
from lavseg.backbones.sam2.modeling_sam2 import Sam2Backbone
from lavseg.models.aural_sam2 import AuralSam2Config, AuralSam2Model, modeling_aural_sam2
from lavseg.models.gavs import GavsConfig, GavsModel
from lavseg.models.sam2_love import Sam2LoveConfig, Sam2LoveModel
from lavseg.models.sama_avs import SamaAvsConfig, SamaAvsModel
from lavseg.models.st_bava import StBavaConfig, StBavaModel

CLASSES = {
    "aural_sam2": (AuralSam2Config, AuralSam2Model),
    "sam2_love": (Sam2LoveConfig, Sam2LoveModel),
    "gavs": (GavsConfig, GavsModel),
    "sama_avs": (SamaAvsConfig, SamaAvsModel),
    "st_bava": (StBavaConfig, StBavaModel),
}
HOSTS = ("tiny", "base_plus", "large")  # Hiera
# On the hosts they were published with, without text, and those that can on SAM2 with it.
ARMS = {
    "sam2": dict.fromkeys(HOSTS, ("click",)),
    "aural_sam2": dict.fromkeys(HOSTS, ("ours x1", "ours x6", "sound", "released", "step")),
    "sam2_love": dict.fromkeys(HOSTS, ("ours x1", "ours x6", "step")),
    "gavs": {"vit_base": ("sound", "step"), **dict.fromkeys(HOSTS, ("ours x1", "ours x6"))},
    "sama_avs": {"vit_huge": ("sound", "step"), **dict.fromkeys(HOSTS, ("ours x1", "ours x6"))},
    "st_bava": {"vit_huge": ("sound", "step")},
}
PRECISIONS = ("float32", "bfloat16")
PARTS = ("encoder", "fusion", "tracking")
WORDS = 8
DEVICE = "cuda" if torch.cuda.is_available() else "cpu"


class Clock:
    """Seconds by name; what is measured inside of something else does not count there."""

    def __init__(self):
        self.seconds = {}
        self._running = []

    @contextmanager
    def measure(self, name):
        synchronize()
        start = time.perf_counter()
        self._running.append(0.0)
        yield
        synchronize()
        spent = time.perf_counter() - start
        self.seconds[name] = self.seconds.get(name, 0.0) + spent - self._running.pop()
        if self._running:
            self._running[-1] += spent

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


def make_config(method, host, image_size, **fields):
    """The published configuration on a host."""
    sam = vit_sam_config(host.removeprefix("vit_"), image_size) if host.startswith("vit_") else None
    name = "sam2_config" if method in ("aural_sam2", "sam2_love") else "sam_config"
    return CLASSES[method][0](**{name: sam or hiera_sam2_config(host, image_size)}, **fields)


def make_clip(config, frames, sentences):
    """Random inputs of a clip, without text where `sentences` is 0."""
    generator = torch.Generator().manual_seed(0)

    def draw(*shape):
        return torch.randn(1, frames, *shape, generator=generator).to(DEVICE)

    size, love = image_size(config), isinstance(config, Sam2LoveConfig)
    channels = 2 if isinstance(config, AuralSam2Config) else 1
    clip = {"pixel_values": draw(3, size, size), "input_features": draw(channels, 96, 64)}
    if love:
        edge = config.vision_config.image_size
        clip["vit_pixel_values"] = draw(3, edge, edge)
    if sentences:
        clip["input_ids"] = torch.randint(5, 100, (1, sentences, WORDS), generator=generator).to(DEVICE)
    return clip


def image_size(config):
    """Edge of the square frames in pixels."""
    host = config.sam2_config if hasattr(config, "sam2_config") else config.sam_config
    return host.prompt_encoder_config.image_size


def track_click(sam2, pixels):
    """SAM2 follows a click on the first frame."""
    point = torch.full((1, 1, 1, 2), pixels.shape[-1] / 2, device=DEVICE)
    click = sam2.prompt_encoder(point, torch.ones(1, 1, 1, dtype=torch.int32, device=DEVICE), None, None)[0]
    return KeyFrameTracker(sam2, pixels, [pixels.shape[1]], [0], click[:, 0]).segment([0])


def make_click_run(config, frames, clock):
    """As `make_run`, of the SAM2 that a configuration names."""
    sam2, edge = Sam2Backbone(config.sam2_config).eval().to(DEVICE), image_size(config)
    watch_tracker(clock)
    clips = [torch.randn(1, length, 3, edge, edge).to(DEVICE) for length in (2, frames)]
    return lambda pixels: track_click(sam2, pixels), clips


def make_step(model):
    """A step of training."""
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-4)
    model.gradient_checkpointing_enable()
    model.train()

    def step(clip):
        frames, size = clip["pixel_values"].shape[1], clip["pixel_values"].shape[-1]
        labels = torch.zeros(1, 1, frames, size, size, dtype=torch.uint8, device=DEVICE)
        labels[..., size // 4 : size // 2, size // 4 : size // 2] = 1
        model(**clip, labels=labels).loss.backward()
        optimizer.step()
        optimizer.zero_grad()

    return step


def watch_parts(clock, model):
    """Let the clock tell the image encoder and the tracking from the rest."""
    if isinstance(model, AdaptedSamModel):
        clock.watch(model, "encode", "encoder")
        for method in ("segment", "decode"):
            if hasattr(model.sam, method):
                clock.watch(model.sam, method, "tracking")
    track = modeling_aural_sam2.track_every_frame
    modeling_aural_sam2.track_every_frame = lambda *args, **kwargs: list(track(*args, **kwargs))
    clock.watch(modeling_aural_sam2, "track_every_frame", "tracking")
    clock.watch(modeling_aural_sam2, "encode_images", "encoder")
    watch_tracker(clock)


def watch_tracker(clock):
    for method in ("segment", "best_key_frames", "prompt"):
        clock.watch(KeyFrameTracker, method, "tracking")
    clock.watch(key_frame_tracking, "encode_images", "encoder")


def make_run(method, host, arm, image_size, frames, clock):
    """What an arm does with a clip, and two clips: one of two frames to warm up, and the one that counts."""
    if method == "sam2":
        return make_click_run(make_config("sam2_love", host, image_size), frames, clock)
    fields = {}
    if method == "aural_sam2" and arm in ("sound", "released"):
        fields = {"use_text": False, "behavior": "release"}
    elif method in ("gavs", "sama_avs") and arm.startswith("ours"):
        fields = {"use_text": True}
    config = make_config(method, host, image_size, **fields)
    reads = method == "sam2_love" or getattr(config, "use_text", False)
    sentences = (6 if arm == "ours x6" else 1) if reads else 0
    clips = [make_clip(config, length, sentences) for length in (2, frames)]
    if arm == "released":
        from released_aural_sam2 import ReleasedAuralSam2

        network = ReleasedAuralSam2(host, image_size).to(DEVICE)
        clock.watch(network.host.image_encoder, "forward", "encoder")
        clock.watch(network, "track", "tracking")
        return lambda clip: network(clip["pixel_values"][0], clip["input_features"][0]), clips
    model = CLASSES[method][1](config).eval().to(DEVICE)
    watch_parts(clock, model)
    if arm == "step":
        return make_step(model), clips
    return lambda clip: model(**clip), clips


def measure(method, host, arm, precision, image_size, frames):
    """Seconds per frame of the parts of a cell, and the peak memory of this process in MB."""
    torch.manual_seed(0)
    clock = Clock()
    run, (short, clip) = make_run(method, host, arm, image_size, frames, clock)
    gradient = nullcontext() if arm == "step" else torch.no_grad()
    with gradient, torch.autocast(DEVICE, torch.bfloat16, enabled=precision == "bfloat16"):
        run(short)
        clock.seconds.clear()
        with clock.measure("fusion"):
            run(clip)
    if DEVICE == "cuda":
        peak, device = torch.cuda.max_memory_allocated() / 2**20, torch.cuda.get_device_name()
    else:
        peak, device = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10, "cpu"
    parts = {name: round(clock.seconds.get(name, 0.0) / frames, 4) for name in PARTS}
    return {**parts, "peak_mb": round(peak), "device": device, "threads": torch.get_num_threads()}


def name_of(cell):
    return "/".join(cell[name] for name in ("method", "host", "arm", "precision"))


def choose_cells(only, image_size, frames):
    """The cells whose names match one of the patterns `only`."""
    cells = [
        {"method": method, "host": host, "arm": arm, "precision": precision, "image_size": image_size, "frames": frames}
        for method, hosts in ARMS.items()
        for host, arms in hosts.items()
        for precision in PRECISIONS
        for arm in arms
    ]
    return [cell for cell in cells if any(fnmatch(name_of(cell), pattern) for pattern in only)]


def tables(reports):
    """Markdown, a table for each method: a row for each cell."""
    totals = {name_of(report): sum(report[part] for part in PARTS) for report in reports if "died" not in report}
    lines = []
    for method in ARMS:
        rows = [report for report in reports if report["method"] == method]
        if rows:
            columns = ("host", "arm", "precision", *PARTS, "frames per second", "a further sentence", "to SAM2")
            lines += ["", f"## {method}", "", _row([*columns, "to released", "peak memory, MB"])]
            lines += [_row(["---"] * (len(columns) + 2)), *(_row(_values(report, totals)) for report in rows)]
    return "\n".join(lines[1:])


def _row(values):
    return f"| {' | '.join(values)} |"


def _values(report, totals):
    """What a row says: ratios where the other cell is there, too."""
    known = [report["host"], report["arm"], report["precision"]]
    if "died" in report:
        return [*known, report["died"], *[""] * 7]

    def total(arm, method=report["method"]):
        return totals.get(name_of({**report, "method": method, "arm": arm}))

    own, one, alone = total(report["arm"]), total("ours x1"), total("click", "sam2")
    further = f"{(own - one) / 5 / one:.3f}" if report["arm"] == "ours x6" and one else ""
    compared = ((alone, ("ours x1", "sound")), (total("released"), ("sound",)))
    ratios = [f"{own / other:.2f}" if other and report["arm"] in arms else "" for other, arms in compared]
    seconds = [f"{report[part]:.2f}" for part in PARTS]
    return [*known, *seconds, f"{1 / own:.3f}", further, *ratios, str(report["peak_mb"])]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="+", default=["*"], help="patterns of names of cells")
    parser.add_argument(
        "--results", type=Path, default=Path("runs/costs.jsonl"), help="file that keeps what was measured"
    )
    parser.add_argument("--image-size", type=int, default=1024)
    parser.add_argument("--frames", type=int, default=10, help="of a clip")
    given = parser.parse_args()
    cells = choose_cells(given.only, given.image_size, given.frames)
    if not cells:
        parser.error(f"--only: no cell is named so: {' '.join(given.only)}; names are like sam2_love/tiny/step/float32")
    if find_spec("sam2") is None and any(cell["arm"] == "released" for cell in cells):
        print("released is left out: the original sam2 package is missing, pip install -e '.[sam2]'", file=sys.stderr)
        cells = [cell for cell in cells if cell["arm"] != "released"]
    print(tables(run_cells(cells, measure, given.results)))


if __name__ == "__main__":
    main()
