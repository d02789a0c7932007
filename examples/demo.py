"""What lavseg does, end to end on synthetic clips in a few minutes on two CPU cores.

    python examples/demo.py --output runs/demo

Scores the shipped SAM2-LOVE on seen, unseen and null clips, with and without sound and words; trains a fresh one with
the same encoders and host; segments a video file. Writes `report.json`, `report.html` and the fresh model in `model/`.
"""

import argparse
import copy
import json
import shutil
import time
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path

import numpy as np
import torch
from datasets import Dataset
from report import Example, Video, write_report
from rich import get_console
from rich.progress import Progress, track
from transformers import (
    BatchFeature,
    PrinterCallback,
    TrainerCallback,
    TrainerControl,
    TrainerState,
    TrainingArguments,
)
from transformers.utils import logging
from warm_start import warm_start

from lavseg import ClipCollator, Sam2LoveModel, Sam2LoveProcessor
from lavseg.checkpoint import load_checkpoint
from lavseg.data import draw_expressions, draw_objects, load_ref_avs, render_clip, row_kinds, row_masks, write_ref_avs
from lavseg.evaluation.evaluate_model import evaluate
from lavseg.inference.segment_file import segment_file
from lavseg.media import read_audio, write_video
from lavseg.metrics.protocols import AvsMetric
from lavseg.modeling.base import AudioVisualPreTrainedModel
from lavseg.training import LavsegTrainer, LavsegTrainingArguments

HERE = Path(__file__).parent
MARKER = ".lavseg-demo"
# Clips of their own: the shipped model was trained on others.
SEED = 2025
STAGES = 8
EXAMPLES_A_KIND = 2
EVALUATED_ROWS = 24
# Shares of the training time: pointing in single frames, pointing while a clip passes, and SAM2-LOVE itself.
POINTING = (
    (0.45, {"num_frames": 1, "steps": 2500, "peak_rate": 1e-3, "clips": 48, "expressions": 2}),
    (0.3, {"num_frames": 10, "steps": 900, "peak_rate": 7e-4, "clips": 16, "expressions": 3}),
)
METHOD_SHARE = 0.25
MEASURED_EVERY = 250


class Stages:
    """Announces numbered stages and draws a progress bar inside each."""

    def __init__(self, count: int):
        self.console, self.count, self.number, self.began = get_console(), count, 0, time.monotonic()

    @property
    def seconds(self) -> float:
        return time.monotonic() - self.began

    def begin(self, title: str) -> None:
        self.number += 1
        minutes, seconds = divmod(int(self.seconds), 60)
        title = f"[bold]{self.number}/{self.count} {title}[/bold]"
        self.console.print(f"[dim]{minutes}:{seconds:02d}[/dim] {title}", soft_wrap=True)

    def say(self, text: str) -> None:
        self.console.print(f"     {text}", markup=False, emoji=False, highlight=False, soft_wrap=True)

    def bar(self, title: str) -> Callable[[Iterable], Iterable]:
        shown = self.console.is_terminal
        return partial(track, description=f"     {title}", console=self.console, transient=True, disable=not shown)


class TimedTraining(TrainerCallback):
    """Stops the training after some seconds, with a last evaluation, and shows how it goes."""

    def __init__(self, seconds: float, steps_before: int, stages: Stages):
        self.seconds, self.steps_before, self.stages, self.loss = seconds, steps_before, stages, None
        self.progress = Progress(console=stages.console, transient=True, disable=not stages.console.is_terminal)

    def on_train_begin(self, *args, **kwargs) -> None:
        self.began = time.monotonic()
        self.progress.start()
        self.task = self.progress.add_task("     training", total=max(self.seconds, 1))

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs
    ) -> TrainerControl:
        elapsed = time.monotonic() - self.began
        self.progress.update(self.task, completed=elapsed)
        if elapsed >= self.seconds:
            control.should_training_stop = control.should_evaluate = control.should_log = True
        return control

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: dict[str, float] | None = None,
        **kwargs,
    ) -> None:
        self.loss = logs.get("loss", self.loss)
        if "eval_jaccard" in logs:
            loss = f"  loss {self.loss:.3f}" if self.loss is not None else ""
            self.stages.say(f"step {self.steps_before + state.global_step:4d}  J {logs['eval_jaccard']:.3f}{loss}")

    def on_train_end(self, *args, **kwargs) -> None:
        self.progress.stop()


