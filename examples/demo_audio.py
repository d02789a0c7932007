"""A method that hears and reads nothing, end to end on synthetic clips in a few minutes on two CPU cores.

    python examples/demo_audio.py --method aural-sam2 --output runs/demo

Scores an untrained model, trains it for some minutes, scores it on clips with one sound and with several, as they are
and in silence, and segments a video file. Writes `report.json`, `report.html` and the model in `model/`.

AuralSAM2, SAMA-AVS and GAVS are trained on the shipped SAM2 host. ST-BAVA is a method on SAM, of which no checkpoint is
shipped: a tiny one is taught from clicks first, for at most two minutes (`train_sam.py`).
"""

import argparse
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from datasets import Dataset, concatenate_datasets
from demo import SEED, Stages, TimedTraining, measure, prepare_folder, scores_line, silencer
from report import Example, Video
from report_audio import write_audio_report
from synthetic_avs import predict, score, training_arguments, write_clips
from tiny_models import METHODS, ON_SAM, fresh_model, save_host, stereo_vggish
from train_sam import train_sam
from transformers import PrinterCallback
from transformers.utils import logging
from warm_start_audio import warm_start_audio

from lavseg import ClipCollator
from lavseg.data import draw_objects, render_clip, row_masks
from lavseg.inference.segment_file import segment_file
from lavseg.media import read_audio, write_video
from lavseg.modeling.base import AudioVisualPreTrainedModel
from lavseg.training import LavsegTrainer

HERE = Path(__file__).parent
STAGES = 7
EXAMPLES_A_KIND = 4
SAM_SECONDS = 120
# Of the training time is for single frames; so many steps take longer.
FRAME_SHARE, FRAME_STEPS, MEASURED_EVERY = 0.75, 400, 50


