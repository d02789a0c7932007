"""A configuration of a method under test, and the clips and inputs that it is tested with."""

import copy
import inspect
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import nn
from transformers import BatchFeature, PreTrainedTokenizerBase

from ..modeling.base import AudioVisualPreTrainedModel
from ..modeling.configuration import AudioVisualConfig
from ..modeling.outputs import AudioVisualSegmentationOutput
from ..modeling.processing import AudioVisualProcessor

RATE = 16000
# Frames of the two clips, their size, and the size of labels.
LENGTHS = (3, 2)
FRAME_SIZE, LABEL_SIZE = (48, 64), (45, 60)
SENTENCES = ["the red circle", "what sounds"]


@dataclass(frozen=True, eq=False)
class Variant:
    """One configuration of a method, and what is declared about it.

    Args:
        config: configuration of the model, as small as can be.
        model_class, processor_class: classes of the method.
        parameters: number of the model's parameters.
        trainable: number of those that train under this configuration.
        tokenizer: tokenizer of the text encoder; None for a method that reads no text.
        unreached: parts of the names of parameters that could train, as the method's own or by adapters, but that the
            loss of this configuration does not reach.
        waits: times that the host has to read what the device has found, as it decides what is done next.
    """

    config: AudioVisualConfig
    model_class: type[AudioVisualPreTrainedModel]
    processor_class: type[AudioVisualProcessor]
    parameters: int
    trainable: int
    tokenizer: PreTrainedTokenizerBase | None = None
    unreached: tuple[str, ...] = ()
    waits: int = 0

    def make_model(self) -> AudioVisualPreTrainedModel:
        """A model with reproducible weights, also where layers start at zero, that judges objects visible."""
        torch.manual_seed(0)
        model = self.model_class(copy.deepcopy(self.config)).eval()
        with torch.no_grad():
            for name, parameter in model.named_parameters():
                if "positional_embedding" not in name:
                    parameter.add_(0.05 * torch.randn_like(parameter))
            shift_object_scores(model, 20)
        return model

    @cached_property
    def model(self) -> AudioVisualPreTrainedModel:
        """The model in double precision, in which nothing hangs on rounding. Not to be changed."""
        return self.make_model().double()

    @cached_property
    def processor(self) -> AudioVisualProcessor:
        """The processor that fits the model."""
        return self.processor_class.from_config(self.config, *([self.tokenizer] if self.tokenizer else []))

    @property
    def num_sentences(self) -> int:
        """Sentences asked of each clip; a method that reads none has one mask for each frame."""
        return len(SENTENCES) if self.tokenizer else 1

    def prepare(self, clips: list[int], sentences: list[str] | None = None) -> BatchFeature:
        """Model inputs of some of the clips, by their places in `LENGTHS`, with all sentences or some."""
        videos, sounds = zip(*(make_clip(clip) for clip in clips), strict=True)
        texts = {"text": [sentences or SENTENCES] * len(clips)} if self.tokenizer else {}
        heard = {"audio": list(sounds), "sampling_rate": RATE} if self.processor.needs_audio else {}
        return self.processor(list(videos), **heard, **texts)

    @cached_property
    def inputs(self) -> BatchFeature:
        """Model inputs of the two clips, of different lengths."""
        return self.prepare([0, 1])

    @cached_property
    def outputs(self) -> AudioVisualSegmentationOutput:
        """What the model makes of them."""
        return run(self.model, self.inputs)

    @cached_property
    def labels(self) -> dict[str, torch.Tensor]:
        """Masks and, where the model takes them, classes for the two clips."""
        labels = torch.zeros(len(LENGTHS), self.num_sentences, max(LENGTHS), *LABEL_SIZE, dtype=torch.uint8)
        labels[..., 10:30, 20:50] = 1
        classes = {"class_labels": labels[:, 0].long()} if self.model.names_classes else {}
        return {"labels": labels, **classes}

    @property
    def arguments(self) -> set[str]:
        """Names that `forward` takes."""
        return set(inspect.signature(self.model_class.forward).parameters)

    def train_once(self, checkpointing: bool = False) -> AudioVisualPreTrainedModel:
        """A model in training mode after one backward pass."""
        model = self.make_model()
        if checkpointing:
            model.gradient_checkpointing_enable()
        model.train()
        given = {**self.inputs, **self.labels}  # made before the draws of the step
        torch.manual_seed(0)
        model(**given).loss.backward()
        return model

    @cached_property
    def trained(self) -> AudioVisualPreTrainedModel:
        """A model after one backward pass. Not to be changed."""
        return self.train_once()


def make_clip(index: int) -> tuple[np.ndarray, np.ndarray]:
    """Frames uint8 `[T, H, W, 3]` and stereo sound of one of the two clips."""
    rng = np.random.default_rng(index)
    height, width = (edge // 8 for edge in FRAME_SIZE)
    coarse = rng.integers(0, 256, (LENGTHS[index], height, width, 3), dtype=np.uint8)
    time = np.arange(LENGTHS[index] * RATE) / RATE
    sound = 0.3 * np.stack([np.sin(2 * np.pi * (300 + 200 * index + 80 * time) * time), np.sin(4400 * time)])
    return coarse.repeat(8, axis=1).repeat(8, axis=2), sound.astype(np.float32)


def shift_object_scores(model: nn.Module, by: float) -> bool:
    """Make the mask decoder of a SAM2 host judge every object more visible; False where there is no such host."""
    heads = [module for name, module in model.named_modules() if name.endswith("pred_obj_score_head")]
    for head in heads:
        nn.init.constant_(head.proj_out.bias, by)
    return bool(heads)


def as_double(inputs: dict[str, Any]) -> dict[str, Any]:
    """Inputs whose floating tensors are in double precision."""
    floating = {name for name, value in inputs.items() if torch.is_tensor(value) and value.is_floating_point()}
    return {name: value.double() if name in floating else value for name, value in inputs.items()}


@torch.no_grad()
def run(model: AudioVisualPreTrainedModel, inputs: dict[str, Any]) -> AudioVisualSegmentationOutput:
    """The outputs of a model in double precision."""
    return model(**as_double(inputs))
