"""Train a tiny AuralSAM2 on synthetic AVSBench clips, in both of its behaviours, on two CPU cores.

    python examples/train_aural_sam2.py --output runs/aural_sam2_tiny

The encoders are the shipped ones: the SAM2 host, and the VGGish of the shipped SAM2-LOVE. The fuser starts untrained
and learns from clips in which one object sounds (V1s, the first frame labelled) and in which several do (V1m). For
every behaviour the best checkpoint on the validation clips of one sound is scored on test clips of both kinds, with
their sound, in silence, and in bfloat16. A behaviour that is in the output folder already is not trained again.

Writes `report.json`, and for each behaviour `training_log.json`, `curves.svg`, `examples.jpg` (rows: frames, truth,
prediction, prediction in silence) and the model.
"""

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from datasets import Dataset, concatenate_datasets
from demo import silencer
from report import line_chart
from transformers import BatchFeature

from lavseg.data import ClipCollator, load_avsbench, row_masks, write_avsbench
from lavseg.inference.checkpoint import load_checkpoint
from lavseg.inference.evaluate import evaluate
from lavseg.metrics.protocols import AvsMetric
from lavseg.models.aural_sam2 import AuralSam2Config, AuralSam2Model, AuralSam2Processor
from lavseg.models.vggish import VggishConfig, VggishModel
from lavseg.training import LavsegTrainer, LavsegTrainingArguments
from lavseg.visualization import contact_sheet, overlay

HERE = Path(__file__).parent
SUBSETS = {"single": "v1s", "multi": "v1m"}
BEHAVIORS = ("release", "paper")
SHOWN_CLIPS = 3
SCORES = ("jaccard", "f_score", "j_and_f")


