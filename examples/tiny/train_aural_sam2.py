"""Train a tiny AuralSAM2 on synthetic AVSBench clips, in both of its behaviours, on two CPU cores.

    python examples/train_tiny.py --method aural-sam2 --out runs/aural-sam2-tiny

The encoders are the shipped ones: the SAM2 host, and the VGGish of the shipped SAM2-LOVE. The fuser starts untrained.
It learns in single frames which object sounds (`single_frames.py`), then from clips in which one object sounds (V1s,
the first frame labelled) and in which several do (V1m). For every behaviour the best checkpoint on the validation clips
of one sound is scored on test clips of both kinds, with their sound, in silence, and in bfloat16. A behaviour that is
in the output folder already is not trained again.

Writes `report.json`, and for each behaviour `training_log.json`, `curves.svg`, `examples.jpg` (rows: frames, truth,
prediction, prediction in silence) and the model.
"""

import argparse
import json
from pathlib import Path

import numpy as np
import torch

from lavseg.checkpoint import load_checkpoint
from lavseg.data import ClipCollator, row_masks
from lavseg.evaluation.evaluate_model import evaluate
from lavseg.models.aural_sam2 import AuralSam2Model
from lavseg.visualization import contact_sheet, overlay

from .avs_training import train_method, write_clips
from .charts import line_chart
from .hosts import save_host
from .models import SHIPPED, fresh_model, stereo_vggish
from .scores import SCORES, Clips, predict, score_clips, silencer, values

BEHAVIORS = ("release", "paper")
SHOWN_CLIPS = 3


def score_bf16(model: AuralSam2Model, collator: ClipCollator, clips: Clips) -> dict[str, dict]:
    """Scores of the test clips of both subsets, computed in bfloat16."""
    with torch.autocast(model.device.type, torch.bfloat16):
        return {
            f"{name}_bf16": values(evaluate(model, collator, splits["test"]), *SCORES) for name, splits in clips.items()
        }


def draw_examples(model: AuralSam2Model, collator: ClipCollator, clips: Clips, path: Path) -> None:
    """A sheet of some test clips: frames, truth, prediction, and prediction in silence, row by row; what is outside a
    mask is dark."""
    model.eval()
    silence, images = silencer(collator.processor), []
    for splits in clips.values():
        for row in splits["test"].select(range(min(SHOWN_CLIPS, len(splits["test"])))):
            frames = np.stack([np.asarray(frame.convert("RGB")) for frame in row["frames"]])
            masks = [row_masks(row).astype(bool), predict(model, collator, row), predict(model, collator, row, silence)]
            images += [*frames, *(frame for mask in masks for frame in overlay(frames, mask))]
    contact_sheet(images, columns=len(frames)).save(path, quality=80)


def draw_curves(log: dict[str, list[dict]], path: Path) -> None:
    """The losses on single frames and on clips, and J on validation clips of one sound, one chart above the other."""
    charts = [
        line_chart([(entry["step"], entry[name]) for entry in log[part] if name in entry], title)
        for part, name, title in (
            ("frames", "loss", "Training loss, single frames"),
            ("clips", "loss", "Training loss, clips"),
            ("clips", "eval_single_jaccard", "J on validation clips, one sound"),
        )
    ]
    style = (
        "<style>text{font:12px sans-serif}line{stroke:#ddd}polyline{fill:none;stroke:#0072b2;stroke-width:2}</style>"
    )
    placed = "".join(
        chart.replace("<svg", f'<svg y="{250 * index}" width="460" height="240" overflow="visible"')
        for index, chart in enumerate(charts)
    )
    size = f'width="480" height="{250 * len(charts)}"'
    path.write_text(f'<svg xmlns="http://www.w3.org/2000/svg" {size}>{style}{placed}</svg>\n', encoding="utf-8")


def run(arguments: argparse.Namespace) -> dict:
    """Train and score every behaviour; returns what is in `report.json`."""
    output, seed, report = arguments.out, arguments.seed, {}
    counts = {"train": arguments.clips, "val": max(2, arguments.clips // 40), "test": max(2, arguments.clips // 12)}
    clips = write_clips(output / "data", counts, seed)
    shipped, _ = load_checkpoint(arguments.model)
    host, vggish = save_host("SAM2", output / "sam2", shipped, seed, 0), stereo_vggish(shipped.audio_encoder)
    for behavior in arguments.behaviors:
        folder = output / behavior
        if not (folder / "scores.json").is_file():
            model, processor = fresh_model("aural-sam2", host, vggish, seed, behavior=behavior)
            collator, steps = ClipCollator(processor), {"frame_steps": arguments.frame_steps, "steps": arguments.steps}
            log, minutes = train_method(model, processor, clips, folder, **steps, seed=seed, on_log=print)
            draw_curves(log, folder / "curves.svg")
            draw_examples(model, collator, clips, folder / "examples.jpg")
            scores = {**score_clips(model, collator, clips), **score_bf16(model, collator, clips)}
            scores = {**steps, "minutes": minutes, **scores}
            (folder / "scores.json").write_text(json.dumps(scores, indent=1, allow_nan=False) + "\n", encoding="utf-8")
        report[behavior] = json.loads((folder / "scores.json").read_text(encoding="utf-8"))
        print(behavior, json.dumps(report[behavior], allow_nan=False), flush=True)
    (output / "report.json").write_text(json.dumps(report, indent=1, allow_nan=False) + "\n", encoding="utf-8")
    return report


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--out", type=Path, required=True, help="folder to write")
    parser.add_argument("--model", type=Path, default=SHIPPED, help="SAM2-LOVE, for its SAM2 and VGGish")
    parser.add_argument("--behaviors", nargs="+", default=BEHAVIORS, choices=BEHAVIORS)
    parser.add_argument("--frame_steps", type=int, default=1200, help="of each behaviour, 16 single frames each")
    parser.add_argument("--steps", type=int, default=200, help="of each behaviour, 16 clips each")
    parser.add_argument("--clips", type=int, default=800, help="training clips of each subset")
    parser.add_argument("--seed", type=int, default=0)
