"""Teach a method in single frames with their second of sound which object is meant: the one that sounds, or, where it
reads, the one that a sentence is about.

A frame costs a fifth of a clip of five. Whole clips, in which objects have to be followed too, come afterwards.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain, repeat

import numpy as np
import torch
import torch.nn.functional as F
from torch.utils.data import DataLoader, default_collate

from lavseg.data import draw_expressions, draw_scene, render_clip
from lavseg.data.synthetic.rendering import SAMPLING_RATE
from lavseg.data.synthetic.synthetic_avsbench import draw_sounding_objects
from lavseg.modeling.base import AudioVisualPreTrainedModel
from lavseg.modeling.processing import AudioVisualProcessor

from .optimization import OnLog, collect_log, optimize

FRAMES_PER_STEP = 16
PEAK_RATE, BETAS = 3e-3, (0.9, 0.95)
LOGGING_STEPS = 10
FRAMES_PER_CLIP = 5
TOKENS = ("input_ids", "attention_mask")


def single_frames(
    processor: AudioVisualProcessor, clips: int, seed: int, progress: Callable[[Sequence], Iterable] = iter
) -> list[dict[str, torch.Tensor]]:
    """The frames of so many clips, each as a clip of its own; `labels` mark what sounds. Where the processor takes
    sentences, so many frames with some sentences each, every one of them by itself."""
    draw, stream = (_asked_frames, 6) if processor.needs_text else (_sounding_frames, 5)
    rng, found = np.random.default_rng([seed, stream]), []
    for number in progress(range(clips)):
        found += draw(rng, processor, number)
    return found


def _sounding_frames(
    rng: np.random.Generator, processor: AudioVisualProcessor, number: int
) -> Iterator[dict[str, torch.Tensor]]:
    """Those of a clip; in every other one several objects sound."""
    objects = draw_sounding_objects(rng, FRAMES_PER_CLIP, several=number % 2 == 1)
    clip = render_clip(rng, FRAMES_PER_CLIP, objects=objects)
    inputs = processor(clip.frames, clip.waveform, sampling_rate=SAMPLING_RATE)
    sounding = np.stack([item.seconds for item in objects])[..., None, None]
    labels = torch.from_numpy((clip.masks & sounding).any(0))
    for frame in range(FRAMES_PER_CLIP):
        yield {
            "pixel_values": inputs["pixel_values"][0, frame : frame + 1].half(),
            "input_features": inputs["input_features"][0, frame : frame + 1].half(),
            "labels": labels[frame : frame + 1],
        }


def _asked_frames(
    rng: np.random.Generator, processor: AudioVisualProcessor, number: int
) -> Iterator[dict[str, torch.Tensor]]:
    """One for a sentence of each kind that a scene of one second allows; in every third one of them fits nothing."""
    objects = draw_scene(rng, num_frames=1)
    by_kind = {item.kind: item for item in draw_expressions(rng, objects)}
    if number % 3:
        by_kind.pop("null", None)
    clip, asked = render_clip(rng, 1, objects=objects), list(by_kind.values())
    texts = [item.text for item in asked]
    sound = {"audio": clip.waveform, "sampling_rate": SAMPLING_RATE} if processor.needs_audio else {}
    inputs = processor(clip.frames, text=texts, **sound)
    heard = {"input_features": inputs["input_features"][0].half()} if sound else {}
    for index, item in enumerate(asked):
        labels = np.zeros_like(clip.masks[0]) if item.target is None else clip.masks[item.target]
        yield {
            **{name: inputs[name][0].half() for name in processor.image_input_names},
            **heard,
            **{name: inputs[name][0, index : index + 1] for name in TOKENS},
            "labels": torch.from_numpy(labels),
        }


def collate_frames(frames: Sequence[dict[str, torch.Tensor]]) -> dict[str, torch.Tensor]:
    """Frames of `single_frames` as a batch, whose sentences are padded to the longest."""
    longest = max(frame["input_ids"].shape[-1] for frame in frames) if "input_ids" in frames[0] else 0
    padded = [
        {name: F.pad(frame[name], (0, longest - frame[name].shape[-1])) for name in TOKENS if longest}
        for frame in frames
    ]
    return default_collate([{**frame, **tokens} for frame, tokens in zip(frames, padded, strict=True)])


def as_inputs(batch: dict[str, torch.Tensor], device: torch.device) -> dict[str, torch.Tensor]:
    """A batch of frames on the device, all but tokens in single precision."""
    return {
        name: values.to(device, dtype=torch.long if name in TOKENS else torch.float32) for name, values in batch.items()
    }


def train_on_frames(
    model: AudioVisualPreTrainedModel,
    processor: AudioVisualProcessor,
    seed: int,
    steps: int,
    clips: int,
    on_log: OnLog = lambda entry: None,
    progress: Callable[[Sequence], Iterable] = iter,
) -> list[dict]:
    """Train `model` in place, its VGGish as it is; returns a log of `{step, loss}` and the loss's terms.

    Args:
        clips: that the frames are taken from.
        on_log: called with each new entry of the log.
        progress: wraps the numbers of the clips while they are rendered.
    """
    heard = [module for name, module in model.backbones().items() if name == "audio"]
    vggish = {id(parameter) for module in heard for parameter in module.parameters()}
    trained = [value for value in model.parameters() if value.requires_grad and id(value) not in vggish]
    order = torch.Generator().manual_seed(seed)
    frames = single_frames(processor, clips, seed, progress)
    size = min(FRAMES_PER_STEP, len(frames))
    batches = DataLoader(frames, size, shuffle=True, drop_last=True, generator=order, collate_fn=collate_frames)
    batches = chain.from_iterable(repeat(batches))
    model.train()

    def terms() -> dict[str, torch.Tensor]:
        outputs = model(**as_inputs(next(batches), model.device))
        return {"loss": outputs.loss, **outputs.loss_dict}

    log = collect_log(optimize(trained, terms, PEAK_RATE, steps, "single frames", BETAS, LOGGING_STEPS), on_log)
    model.zero_grad()
    model.eval()
    return log