def run(arguments: argparse.Namespace) -> dict:
    """Everything the demo does; returns what is in `report.json`."""
    output, stages = prepare_folder(arguments.output), Stages(STAGES)

    stages.begin("Write synthetic clips in the layout of Ref-AVS")
    root = write_ref_avs(output / "data", _clip_counts(arguments.clips), seed=SEED, progress=stages.bar("clips"))
    splits = {split: load_ref_avs(root, split) for split in ("train", "val", "test_s", "test_u", "test_n")}

    stages.begin("Load the shipped SAM2-LOVE")
    model, processor = load_checkpoint(arguments.checkpoint)
    model.to("cuda" if torch.cuda.is_available() else "cpu")
    collator = ClipCollator(processor)
    stages.say(f"{model.num_parameters() / 1e6:.1f} M parameters")

    stages.begin("Score it on seen, unseen and null clips")
    seen_kinds = rows_by_kind(root, splits["test_s"])
    results, kinds = score(model, collator, splits, seen_kinds, stages)

    stages.begin("Take the sound away, then the words")
    results.update(score_without(model, collator, seen_kinds, kinds, stages))

    stages.begin(f"Train a fresh one for {arguments.minutes:g} minutes")
    fresh = fresh_model(model)
    watched = [row for row, is_null in enumerate(splits["val"]["is_null"]) if not is_null][:EVALUATED_ROWS]
    watched, seconds = splits["val"].select(watched), 60 * arguments.minutes
    history = point(fresh, processor, watched, 8 * arguments.clips, seconds, stages)
    history += train(
        fresh, processor, splits["train"], watched, output, METHOD_SHARE * seconds, history[-1]["step"], stages
    )

    stages.begin("Score the fresh one")
    results["trained_here"] = values(
        evaluate(fresh, collator, splits["test_s"], progress=stages.bar("seen")), "jaccard", "f_score", "j_and_f"
    )
    stages.say(scores_line(results["trained_here"]))

    stages.begin("Segment a video file")
    video = segment_video(arguments.checkpoint, output)

    stages.begin("Write the report")
    parts = {**seen_kinds, "unseen": splits["test_u"], "null": splits["test_n"]}
    examples = [make_example(model, processor, kind, row) for kind, row in pick_rows(parts)]
    results["seconds"] = round(stages.seconds, 1)
    write_report(output / "report.html", results, history, examples, video)
    (output / "report.json").write_text(json.dumps(results, indent=2, allow_nan=False) + "\n", encoding="utf-8")
    stages.say(f"{output / 'report.html'} after {results['seconds']:.0f} s")
    return results


def prepare_folder(output: Path) -> Path:
    """An empty folder; an earlier demo in it is removed."""
    if output.exists() and any(output.iterdir()):
        if not (output / MARKER).is_file():
            raise SystemExit(f"--output: {output} is not empty and holds no earlier demo; choose another folder")
        shutil.rmtree(output)
    output.mkdir(parents=True, exist_ok=True)
    (output / MARKER).touch()
    return output


