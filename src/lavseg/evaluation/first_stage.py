"""A first stage: a checkpoint whose masks another model is given, which names what they show."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from transformers import BatchFeature

from ..data.collator import ClipCollator
from ..modeling.base import AudioVisualPreTrainedModel
from ..modeling.processing import AudioVisualProcessor

# Height and width of its masks, as Stepping-Stones was trained and published with.
PRIOR_SIZE = (224, 224)
_PREFIX = "first_stage."
_TARGETS = ("labels", "label_mask", "class_labels")


@dataclass(frozen=True, eq=False)
class FirstStage:
    """A model that finds what sounds, on its device, and its processor.

    ```python
    first = lavseg.FirstStage(*lavseg.load_checkpoint("auralsam2-v2"))
    for frame in lavseg.segment_video(model, processor, "clip.mp4", first_stage=first):
        print(frame.part.time, frame.masks.shape)
    ```

    Raises:
        ValueError: when it reads sentences, or needs a first stage itself.
    """

    model: AudioVisualPreTrainedModel
    processor: AudioVisualProcessor

    def __post_init__(self):
        name = type(self.model).__name__
        if self.processor.needs_text:
            raise ValueError(f"stage_one: {name} reads sentences; give a checkpoint that finds what sounds without")
        if self.model.takes_prior_masks:
            raise ValueError(f"stage_one: {name} needs a first stage itself; give a checkpoint of masks")

    def to(self, device: torch.device) -> "FirstStage":
        """Itself, with the model on `device`."""
        self.model.to(device)
        return self

    def add_masks(self, inputs: BatchFeature) -> BatchFeature:
        """Inputs of [`TwoStageCollator`] with `prior_masks [B, T, 224, 224]` in place of what the first stage is given,
        which is run here."""
        own = {name: inputs.pop(name) for name in list(inputs) if name.startswith(_PREFIX)}
        given = BatchFeature({name.removeprefix(_PREFIX): value for name, value in own.items()}).to(self.model.device)
        with torch.inference_mode():
            outputs = self.model(**given)
        masks = self.processor.post_process_masks(outputs, [PRIOR_SIZE] * len(given["frame_mask"]))
        inputs["prior_masks"] = torch.stack(masks).float().clone()
        return inputs


def check_first_stage(model: AudioVisualPreTrainedModel, given: bool) -> None:
    """A first stage is needed by what names its masks, and refused by what does not.

    Raises:
        ValueError: when it is missing, or given for another model.
    """
    name = type(model).__name__
    if model.takes_prior_masks and not given:
        raise ValueError(f"stage_one: {name} names what the masks of a first stage show; give that one's checkpoint")
    if given and not model.takes_prior_masks:
        raise ValueError(f"stage_one: {name} takes no masks of a first stage; leave it out")


@dataclass
class TwoStageCollator:
    """Makes the inputs of a model of rows, and beside them those of its first stage, for [`FirstStage`].

    Attributes:
        collator: of the model.
        first: of its first stage.
    """

    collator: ClipCollator
    first: ClipCollator

    @property
    def processor(self) -> AudioVisualProcessor:
        """The model's."""
        return self.collator.processor

    def __call__(self, clips: Sequence[list[dict]]) -> BatchFeature:
        batch = self.collator(clips)
        first = {name: value for name, value in self.first(clips).items() if name not in _TARGETS}
        batch.update({f"{_PREFIX}{name}": value for name, value in first.items()})
        return batch


__all__ = ["FirstStage", "TwoStageCollator", "check_first_stage"]
