"""Train the methods that hear and see only on the same synthetic data for as many steps, and compare them.

    python examples/compare.py --out runs/compare

AuralSAM2, SAMA-AVS and GAVS build on the shipped SAM2 host, ST-BAVA on a tiny SAM taught from clicks, AVSegFormer
and TPAVI on an untrained PVT v2; all hear with the VGGish of the shipped SAM2-LOVE. SAM2-LOVE itself is left out: it
answers sentences, of which AVSBench has none, and its shipped checkpoint was trained on other clips for longer.

Each learns in single frames first, then from clips.

Writes `comparison.md`, `comparison.html`, `comparison.svg` and `comparison.json`, and for each method `scores.json`,
`training_log.json` and the model. A method that is in the output folder already is not trained again. Each one runs in
a process of its own, so that its peak memory is its own.
"""

import argparse
import json
import resource
import statistics
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from html import escape
from multiprocessing import get_context
from pathlib import Path

import torch
from datasets import Dataset
from demo.page import SCORES_NOTE, section, write_page
from tiny.avs_training import FRAMES_PER_STEP, train_method, write_clips
from tiny.models import HOSTS, METHODS, SHIPPED, fresh_model, save_host, save_pyramid, stereo_vggish
from tiny.sam_host import train_sam
from tiny.scores import Clips, score_clips

from lavseg import ClipCollator
from lavseg.checkpoint import load_checkpoint
from lavseg.cli.one_line_errors import one_line_errors
from lavseg.modeling.base import AudioVisualPreTrainedModel

TIMED_CLIPS = 8
COLUMNS = (
    "method",
    "host",
    "J, one sound",
    "F, one sound",
    "J, several sounds",
    "F, several sounds",
    "S in silence",
    "parameters trained",
    "seconds per clip",
    "peak memory, MB",
    "minutes of training",
)
NOTE = (
    "S is the root of the share of pixels marked where the sound is replaced by silence, both kinds of clips together; "
    "0 is perfect. Seconds are those of the model alone for a clip of five frames of 128x128, the median of several. "
    "Peak memory is that of the process that trains and scores. The SAM that ST-BAVA builds on was taught from clicks "
    "before, and so was the SAM2 of others, which does not count; the PVT v2 of AVSegFormer and TPAVI starts untrained."
)
# What every method of a table has in common.
SETTINGS = ("clips", "seed", "frame_steps", "steps", "sam_steps")


def compare(arguments: argparse.Namespace) -> list[dict]:
    """Train and score every method; returns what is in `comparison.json`."""
    output = arguments.out
    keep_settings(output / "settings.json", {name: getattr(arguments, name) for name in SETTINGS})
    load_clips(arguments)
    if any(HOSTS[method] == "SAM" for method in arguments.methods) and not (output / "sam" / "config.json").is_file():
        train_sam(arguments.seed, steps=arguments.sam_steps)[0].save_pretrained(output / "sam")
    found = []
    for method in arguments.methods:
        path = output / method / "scores.json"
        if not path.is_file():
            with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as process:
                scores = process.submit(run_method, method, arguments).result()
            path.write_text(json.dumps(scores, indent=1, allow_nan=False) + "\n", encoding="utf-8")
        found.append(json.loads(path.read_text(encoding="utf-8")))
        print(json.dumps(found[-1], allow_nan=False), flush=True)
    (output / "comparison.json").write_text(json.dumps(found, indent=1, allow_nan=False) + "\n", encoding="utf-8")
    write_comparison(output, found, arguments.frame_steps, arguments.steps)
    return found


def keep_settings(path: Path, settings: dict[str, int]) -> None:
    """Write down what is asked for, or refuse where the folder was begun with something else."""
    if path.is_file() and (earlier := json.loads(path.read_text(encoding="utf-8"))) != settings:
        raise ValueError(f"out: {path.parent} was begun with {earlier}, not {settings}; choose another folder")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(settings) + "\n", encoding="utf-8")