def run(arguments: argparse.Namespace) -> dict:
    """Everything the demo does; returns what is in `report.json`."""
    output, stages = prepare_folder(arguments.output), Stages(STAGES)

    stages.begin("Write synthetic clips in the layout of AVSBench")
    counts = {"train": arguments.clips, "val": max(2, arguments.clips // 16), "test": max(2, arguments.clips // 8)}
    clips = write_clips(output / "data", counts, SEED, stages.bar("clips"))

    if arguments.method in ON_SAM:
        stages.begin("Teach a tiny SAM from clicks")
        host = teach_sam(output / "sam", arguments.sam_steps, stages)
    else:
        stages.begin("Load the shipped SAM2")
        host = save_host(arguments.checkpoint, output / "sam2")
    model, processor = fresh_model(arguments.method, host, stereo_vggish(arguments.checkpoint), SEED)
    model.to("cuda" if torch.cuda.is_available() else "cpu")
    collator = ClipCollator(processor)
    trained, every = (model.num_parameters(only_trainable=only) for only in (True, False))
    stages.say(f"{type(model).__name__}: {every / 1e6:.2f} M parameters, {trained / 1e6:.2f} M of them to be trained")
    results = {"method": arguments.method, "parameters": every, "parameters_trained": trained}

    stages.begin("Score it untrained")
    results["untrained"] = score(model, collator, clips, stages.bar("untrained"))
    say_scores(results["untrained"], stages)

    stages.begin(f"Train it for {arguments.minutes:g} minutes")
    history = train(model, collator, clips, output, 60 * arguments.minutes, stages)

    stages.begin("Score it trained, with the sound and in silence")
    results["trained"] = score(model, collator, clips, stages.bar("trained"))
    say_scores(results["trained"], stages)

    stages.begin("Segment a video file")
    video = segment_video(output)

    stages.begin("Write the report")
    examples = [
        make_example(model, collator, kind, row)
        for kind, splits in clips.items()
        for row in splits["test"].select(range(min(EXAMPLES_A_KIND, len(splits["test"]))))
    ]
    results["seconds"] = round(stages.seconds, 1)
    write_audio_report(output / "report.html", type(model).__name__, results, history, examples, video)
    (output / "report.json").write_text(json.dumps(results, indent=2, allow_nan=False) + "\n", encoding="utf-8")
    stages.say(f"{output / 'report.html'} after {results['seconds']:.0f} s")
    return results


def teach_sam(folder: Path, steps: int, stages: Stages) -> Path:
    """Train a SAM host and save it in `folder`, which is returned."""

    def say(entry: dict) -> None:
        if entry["step"] % 100 == 0:
            stages.say(f"step {entry['step']:4d}  IoU {entry['iou']:.3f}  loss {entry['loss']:.3f}")

    sam, _ = train_sam(SEED, SAM_SECONDS, steps, on_log=say)
    sam.save_pretrained(folder)
    return folder


def say_scores(scores: dict[str, dict], stages: Stages) -> None:
    for name, found in scores.items():
        stages.say(f"{name:14s}{scores_line(found)}")


def train(
    model: AudioVisualPreTrainedModel,
    collator: ClipCollator,
    clips: dict[str, dict[str, Dataset]],
    output: Path,
    seconds: float,
    stages: Stages,
) -> list[dict]:
    """Train for so long, in single frames first, and save the model; returns a log as the Trainer's."""
    rows = {split: concatenate_datasets([splits[split] for splits in clips.values()]) for split in ("train", "val")}
    history = [measure(model, collator, rows["val"], stages)]

    def note(entry: dict) -> None:
        history.append({"step": entry["step"], "frame_loss": entry["loss"]})
        if entry["step"] % MEASURED_EVERY == 0:
            history.append(measure(model, collator, rows["val"], stages, entry["step"], entry["loss"]))

    count = sum(len(splits["train"]) for splits in clips.values())
    warm_start_audio(model, collator.processor, SEED, FRAME_STEPS, count, FRAME_SHARE * seconds, note)
    before = history[-1]["step"]
    arguments = training_arguments(
        output,
        SEED,
        max_steps=100_000,
        lr_scheduler_type="constant_with_warmup",
        warmup_steps=20,
        logging_steps=5,
        eval_steps=25,
        eval_on_start=True,
        save_strategy="no",
        disable_tqdm=True,
    )
    trainer = LavsegTrainer(
        model,
        arguments,
        collator,
        train_dataset=rows["train"],
        eval_dataset=rows["val"],
        processing_class=collator.processor,
        callbacks=[TimedTraining((1 - FRAME_SHARE) * seconds, before, stages)],
    )
    trainer.remove_callback(PrinterCallback)
    trainer.train()
    trainer.save_model(output / "model")
    model.eval()
    return history + [{**entry, "step": before + entry["step"]} for entry in trainer.state.log_history]


def segment_video(output: Path) -> Video:
    """Make a video file in which one object after the other sounds, and segment it with the model in `output`, as
    `lavseg segment` does."""
    rng = np.random.default_rng(SEED)
    objects = draw_objects(rng, plan="silent")
    turns = np.array_split(np.arange(10), len(objects))
    objects = [replace(item, seconds=np.isin(np.arange(10), turn)) for item, turn in zip(objects, turns, strict=True)]
    clip = render_clip(rng, frame_size=(224, 288), objects=objects)
    write_video(output / "clip.mp4", clip.frames, 1, clip.waveform, 16000)
    summary = segment_file(output / "clip.mp4", [], output / "model", output / "segmented")
    names = ", then ".join(f"the {item.color} {item.category}" for item in objects)
    color = summary["expressions"][0]["color"]
    return Video(output / "segmented" / "overlay.mp4", [(f"what sounds: {names}", color)])


def make_example(model: AudioVisualPreTrainedModel, collator: ClipCollator, kind: str, row: dict) -> Example:
    """What the model answers to one clip, with its sound and in silence."""
    frames = np.stack([np.asarray(frame.convert("RGB")) for frame in row["frames"]])
    waveform, _ = read_audio(row["audio"]["path"])
    silent = predict(model, collator, row, silencer(collator.processor))
    truth = row_masks(row).astype(bool)
    return Example(kind, None, frames, truth, predict(model, collator, row), waveform.mean(0), silent)


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, required=True, help="folder to write")
    parser.add_argument("--method", required=True, choices=METHODS)
    parser.add_argument(
        "--checkpoint", type=Path, default=HERE / "sam2-love-tiny", help="SAM2-LOVE, for its SAM2 and VGGish"
    )
    parser.add_argument("--minutes", type=float, default=3, help="of training")
    parser.add_argument("--clips", type=int, default=200, help="training clips of each subset")
    parser.add_argument("--sam_steps", type=int, default=600, help="at most, of the SAM that ST-BAVA builds on")
    arguments = parser.parse_args(argv)
    if not (arguments.checkpoint / "config.json").is_file():
        parser.error(f"{arguments.checkpoint} is no checkpoint, it has no config.json")
    if arguments.clips < 2:
        parser.error("--clips: at least 2 are needed")
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    run(arguments)


if __name__ == "__main__":
    main()