def write_clips(folder: Path, clips: int, seed: int) -> dict[str, dict[str, Dataset]]:
    """Splits of both subsets by name; what is there already is taken as it is."""
    if not folder.exists():
        counts = {"train": clips, "val": max(2, clips // 40), "test": max(2, clips // 12)}
        write_avsbench(folder, dict.fromkeys(SUBSETS.values(), counts), seed=seed)
    return {
        name: {split: load_avsbench(folder, subset, split) for split in ("train", "val", "test")}
        for name, subset in SUBSETS.items()
    }


def stereo_vggish(checkpoint: Path) -> VggishModel:
    """The VGGish of a tiny SAM2-LOVE, twice as wide: AuralSAM2 takes half of the host's width from each ear.

    Each output comes with its negative, so that the final ReLU loses nothing.
    """
    narrow = load_checkpoint(checkpoint)[0].audio_encoder
    state, size = narrow.state_dict(), narrow.config.embedding_size
    for name in ("embeddings.4.weight", "embeddings.4.bias"):
        state[name] = torch.cat([state[name], -state[name]])
    wide = VggishModel(VggishConfig(**{**narrow.config.to_dict(), "embedding_size": 2 * size}))
    wide.load_state_dict(state)
    return wide


def fresh_model(behavior: str, host: Path, ear: VggishModel, seed: int) -> AuralSam2Model:
    """An untrained fuser between the shipped encoders; its size is the same for both behaviours."""
    torch.manual_seed(seed)
    tiny = AuralSam2Config.tiny(use_text=False)
    sizes = ("visual_depths", "token_depths", "mlp_ratio", "fusion_size", "projection_size")
    return AuralSam2Model.from_backbones(
        str(host),
        audio=ear,
        use_text=False,
        behavior=behavior,
        dropout=0.0,
        contrastive_samples=32,
        **{name: getattr(tiny, name) for name in sizes},
    )


def train(
    model: AuralSam2Model,
    collator: ClipCollator,
    clips: dict[str, dict[str, Dataset]],
    folder: Path,
    steps: int,
    seed: int,
) -> list[dict]:
    """Train on both subsets and keep the weights that are best on validation clips; returns the Trainer's log."""
    every = max(1, steps // 10)
    trainer = LavsegTrainer(
        model=model,
        args=LavsegTrainingArguments(
            output_dir=folder / "training",
            max_steps=steps,
            per_device_train_batch_size=16,
            per_device_eval_batch_size=8,
            learning_rate=1e-3,
            audio_learning_rate_factor=0.1,
            weight_decay=0.01,
            lr_scheduler_type="polynomial",
            lr_scheduler_kwargs={"power": 0.9, "lr_end": 0.0},
            warmup_steps=min(50, every),
            max_grad_norm=1.0,
            logging_steps=min(25, every),
            eval_strategy="steps",
            eval_steps=every,
            save_strategy="steps",
            save_steps=every,
            save_total_limit=1,
            load_best_model_at_end=True,
            metric_for_best_model="single_jaccard",
            greater_is_better=True,
            dataloader_num_workers=1,
            dataloader_pin_memory=False,
            report_to="none",
            seed=seed,
        ),
        train_dataset=concatenate_datasets([splits["train"] for splits in clips.values()]),
        eval_dataset={name: splits["val"] for name, splits in clips.items()},
        data_collator=collator,
    )
    trainer.train()
    return trainer.state.log_history


def score(model: AuralSam2Model, collator: ClipCollator, clips: dict[str, dict[str, Dataset]]) -> dict:
    """J, F and their mean on the test clips of both subsets: as they are, in silence, and computed in bfloat16."""
    silence, results = silencer(collator.processor), {}
    for name, splits in clips.items():
        results[name] = _values(evaluate(model, collator, splits["test"]))
        results[f"{name}_silent"] = _values(evaluate(model, collator, splits["test"], transform=silence))
        with torch.autocast(model.device.type, torch.bfloat16):
            results[f"{name}_bf16"] = _values(evaluate(model, collator, splits["test"]))
    return results


def _values(metric: AvsMetric) -> dict[str, float]:
    scores = metric.compute()
    return {name: round(scores[name], 4) for name in SCORES}


@torch.inference_mode()
def predict(
    model: AuralSam2Model,
    collator: ClipCollator,
    row: dict,
    change: Callable[[BatchFeature], BatchFeature] | None = None,
) -> np.ndarray:
    """Masks bool `[T, H, W]` of one row."""
    inputs = collator([row])
    sizes = inputs["original_sizes"]
    inputs = {name: inputs[name] for name in ("pixel_values", "input_features", "audio_mask", "frame_mask")}
    outputs = model(**(change(inputs) if change else inputs))
    return collator.processor.post_process_masks(outputs.pred_masks, sizes)[0].numpy()


def draw_examples(
    model: AuralSam2Model, collator: ClipCollator, clips: dict[str, dict[str, Dataset]], path: Path
) -> None:
    """A sheet of some test clips: frames, truth, prediction, and prediction in silence, row by row."""
    model.eval()
    silence, images = silencer(collator.processor), []
    for splits in clips.values():
        for row in splits["test"].select(range(min(SHOWN_CLIPS, len(splits["test"])))):
            frames = np.stack([np.asarray(frame.convert("RGB")) for frame in row["frames"]])
            masks = [row_masks(row).astype(bool), predict(model, collator, row), predict(model, collator, row, silence)]
            images += [*frames, *(frame for mask in masks for frame in overlay(frames, mask, alpha=0.85))]
    contact_sheet(images, columns=len(frames)).save(path, quality=90)


def draw_curves(history: list[dict], path: Path) -> None:
    """The training loss and J on validation clips of one sound, one chart above the other, as SVG."""
    charts = [
        line_chart([(entry["step"], entry[name]) for entry in history if name in entry], title)
        for name, title in (("loss", "Training loss"), ("eval_single_jaccard", "J on validation clips, one sound"))
    ]
    style = (
        "<style>text{font:12px sans-serif}line{stroke:#ddd}polyline{fill:none;stroke:#0072b2;stroke-width:2}</style>"
    )
    placed = "".join(f'<g transform="translate(0 {250 * index})">{chart}</g>' for index, chart in enumerate(charts))
    size = f'width="460" height="{250 * len(charts)}"'
    path.write_text(f'<svg xmlns="http://www.w3.org/2000/svg" {size}>{style}{placed}</svg>\n', encoding="utf-8")


def run(arguments: argparse.Namespace) -> dict:
    """Train and score every behaviour; returns what is in `report.json`."""
    output, report = arguments.output, {}
    clips = write_clips(output / "data", arguments.clips, arguments.seed)
    ear = stereo_vggish(arguments.checkpoint)
    for behavior in arguments.behaviors:
        folder = output / behavior
        if not (folder / "scores.json").is_file():
            model = fresh_model(behavior, arguments.host, ear, arguments.seed)
            processor = AuralSam2Processor.from_config(model.config)
            collator, began = ClipCollator(processor), time.monotonic()
            history = train(model, collator, clips, folder, arguments.steps, arguments.seed)
            minutes = round((time.monotonic() - began) / 60, 1)
            model.save_pretrained(folder / "model")
            processor.save_pretrained(folder / "model")
            (folder / "training_log.json").write_text(json.dumps(history, indent=1) + "\n", encoding="utf-8")
            draw_curves(history, folder / "curves.svg")
            draw_examples(model, collator, clips, folder / "examples.jpg")
            scores = {"steps": arguments.steps, "minutes": minutes, **score(model, collator, clips)}
            (folder / "scores.json").write_text(json.dumps(scores, indent=1) + "\n", encoding="utf-8")
        report[behavior] = json.loads((folder / "scores.json").read_text(encoding="utf-8"))
        print(behavior, json.dumps(report[behavior]), flush=True)
    (output / "report.json").write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    return report


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, required=True, help="folder to write")
    parser.add_argument("--host", type=Path, default=HERE / "sam2-nano-host", help="SAM2 that stays as it is")
    parser.add_argument("--checkpoint", type=Path, default=HERE / "sam2-love-tiny", help="SAM2-LOVE with the VGGish")
    parser.add_argument("--behaviors", nargs="+", default=BEHAVIORS, choices=BEHAVIORS)
    parser.add_argument("--steps", type=int, default=800, help="of each behaviour, 16 clips each")
    parser.add_argument("--clips", type=int, default=1600, help="training clips of each subset")
    parser.add_argument("--seed", type=int, default=0)
    run(parser.parse_args(argv))


if __name__ == "__main__":
    main()