def load_clips(arguments: argparse.Namespace) -> Clips:
    clips = arguments.clips
    counts = {"train": clips, "val": max(2, clips // 40), "test": max(2, clips // 12)}
    return write_clips(arguments.out / "data", counts, arguments.seed)


def run_method(method: str, arguments: argparse.Namespace) -> dict:
    """Train and score one method; returns what is in its `scores.json`."""
    folder, clips = arguments.out / method, load_clips(arguments)
    shipped, _ = load_checkpoint(arguments.model)
    hosts = {
        "SAM": lambda: arguments.out / "sam",
        "SAM2": lambda: save_host(shipped.sam2, folder / "sam2"),
        "PVT v2": lambda: save_pyramid(folder / "pvt_v2", arguments.seed),
    }
    host = hosts[HOSTS[method]]()
    model, processor = fresh_model(method, host, stereo_vggish(shipped.audio_encoder), arguments.seed)
    collator, steps = ClipCollator(processor), {"frame_steps": arguments.frame_steps, "steps": arguments.steps}
    _, minutes = train_method(model, processor, clips, folder, **steps, seed=arguments.seed)
    return {
        "method": method,
        "host": HOSTS[method],
        **score_clips(model, collator, clips),
        "parameters_trained": model.num_parameters(only_trainable=True),
        "seconds_per_clip": round(seconds_per_clip(model, collator, clips["single"]["test"]), 4),
        "peak_memory_mb": round(peak_memory()),
        "training_minutes": minutes,
        **steps,
    }


@torch.inference_mode()
def seconds_per_clip(model: AudioVisualPreTrainedModel, collator: ClipCollator, rows: Dataset) -> float:
    """Median time that the model, without the processor, takes for one clip."""
    model.eval()
    times = []
    for row in rows.select(range(min(TIMED_CLIPS, len(rows)))):
        inputs = collator([row]).to(model.device)
        del inputs["labels"], inputs["label_mask"]
        began = time.perf_counter()
        model(**inputs).pred_masks.cpu()
        times.append(time.perf_counter() - began)
    return statistics.median(times)


def peak_memory() -> float:
    """Of this process, in MB: the GPU's memory where there is one, else main memory."""
    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated() / 2**20
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (2**20 if sys.platform == "darwin" else 2**10)


def write_comparison(output: Path, found: list[dict], frame_steps: int, steps: int) -> None:
    """Write the table as Markdown and as a page, and the plot in both."""
    plot, rows = bar_plot(found), [table_row(scores) for scores in found]
    frames = f"{frame_steps} steps of {FRAMES_PER_STEP} single frames"
    budget = f"Every method was trained for {frames} and {steps} of 16 clips."
    lines = [" | ".join(row) for row in (COLUMNS, ["---"] * len(COLUMNS), *rows)]
    table = "\n".join(f"| {line} |" for line in lines)
    notes = f"{SCORES_NOTE.replace('<code>', '`').replace('</code>', '`')} {NOTE}"
    (output / "comparison.svg").write_text(plot + "\n", encoding="utf-8")
    (output / "comparison.md").write_text(
        f"# Methods on synthetic clips\n\n{budget}\n\n{table}\n\n{notes}\n\n![J of the methods](comparison.svg)\n",
        encoding="utf-8",
    )
    head = "".join(f"<td>{escape(column)}</td>" for column in COLUMNS)
    body = "".join(f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in row)}</tr>" for row in rows)
    html = f'<div style="overflow-x:auto"><table><tr>{head}</tr>{body}</table></div>'
    sections = [section("Scores and cost", f"{SCORES_NOTE} {NOTE}", html), section("J of the methods", "", plot)]
    write_page(output / "comparison.html", "comparison", f"Which object sounds? {budget}", sections)


def table_row(scores: dict) -> list[str]:
    """The cells of a method's row, in the order of `COLUMNS`."""
    sounding = [f"{scores[part][name]:.3f}" for part in ("single", "multi") for name in ("jaccard", "f_score")]
    silent = statistics.mean(scores[f"{part}_silent"]["s"] for part in ("single", "multi"))
    return [
        scores["method"],
        scores["host"],
        *sounding,
        f"{silent:.3f}",
        f"{scores['parameters_trained']:,}",
        f"{scores['seconds_per_clip']:.3f}",
        f"{scores['peak_memory_mb']:,}",
        f"{scores['training_minutes']:.1f}",
    ]


def bar_plot(found: list[dict]) -> str:
    """J of each method on clips with one sound and with several, as SVG."""
    left, top, width, bar, gap = 100, 34, 420, 16, 14
    parts = [
        "<style>text{font:12px sans-serif;fill:#66708a}.single{fill:#0072b2}.multi{fill:#e69f00}</style>",
        f'<rect class="single" x="{left}" y="8" width="12" height="12"/><text x="{left + 18}" y="18">one sound</text>',
        f'<rect class="multi" x="{left + 110}" y="8" width="12" height="12"/>',
        f'<text x="{left + 128}" y="18">several sounds</text>',
    ]
    for index, scores in enumerate(found):
        y = top + index * (2 * bar + gap)
        parts.append(f'<text x="{left - 8}" y="{y + bar + 4}" text-anchor="end">{escape(scores["method"])}</text>')
        for number, part in enumerate(("single", "multi")):
            jaccard, place = scores[part]["jaccard"], y + number * bar
            parts.append(
                f'<rect class="{part}" x="{left}" y="{place}" width="{jaccard * width:.1f}" height="{bar - 2}"/>'
            )
            parts.append(f'<text x="{left + jaccard * width + 6:.1f}" y="{place + bar - 4}">{jaccard:.3f}</text>')
    size = f'viewBox="0 0 {left + width + 60} {top + len(found) * (2 * bar + gap)}"'
    return f'<svg xmlns="http://www.w3.org/2000/svg" {size} role="img">{"".join(parts)}</svg>'


def main(argv: list[str]) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True, help="folder to write")
    parser.add_argument("--methods", nargs="+", default=list(METHODS), choices=METHODS)
    parser.add_argument("--model", type=Path, default=SHIPPED, help="SAM2-LOVE, for its SAM2 and VGGish")
    parser.add_argument("--frame_steps", type=int, default=600, help="of each method, 48 single frames each")
    parser.add_argument("--steps", type=int, default=100, help="of each method, 16 clips each")
    parser.add_argument("--sam_steps", type=int, default=600, help="of the SAM that ST-BAVA builds on")
    parser.add_argument("--clips", type=int, default=800, help="training clips of each subset")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args(argv)
    with one_line_errors("compare.py"):
        compare(arguments)


if __name__ == "__main__":
    main(sys.argv[1:])
