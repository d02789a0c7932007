"""The training of methods that learn in single frames first, and of what they are built on."""

import copy
from pathlib import Path

import torch
from datasets import Dataset, concatenate_datasets
from tiny.avs_training import clip_training
from tiny.hosts import HOSTS, save_host
from tiny.models import METHODS, READERS, Words, fresh_model, stereo_vggish
from tiny.scores import Clips
from tiny.single_frames import FRAMES_PER_STEP, as_inputs, collate_frames, single_frames, train_on_frames

from lavseg import ClipCollator, Sam2LoveModel
from lavseg.modeling.base import AudioVisualPreTrainedModel

from .page import Curve
from .stages import SEED, Stages
from .training import WatchedTraining, about, seconds_of

# The share of the steps that is for single frames.
FRAME_SHARE = 0.8
# Of the log of `train`.
CURVES = (
    Curve("frame_loss", "Single frames: loss", "sum of its terms", noisy=True),
    Curve("loss", "Clips: loss", "sum of its terms", noisy=True),
    Curve("eval_jaccard", "J on validation clips", "J"),
)


def begin_model(
    method: str, shipped: Sam2LoveModel, output: Path, host_steps: int, stages: Stages, words: Words | None = None
) -> tuple[AudioVisualPreTrainedModel, ClipCollator, dict]:
    """An untrained model of a method on its host, which is trained here if it is not the shipped one; its collator, and
    what it is for `report.json`.

    Args:
        method, words: as for `fresh_model`.
        shipped: a tiny SAM2-LOVE.
        output: the host is saved in `output/host`.
        host_steps: of the host's training.
    """
    host = (READERS if words else METHODS)[method].host
    stages.begin(f"Get a tiny {host}, {HOSTS[host]}")

    def say(entry: dict) -> None:
        stages.murmur("  ".join(f"{key} {value:.3g}" for key, value in entry.items()))

    folder = save_host(host, output / "host", shipped, SEED, host_steps, say)
    model, processor = fresh_model(method, folder, stereo_vggish(shipped.audio_encoder), SEED, words)
    model.to("cuda" if torch.cuda.is_available() else "cpu")
    trained, every = (model.num_parameters(only_trainable=only) for only in (True, False))
    stages.say(f"{type(model).__name__}: {every / 1e6:.2f} M parameters, {trained / 1e6:.2f} M of them to be trained")
    results = {"method": method, "parameters": every, "parameters_trained": trained}
    return model, ClipCollator(processor), results


def train(
    model: AudioVisualPreTrainedModel,
    collator: ClipCollator,
    clips: Clips,
    output: Path,
    steps: int,
    stages: Stages,
) -> list[dict]:
    """Train for so many steps, in single frames first, and save the model; returns a log as the Trainer's."""
    rows = {split: concatenate_datasets([splits[split] for splits in clips.values()]) for split in ("train", "val")}
    training = WatchedTraining(model, collator, rows["val"], steps, stages)
    frame_steps = max(1, round(FRAME_SHARE * steps))
    rest = max(1, steps - frame_steps)
    seconds = training_seconds(model, collator, rows["train"], frame_steps, rest) + training.measuring_seconds
    stages.say(f"this takes {about(seconds)}")

    def note(entry: dict) -> None:
        training.note(entry["step"], frame_loss=entry["loss"])

    bar = stages.bar("clips for single frames")
    train_on_frames(model, collator.processor, SEED, frame_steps, len(rows["train"]), note, bar)
    training.train(rest, rows["train"], output, **clip_training(collator.processor))
    return training.log


def training_seconds(
    model: AudioVisualPreTrainedModel, collator: ClipCollator, rows: Dataset, frame_steps: int, steps: int
) -> float:
    """About how long so many steps take in single frames of these rows, and then on the clips themselves."""
    model, few = copy.deepcopy(model).train(), 4

    def backward(batch: dict[str, torch.Tensor]) -> None:
        model(**as_inputs(batch, model.device)).loss.backward()

    seconds = len(rows) / few * seconds_of(lambda: single_frames(collator.processor, few, SEED), 1)
    frames = single_frames(collator.processor, few, SEED)
    frames = collate_frames([frames[index % len(frames)] for index in range(FRAMES_PER_STEP)])
    size = clip_training(collator.processor)["per_device_train_batch_size"]
    batch = [rows[index % len(rows)] for index in range(size)]
    clip_seconds = seconds_of(lambda: model(**collator(batch).to(model.device)).loss.backward(), 1)
    return seconds + frame_steps * seconds_of(lambda: backward(frames)) + steps * clip_seconds
