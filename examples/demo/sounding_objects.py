"""A method that hears but does not read, end to end on synthetic clips in a few minutes on two CPU cores.

Scores an untrained model, trains it, scores it on clips with one sound and with several, as they are
and in silence, and segments a video file. Writes `report.json`, `report.html` and the model in `model/`.

AuralSAM2, SAMA-AVS and GAVS are trained on the shipped SAM2 host. ST-BAVA is a method on SAM, of which no checkpoint is
shipped: a tiny one is taught from clicks first. AVSegFormer, TPAVI and Stepping-Stones have no SAM: their encoder of
frames, or Mask2Former, is taught first what each place of a frame shows.
"""

import argparse
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from tiny.avs_training import write_clips
from tiny.scores import score_clips
from tiny.single_frames import FRAMES_PER_CLIP

from lavseg.checkpoint import load_checkpoint
from lavseg.data import SyntheticClip, draw_scene, render_clip
from lavseg.data.synthetic.object_tables import clip_object
from lavseg.data.synthetic.rendering import SAMPLING_RATE
from lavseg.data.synthetic.synthetic_avsbench import draw_sounding_objects
from lavseg.inference.segment_file import segment_file
from lavseg.metrics.protocols import AvsMetric
from lavseg.modeling.base import AudioVisualPreTrainedModel
from lavseg.modeling.processing import AudioVisualProcessor

from .examples import Example
from .frame_training import begin_model, train
from .report_sounding_objects import WORST, write_report
from .stages import SEED, Stages, prepare_folder
from .video import Video, write_scene

STAGES = 7
# What takes some minutes; a step of ST-BAVA takes three times as long as one of GAVS.
DEFAULTS = {
    "aural-sam2": {"steps": 200, "clips": 200},
    "sama-avs": {"steps": 400, "clips": 200},
    "gavs": {"steps": 400, "clips": 200},
    "st-bava": {"steps": 120, "clips": 200},
    "avsegformer": {"steps": 400, "clips": 200},
    "tpavi": {"steps": 400, "clips": 200},
    "stepping-stones": {"steps": 400, "clips": 200},
}
FEWEST_CLIPS = 2
# Clips of each kind that are drawn for the report, how many of them are shown, and how many more that score lowest.
EXAMPLES_DRAWN, EXAMPLES_PER_KIND, WORST_EXAMPLES = 12, 3, 3


def run(arguments: argparse.Namespace) -> dict:
    """Everything the demo does; returns what is in `report.json`."""
    output, stages = prepare_folder(arguments.out), Stages(STAGES)

    stages.begin("Write synthetic clips in the layout of AVSBench")
    counts = {"train": arguments.clips, "val": max(2, arguments.clips // 16), "test": max(2, arguments.clips // 8)}
    clips = write_clips(output / "data", counts, SEED, stages.bar("clips"))

    shipped, _ = load_checkpoint(arguments.model)
    model, collator, results = begin_model(arguments.method, shipped, output, arguments.host_steps, stages)

    stages.begin("Score it untrained")
    results["untrained"] = score_clips(model, collator, clips, stages.bar("untrained"))
    stages.say_scores(results["untrained"])

    stages.begin(f"Train it for {arguments.steps} steps")
    history = train(model, collator, clips, output, arguments.steps, stages)

    stages.begin("Score it trained, with the sound and in silence")
    results["trained"] = score_clips(model, collator, clips, stages.bar("trained"))
    stages.say_scores(results["trained"])

    stages.begin("Segment a video file")
    video = segment_video(output)

    stages.begin("Write the report")
    examples = draw_examples(model, collator.processor, stages.bar("examples"))
    results["examples_drawn"] = 2 * EXAMPLES_DRAWN
    results["seconds"] = round(stages.seconds, 1)
    write_report(output / "report.html", type(model).__name__, results, history, examples, video)
    stages.end(output, results)
    return results


def draw_examples(
    model: AudioVisualPreTrainedModel, processor: AudioVisualProcessor, progress: Callable[[Sequence], Iterable]
) -> list[Example]:
    """What the model answers to clips drawn for this, the first ones of each kind and of the others the worst."""
    rng, first, others = np.random.default_rng([SEED, 1]), [], []
    for number in progress(range(2 * EXAMPLES_DRAWN)):
        several = number % 2 == 1
        objects = draw_sounding_objects(rng, FRAMES_PER_CLIP, several)
        clip = render_clip(rng, FRAMES_PER_CLIP, objects=objects)
        shown = number < 2 * EXAMPLES_PER_KIND
        score, example = answer(model, processor, clip, ("single", "multi")[several] if shown else WORST)
        (first if shown else others).append((score, example))
    others.sort(key=lambda item: item[0])
    return [example for _, example in first + others[:WORST_EXAMPLES]]


@torch.inference_mode()
def answer(
    model: AudioVisualPreTrainedModel, processor: AudioVisualProcessor, clip: SyntheticClip, kind: str
) -> tuple[float, Example]:
    """What the model finds in a clip with its sound and in silence, and the J&F of the former."""
    seconds = np.stack([item.seconds for item in clip.objects])
    truth, found, metric = clip.masks & seconds[..., None, None], [], AvsMetric("frame")
    for waveform in (clip.waveform, np.zeros_like(clip.waveform)):
        inputs = processor(clip.frames, waveform, sampling_rate=SAMPLING_RATE).to(model.device)
        found.append(processor.post_process_masks(model(**inputs), inputs["original_sizes"])[0].cpu().numpy())
    metric.update(torch.from_numpy(found[0]).float() - 0.5, torch.from_numpy(truth.any(0)))
    score = metric.compute()["j_and_f"]
    objects = [clip_object("", number, item) for number, item in enumerate(clip.objects)]
    return score, Example(kind, None, clip.frames, objects, truth, found[0], f"J&F {score:.2f}", found[1])


def segment_video(output: Path) -> Video:
    """Make a video file in which one object after the other sounds, and segment it with the model in `output`, as
    `lavseg segment` does."""
    rng = np.random.default_rng(SEED)
    objects = draw_scene(rng, "silent")
    turns = np.array_split(np.arange(10), len(objects))
    objects = [replace(item, seconds=np.isin(np.arange(10), turn)) for item, turn in zip(objects, turns, strict=True)]
    write_scene(output / "clip.mp4", rng, objects)
    summary = segment_file(output / "clip.mp4", [], output / "model", output / "segmented")
    names = ", then ".join(f"the {item.category}" for item in objects)
    color = summary["expressions"][0]["color"]
    return Video(output / "segmented" / "overlay.mp4", [(f"what sounds: {names}", color)])