def _clip_counts(clips: int) -> dict[str, int]:
    return {
        "train": 5 * clips,
        "val": max(2, clips // 4),
        "test_s": clips,
        "test_u": clips,
        "test_n": max(1, clips // 2),
    }


def rows_by_kind(root: Path, dataset: Dataset) -> dict[str, Dataset]:
    """The rows of a split of `root` whose sentences need words, sound or both."""
    kinds = row_kinds(root)
    rows = {
        kind: [i for i, row in enumerate(dataset["id"]) if kinds[row] == kind] for kind in ("words", "sound", "both")
    }
    return {kind: dataset.select(indices) for kind, indices in rows.items() if indices}


def joined(metrics: Iterable[AvsMetric]) -> AvsMetric:
    total = AvsMetric("frame")
    for metric in metrics:
        total.merge(metric)
    return total


def values(metric: AvsMetric, *names: str) -> dict:
    scores = metric.compute()
    return {**{name: round(scores[name], 4) for name in names}, "protocol": metric.protocol}


def scores_line(scores: dict) -> str:
    return "  ".join(f"{name} {value:.3f}" for name, value in scores.items() if name != "protocol")


def score(
    model: Sam2LoveModel, collator: ClipCollator, splits: dict[str, Dataset], seen: dict[str, Dataset], stages: Stages
) -> tuple[dict, dict[str, AvsMetric]]:
    """Scores of the splits and of the model with an untrained prompter, and the metrics of the seen split by kind."""
    names = ("jaccard", "f_score", "j_and_f")
    kinds = {kind: evaluate(model, collator, rows, progress=stages.bar(kind)) for kind, rows in seen.items()}
    metrics = {
        "seen": joined(kinds.values()),
        "unseen": evaluate(model, collator, splits["test_u"], progress=stages.bar("unseen")),
        "untrained": evaluate(
            fresh_model(model), collator, splits["test_s"], progress=stages.bar("an untrained prompter")
        ),
    }
    results = {name: values(metric, *names) for name, metric in metrics.items()}
    results["null"] = values(evaluate(model, collator, splits["test_n"], progress=stages.bar("null")), "s")
    results["kinds"] = {kind: values(metric, *names) for kind, metric in kinds.items()}
    for name in ("seen", "unseen", "untrained", "null"):
        stages.say(f"{name:10s}{scores_line(results[name])}")
    return results, kinds


def score_without(
    model: Sam2LoveModel,
    collator: ClipCollator,
    rows: dict[str, Dataset],
    metrics: dict[str, AvsMetric],
    stages: Stages,
) -> dict:
    """J&F where sound is needed with and without it, and where words are needed with and without them."""
    results = {}
    for name, kinds, key, transform in (
        ("needs_sound", ("sound", "both"), "j_and_f_silent", silencer(collator.processor)),
        ("needs_words", ("words", "both"), "j_and_f_blank", blanker(collator.processor)),
    ):
        kinds = [kind for kind in kinds if kind in rows]
        whole = joined(metrics[kind] for kind in kinds)
        without = joined(
            evaluate(model, collator, rows[kind], transform=transform, progress=stages.bar(f"{name}, {kind}"))
            for kind in kinds
        )
        results[name] = {
            "j_and_f": values(whole, "j_and_f")["j_and_f"],
            key: values(without, "j_and_f")["j_and_f"],
            "protocol": "frame",
        }
        stages.say(f"{name:13s}{scores_line(results[name])}")
    return results


def silencer(processor: Sam2LoveProcessor) -> Callable[[BatchFeature], BatchFeature]:
    """A change of model inputs to what the processor makes of a waveform of zeros."""
    second = np.zeros(16000, np.float32)
    patch = processor.feature_extractor(second, sampling_rate=16000, return_tensors="pt")["input_features"][0]

    def silence(inputs: BatchFeature) -> BatchFeature:
        inputs["input_features"] = patch * inputs["audio_mask"][..., None, None, None]
        return inputs

    return silence


def blanker(processor: Sam2LoveProcessor) -> Callable[[BatchFeature], BatchFeature]:
    """A change of model inputs to the tokens of an empty sentence, which the processor itself refuses."""
    tokens = processor.tokenizer("", padding="max_length", max_length=processor.max_text_length, return_tensors="pt")

    def blank(inputs: BatchFeature) -> BatchFeature:
        for name in ("input_ids", "attention_mask"):
            inputs[name] = tokens[name].expand_as(inputs[name])
        return inputs

    return blank


def fresh_model(trained: Sam2LoveModel) -> Sam2LoveModel:
    """A model with the encoders and the SAM2 host of `trained` and a new prompter."""
    torch.manual_seed(SEED)
    model = Sam2LoveModel(copy.deepcopy(trained.config))
    model.load_backbones(trained.backbones())
    return model.to(trained.device)


def measure(
    model: AudioVisualPreTrainedModel,
    collator: ClipCollator,
    watched: Dataset,
    stages: Stages,
    step: int = 0,
    loss: float | None = None,
) -> dict:
    """An entry of a log as the Trainer's: J of the rows `watched` after so many steps, the last with this loss."""
    jaccard = evaluate(model, collator, watched).compute()["jaccard"]
    stages.say(f"step {step:4d}  J {jaccard:.3f}" + ("" if loss is None else f"  loss {loss:.3f}"))
    return {"step": step, "eval_jaccard": jaccard}


def point(
    model: Sam2LoveModel, processor: Sam2LoveProcessor, watched: Dataset, clips: int, seconds: float, stages: Stages
) -> list[dict]:
    """Teach the token to point; returns a log as the Trainer's, with J of the rows `watched`."""
    collator, history = ClipCollator(processor), []

    done = {}

    def note(entry: dict) -> None:
        done[entry["frames"]] = entry["step"]
        history.append({"step": sum(done.values()), "pointing_loss": entry["loss"]})
        if entry["step"] % MEASURED_EVERY == 0:
            history.append(measure(model, collator, watched, stages, sum(done.values()), entry["loss"]))

    history.append(measure(model, collator, watched, stages))
    warm_start(
        model, processor, SEED, clips, [{**stage, "seconds": share * seconds} for share, stage in POINTING], note
    )
    return history


def train(
    model: Sam2LoveModel,
    processor: Sam2LoveProcessor,
    clips: Dataset,
    watched: Dataset,
    output: Path,
    seconds: float,
    steps_before: int,
    stages: Stages,
) -> list[dict]:
    """Train SAM2-LOVE and save it; returns the Trainer's log, its steps counted on from those before."""
    trainer = LavsegTrainer(
        model=model,
        args=LavsegTrainingArguments(
            output_dir=output / "training",
            max_steps=100_000,
            per_device_train_batch_size=8,
            per_device_eval_batch_size=8,
            learning_rate=4e-4,
            lr_scheduler_type="constant_with_warmup",
            warmup_steps=20,
            max_grad_norm=1.0,
            logging_steps=5,
            eval_strategy="steps",
            eval_steps=25,
            eval_on_start=True,
            save_strategy="no",
            dataloader_num_workers=1,
            dataloader_pin_memory=False,
            disable_tqdm=True,
            report_to="none",
            seed=SEED,
        ),
        train_dataset=clips,
        eval_dataset=watched,
        data_collator=ClipCollator(processor),
        processing_class=processor,
        callbacks=[TimedTraining(seconds, steps_before, stages)],
    )
    trainer.remove_callback(PrinterCallback)
    trainer.train()
    trainer.save_model(output / "model")
    model.eval()
    return [{**entry, "step": steps_before + entry["step"]} for entry in trainer.state.log_history]


def segment_video(checkpoint: Path, output: Path) -> Video:
    """Make a video file with sound and segment three kinds of expressions in it, as `lavseg segment` does."""
    rng = np.random.default_rng(SEED)
    objects = draw_objects(rng, plan="both")
    clip = render_clip(rng, frame_size=(224, 288), objects=objects)
    write_video(output / "clip.mp4", clip.frames, 1, clip.waveform, 16000)
    by_kind = {item.kind: item.text.strip() for item in draw_expressions(rng, objects) if item.target is not None}
    summary = segment_file(output / "clip.mp4", list(by_kind.values()), checkpoint, output / "segmented")
    return Video(output / "segmented" / "overlay.mp4", [(e["text"], e["color"]) for e in summary["expressions"]])


def pick_rows(parts: dict[str, Dataset]) -> list[tuple[str, dict]]:
    """A few rows of each part, of different clips."""
    chosen = []
    for kind, rows in parts.items():
        clips = rows["clip"]
        first_of_clip = [clips.index(clip) for clip in dict.fromkeys(clips)]
        chosen += [(kind, rows[index]) for index in first_of_clip[:EXAMPLES_A_KIND]]
    return chosen


@torch.inference_mode()
def make_example(model: Sam2LoveModel, processor: Sam2LoveProcessor, kind: str, row: dict) -> Example:
    """What the model answers to one row of a data set."""
    waveform, rate = read_audio(row["audio"]["path"])
    inputs = processor(row["frames"], waveform, row["text"], sampling_rate=rate).to(model.device)
    outputs = model(**inputs)
    predicted = processor.post_process_masks(outputs, inputs["original_sizes"])[0].cpu().numpy()
    frames = np.stack([np.asarray(frame.convert("RGB")) for frame in row["frames"]])
    return Example(kind, row["text"].strip(), frames, row_masks(row).astype(bool), predicted, waveform.mean(0))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, required=True, help="folder to write")
    parser.add_argument("--checkpoint", type=Path, default=HERE / "sam2-love-tiny", help="trained SAM2-LOVE")
    parser.add_argument("--minutes", type=float, default=4, help="of training")
    parser.add_argument("--clips", type=int, default=60, help="clips of the seen and of the unseen split")
    arguments = parser.parse_args()
    if not (arguments.checkpoint / "config.json").is_file():
        parser.error(f"{arguments.checkpoint} is no checkpoint, it has no config.json")
    if arguments.clips < 4:
        parser.error("--clips: at least 4 are needed for every kind of sentence to occur")
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    run(arguments)


if __name__ == "__main__":
    main()
