"""Teach a method that only hears and sees which object sounds, in single frames with their second of sound.

A frame costs a fifth of a clip of five. Whole clips, in which objects have to be followed too, come afterwards.
"""

from collections.abc import Callable, Iterable, Sequence
from itertools import chain, repeat

import numpy as np
import torch
from torch.utils.data import DataLoader

from lavseg.data import render_clip
from lavseg.data.synthetic.rendering import SAMPLING_RATE
from lavseg.data.synthetic.synthetic_avsbench import draw_sounding_objects
from lavseg.modeling.base import AudioVisualPreTrainedModel
from lavseg.modeling.processing import AudioVisualProcessor

from .optimization import optimize

BATCH = 16
PEAK_RATE, BETAS = 3e-3, (0.9, 0.95)
LOGGING_STEPS = 10
FRAMES_PER_CLIP = 5


def single_frames(
    processor: AudioVisualProcessor, clips: int, seed: int, progress: Callable[[Sequence], Iterable] = iter
) -> list[dict[str, torch.Tensor]]:
    """The frames of so many clips, of either kind in turn, each as a clip of its own; `labels` mark what sounds."""
    rng, found = np.random.default_rng([seed, 5]), []
    for number in progress(range(clips)):
        objects = draw_sounding_objects(rng, FRAMES_PER_CLIP, several=number % 2 == 1)
        clip = render_clip(rng, FRAMES_PER_CLIP, objects=objects)
        inputs = processor(clip.frames, clip.waveform, sampling_rate=SAMPLING_RATE)
        sounding = np.stack([item.seconds for item in objects])[..., None, None]
        labels = torch.from_numpy((clip.masks & sounding).any(0))
        for frame in range(FRAMES_PER_CLIP):
            found.append(
                {
                    "pixel_values": inputs["pixel_values"][0, frame : frame + 1].half(),
                    "input_features": inputs["input_features"][0, frame : frame + 1].half(),
                    "labels": labels[frame : frame + 1],
                }
            )
    return found


def train_on_frames(
    model: AudioVisualPreTrainedModel,
    processor: AudioVisualProcessor,
    seed: int,
    steps: int,
    clips: int,
    on_log: Callable[[dict], None] = lambda entry: None,
    progress: Callable[[Sequence], Iterable] = iter,
    batch: int = BATCH,
) -> list[dict]:
    """Train `model` in place, its VGGish as it is; returns a log of `{step, loss}` and the loss's terms.

    Args:
        clips: that the frames are taken from.
        on_log: called with each new entry of the log.
        progress: wraps the numbers of the clips while they are rendered.
        batch: frames per step.
    """
    vggish = {id(parameter) for parameter in model.backbones()["audio"].parameters()}
    trained = [value for value in model.parameters() if value.requires_grad and id(value) not in vggish]
    order, log = torch.Generator().manual_seed(seed), []
    frames = single_frames(processor, clips, seed, progress)
    batches = DataLoader(frames, min(batch, len(frames)), shuffle=True, drop_last=True, generator=order)
    batches = chain.from_iterable(repeat(batches))
    model.train()

    def terms() -> dict[str, torch.Tensor]:
        outputs = model(**{name: values.to(model.device).float() for name, values in next(batches).items()})
        return {"loss": outputs.loss, **outputs.loss_dict}

    for entry in optimize(trained, terms, PEAK_RATE, steps, "single frames", BETAS, LOGGING_STEPS):
        log.append(entry)
        on_log(entry)
    model.zero_grad()
    model.eval()
    return log
