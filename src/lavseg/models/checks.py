"""What configurations and forward passes of all methods refuse, in the same words."""

import torch
from transformers import PreTrainedConfig


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
        ValueError: that names the first input which does not fit.
    """
    for name, (given, wanted) in inputs.items():
        if given is not None and not _fits(tuple(given.shape), wanted):
            axes = ", ".join(map(str, wanted))
            raise ValueError(
                f"{name}: has to be [{axes}] for {clips} clips of {frames} frames, got {list(given.shape)}"
            )


def _fits(shape: tuple[int, ...], wanted: tuple[int | str, ...]) -> bool:
    return len(shape) == len(wanted) and all(
        isinstance(edge, str) or edge == size for size, edge in zip(shape, wanted, strict=True)
    )
