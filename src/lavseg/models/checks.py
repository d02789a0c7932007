"""What configurations and forward passes of all methods refuse, in the same words."""

from itertools import pairwise

import torch
from transformers import PreTrainedConfig

_MASKS = ("frame_mask", "audio_mask", "label_mask")


def check_choices(config: PreTrainedConfig, choices: dict[str, tuple[str, ...]]) -> None:
    """Compare fields of a configuration with what each of them accepts.

    Raises:
        ValueError: that names the first field with another value.
    """
    for name, accepted in choices.items():
        given = getattr(config, name)
        if given not in accepted:
            raise ValueError(f"{name}: {given!r} was given, accepted are {', '.join(map(repr, accepted))}")


def check_shapes(clips: int, frames: int, inputs: dict[str, tuple[torch.Tensor | None, tuple[int | str, ...]]]) -> None:
    """Compare the shapes of a model's inputs with those wanted.

    Args:
        clips, frames: of the batch, for the message.
        inputs: by name what was given and the shape wanted, where a word stands for an axis of any length; inputs that
            are None are passed over.

    Raises:
        ValueError: that names the first input which does not fit, or the first mask that is not bool.
    """
    for name, (given, wanted) in inputs.items():
        if given is not None and name in _MASKS and given.dtype != torch.bool:
            raise ValueError(f"{name}: has to be of dtype bool, got {given.dtype}")
        if given is not None and not _fits(tuple(given.shape), wanted):
            axes = ", ".join(map(str, wanted))
            raise ValueError(
                f"{name}: has to be [{axes}] for {clips} clips of {frames} frames, got {list(given.shape)}"
            )


def real_lengths(name: str, rows: list[list[bool]]) -> list[int]:
    """How many real frames or patches of sound each clip has, from the rows of the mask `name`.

    Raises:
        ValueError: when a clip has none, or a real one comes after padding.
    """
    for clip, row in enumerate(rows):
        if not row or not row[0] or any(later and not earlier for earlier, later in pairwise(row)):
            raise ValueError(f"{name}: every clip needs True for what is real, first, and then False; {clip} has {row}")
    return [sum(row) for row in rows]


def _fits(shape: tuple[int, ...], wanted: tuple[int | str, ...]) -> bool:
    return len(shape) == len(wanted) and all(
        isinstance(edge, str) or edge == size for size, edge in zip(shape, wanted, strict=True)
    )
