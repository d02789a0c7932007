"""What callers give, clips and tensors, weights and settings: brought to one form, or refused in the same words."""

import math
import warnings
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from functools import wraps
from itertools import pairwise
from numbers import Real
from typing import Any

import torch
from torch import nn
from torch.utils._python_dispatch import is_traceable_wrapper_subclass
from transformers import PreTrainedConfig

_MASKS = ("frame_mask", "audio_mask", "label_mask")
# Numbers of processors that are divided by, or would make all frames alike.
_NOT_ZERO = ("image_std", "rescale_factor")


def renamed_arguments(**names: str) -> Callable[[Callable], Callable]:
    """Have a function take arguments by their former names as well, with a DeprecationWarning: `former="present"`."""

    def decorate(function: Callable) -> Callable:
        @wraps(function)
        def renamed(*args: Any, **kwargs: Any) -> Any:
            for former in names.keys() & kwargs.keys():
                warnings.warn(f"{former}: is called {names[former]} now", DeprecationWarning, stacklevel=2)
                kwargs[names[former]] = kwargs.pop(former)
            return function(*args, **kwargs)

        return renamed

    return decorate


def check_choices(config: PreTrainedConfig, choices: dict[str, tuple[str, ...]]) -> None:
    """Compare fields of a configuration with what each of them accepts.

    Raises:
        ValueError: that names the first field with another value.
    """
    for name, accepted in choices.items():
        given = getattr(config, name)
        if given not in accepted:
            raise ValueError(f"{name}: {given!r} was given, accepted are {', '.join(map(repr, accepted))}")


def check_heads(heads: int, width: int, owner: str) -> None:
    """Compare the `num_attention_heads` of a configuration with the width that they share.

    Args:
        owner: whose width it is, for the message.

    Raises:
        ValueError: when there are none, or when they do not divide the width.
    """
    if heads < 1 or width % heads:
        raise ValueError(
            f"num_attention_heads: {heads} was given, it has to be 1 or more and to divide {owner}, {width}"
        )


def check_counts(config: PreTrainedConfig, *names: str) -> None:
    """Fields of a configuration that are at least one.

    Raises:
        ValueError: when one is not.
    """
    for name in names:
        if getattr(config, name) < 1:
            raise ValueError(f"{name}: {getattr(config, name)} was given, it has to be 1 or more")


def check_keys(source: str, given: Iterable[str], accepted: Collection[str]) -> None:
    """Compare names that were given with those accepted.

    Args:
        source: what they were given in, for the message.

    Raises:
        ValueError: that names the first unknown one, and the accepted one that it resembles.
    """
    for name in given:
        if name not in accepted:
            close = get_close_matches(str(name), accepted, n=1)
            raise ValueError(f"{source}: unknown key {name!r}" + (f"; did you mean {close[0]!r}?" if close else ""))


def check_text(argument: str, owner: str, given: Any, reads: bool) -> None:
    """Text is needed by what reads and refused by what does not.

    Args:
        argument: name of the text, for the message.
        owner: whom it is for.
        given: the text in any form, or None.
        reads: whether the owner does.

    Raises:
        ValueError: when text is missing or given for one that reads none.
    """
    if reads and given is None:
        raise ValueError(f"{argument}: {owner} needs an expression, such as 'the louder of the two dogs'")
    if not reads and given is not None:
        raise ValueError(f"{argument}: {owner} reads no text; leave it out")


def check_given(name: str, given: Any, other_name: str = "", other: Any = None) -> None:
    """An input is needed, or else the one that may stand in for it.

    Raises:
        ValueError: when neither or both of them are given.
    """
    if given is None and other is None:
        instead = f", or {other_name} in its place" if other_name else ""
        raise ValueError(f"{name}: missing; pass it as the processor returns it{instead}")
    if given is not None and other is not None:
        raise ValueError(f"{name}: {other_name} was given, too; pass one of them")


def check_shapes(clips: int, frames: int, inputs: dict[str, tuple[torch.Tensor | None, tuple[int | str, ...]]]) -> None:
    """Compare the shapes of a model's inputs with those wanted.

    Args:
        clips, frames: numbers of the batch, for the message.
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


def check_ids(name: str, ids: torch.Tensor, count: int) -> None:
    """Ids, of tokens or classes, are whole numbers from 0 to below `count`; waits for their device.

    Raises:
        ValueError: that names the first other one.
    """
    if ids.is_floating_point() or ids.is_complex() or ids.dtype == torch.bool:
        raise ValueError(f"{name}: has to hold whole numbers, got {ids.dtype}")
    if not torch.compiler.is_compiling() and (foreign := ids[(ids < 0) | (ids >= count)]).numel():
        raise ValueError(f"{name}: has to hold ids from 0 to {count - 1}, got {foreign[0].item()}")


def check_class_config(config: PreTrainedConfig) -> None:
    """What a configuration says to a model that names classes, of which the first is background.

    Raises:
        ValueError: when the model would read, or names less than background and one class.
    """
    if getattr(config, "use_text", False):
        raise ValueError("use_text: a model that names classes takes no sentences, set use_text=False")
    if config.num_labels < 2:
        raise ValueError(f"num_labels: counts background and at least one class, got {config.num_labels}")


def check_class_labels(class_labels: torch.Tensor | None, count: int) -> None:
    """What a model that names `count` classes, background among them, learns from; waits for its device.

    Raises:
        ValueError: when it is missing, or holds something else than their ids.
    """
    if class_labels is None:
        raise ValueError("class_labels: missing; a model that names classes learns from semantic masks, not labels")
    check_ids("class_labels", class_labels, count)


def _check_values(inputs: Mapping[str, torch.Tensor | None], labels: torch.Tensor | None, where: torch.Tensor) -> None:
    """What a model computes with floats; `labels [B, E, T, h, w]` are 0 and 1 on the frames bool `where [B, T]`."""
    for name, given in inputs.items():
        if given is not None and not given.is_floating_point():
            raise ValueError(f"{name}: has to hold floats as the processor returns them, got {given.dtype}")
    if labels is None or labels.dtype == torch.bool or torch.compiler.is_compiling():
        return
    foreign = (labels != 0) & (labels != 1) & where[:, None, :, None, None]
    if foreign.any():
        raise ValueError(
            f"labels: have to be 0 and 1, got {labels[foreign][0].item()}; for masks of 0 and 255 pass labels > 0"
        )


@dataclass(frozen=True, eq=False)
class ClipInputs:
    """Inputs of `B` clips of up to `T` frames for `E` expressions each, in the one form that models work with.

    input_ids: `[B, E, P]`, or None.
    text_embeddings: `[B, E, P, D]` in its place, or None.
    lengths: number of real frames of each clip.
    frame_mask: bool `[B, T]`; audio_mask: bool `[B, A]`, None where nothing is heard.
    labels: `[B, E, T, h, w]`, or None; where nothing is read there may be several truths for one mask.
    labeled: bool `[B, T]`, real frames whose labels count.
    """

    input_ids: torch.Tensor | None
    lengths: list[int]
    frame_mask: torch.Tensor
    audio_mask: torch.Tensor | None
    labels: torch.Tensor | None
    labeled: torch.Tensor
    text_embeddings: torch.Tensor | None = None

    @property
    def batch(self) -> tuple[int, int, int]:
        """Numbers of clips, of expressions about each, and of frames."""
        clips, frames = self.frame_mask.shape
        read = self.input_ids if self.text_embeddings is None else self.text_embeddings
        return clips, 1 if read is None else read.shape[1], frames

    @property
    def truths(self) -> tuple[torch.Tensor, ...]:
        """Labels `[B, E, T, h, w]` of as many masks as are predicted, which the loss is a mean over: all of them, or
        where nothing is read one after the other."""
        return self.labels.split(self.batch[1], dim=1)


def prepare_clips(
    frames: Mapping[str, tuple[torch.Tensor | None, tuple[int | str, ...]]],
    sounds: Mapping[str, tuple[torch.Tensor | None, tuple[int | str, ...]]],
    input_ids: torch.Tensor | None,
    frame_mask: torch.Tensor | None,
    audio_mask: torch.Tensor | None,
    labels: torch.Tensor | None,
    label_mask: torch.Tensor | None,
    text_embeddings: torch.Tensor | None = None,
) -> ClipInputs:
    """Compare the inputs of a `forward` with each other and fill in what was left out; waits for masks and labels.

    Args:
        frames: by name what is given for each frame, and its axes after `[B, T]`; some are None, but not all.
        sounds: by name forms of the sound, and their axes after `[B]`; some are None, but not all. Nothing for a model
            that hears nothing.
        input_ids: `[B, E, P]`, or `[B, P]` for one expression per clip.
        frame_mask, audio_mask: bool `[B, T]` and `[B, A]`; all is real when None.
        labels: `[B, E, T, h, w]`, or `[B, T, h, w]` for one expression per clip; without `input_ids` any number `E`.
        label_mask: bool `[B, T]`, True for frames that carry a label; all real frames when None.
        text_embeddings: `[B, E, P, D]` in place of `input_ids`.

    Raises:
        ValueError: that names the first input of another shape or type, the first mask that is not bool, or a label
            other than 0 and 1 where there is one; when a clip has no real frame, or one that comes after padding.
    """
    if input_ids is not None and input_ids.dim() == 2:
        input_ids = input_ids[:, None]
    if labels is not None and labels.dim() == 4:
        labels = labels[:, None]
    seen, heard = (
        next((value for value, _ in given.values() if value is not None), None) for given in (frames, sounds)
    )
    clips, length = seen.shape[:2]
    all_real = frame_mask is None
    if all_real:
        frame_mask = torch.ones(clips, length, dtype=torch.bool, device=seen.device)
    if audio_mask is None and heard is not None:
        audio_mask = torch.ones(heard.shape[:2], dtype=torch.bool, device=heard.device)
    read = input_ids if text_embeddings is None else text_embeddings
    expressions = "truths" if read is None else read.shape[1]
    shapes = {
        **{name: (value, (clips, length, *axes)) for name, (value, axes) in frames.items()},
        **{name: (value, (clips, *axes)) for name, (value, axes) in sounds.items()},
        "input_ids": (input_ids, (clips, "expressions", "tokens")),
        "text_embeddings": (text_embeddings, (clips, "expressions", "tokens", "channels")),
        "frame_mask": (frame_mask, (clips, length)),
        **({} if heard is None else {"audio_mask": (audio_mask, tuple(heard.shape[:2]))}),
        "label_mask": (label_mask, (clips, length)),
        "labels": (labels, (clips, expressions, length, "height", "width")),
    }
    check_shapes(clips, length, shapes)
    labeled = frame_mask if label_mask is None else label_mask & frame_mask
    lengths = [length] * clips if all_real else real_lengths("frame_mask", frame_mask.tolist())
    floats = {name: value for name, (value, _) in (frames | sounds).items() if name != "class_labels"}
    _check_values(floats, labels, labeled)
    return ClipInputs(input_ids, lengths, frame_mask, audio_mask, labels, labeled, text_embeddings)


def embedding_shapes(
    image_embeddings: Sequence[torch.Tensor] | None, *axes: tuple[int | str, ...]
) -> dict[str, tuple[torch.Tensor, tuple[int | str, ...]]]:
    """For `prepare_clips` the tensors that `embed_frames` returns, with the `axes` of each after `[B, T]`.

    Raises:
        ValueError: when there are more or fewer.
    """
    if image_embeddings is None:
        return {}
    if len(image_embeddings) != len(axes):
        raise ValueError(
            f"image_embeddings: have to be the {len(axes)} tensors of embed_frames, got {len(image_embeddings)}"
        )
    return {f"image_embeddings[{index}]": pair for index, pair in enumerate(zip(image_embeddings, axes, strict=True))}


def real_lengths(name: str, rows: list[list[bool]]) -> list[int]:
    """How many real frames or patches of sound each clip has, from the rows of the mask `name`.

    Raises:
        ValueError: when a clip has none, or a real one comes after padding.
    """
    for clip, row in enumerate(rows):
        if not row or not row[0] or any(later and not earlier for earlier, later in pairwise(row)):
            raise ValueError(f"{name}: every clip needs True for what is real, first, and then False; {clip} has {row}")
    return [sum(row) for row in rows]


def first_non_finite(tensors: Mapping[str, torch.Tensor]) -> str | None:
    """The name of the first tensor that holds NaN or infinite values, if any; every device is waited for once."""
    tensors, devices = _plain(tensors), {}
    for name, tensor in tensors.items():
        if tensor.is_floating_point() and not tensor.is_meta:
            devices.setdefault(tensor.device, []).append(name)
    suspects = set()
    for names in devices.values():
        # A sum is one pass without a copy, and finite only where all its terms are.
        sums = torch.stack([tensors[name].detach().sum(dtype=torch.float32) for name in names])
        suspects |= {name for name, finite in zip(names, sums.isfinite().tolist(), strict=True) if not finite}
    return next((name for name in tensors if name in suspects and not tensors[name].isfinite().all()), None)


def _plain(tensors: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The tensors, a quantised one as what it consists of, such as its scale."""
    plain = {}
    for name, tensor in tensors.items():
        parts = tensor.__tensor_flatten__()[0] if is_traceable_wrapper_subclass(tensor) else ()
        plain |= {f"{name}.{part}": getattr(tensor, part) for part in parts} or {name: tensor}
    return plain


def check_weights(model: nn.Module) -> None:
    """Look at every parameter and stored buffer of a model.

    Raises:
        ValueError: that names the first tensor with NaN or infinite values.
    """
    if name := first_non_finite(model.state_dict()):
        raise ValueError(
            f"{name} of {type(model).__name__} holds NaN or infinite values; the weights are damaged, or from a "
            "training that diverged"
        )


def check_constants(owner: str, values: Mapping[str, Any]) -> None:
    """Look at the numbers, also those in lists and dictionaries, that a processor works with.

    Raises:
        ValueError: that names the first which is not finite, and a standard deviation or scale of zero.
    """
    for name, value in values.items():
        numbers = list(_numbers(value))
        if not all(map(math.isfinite, numbers)):
            raise ValueError(f"{owner}: {name} has to be finite, got {value}")
        if name in _NOT_ZERO and 0 in numbers:
            raise ValueError(f"{owner}: {name} has to be other than 0, got {value}")


def _numbers(value: Any) -> Iterator[Real]:
    if isinstance(value, Mapping):
        value = list(value.values())
    if hasattr(value, "tolist"):
        value = value.tolist()
    if isinstance(value, list | tuple):
        for item in value:
            yield from _numbers(item)
    elif isinstance(value, Real):
        yield value


def _fits(shape: tuple[int, ...], wanted: tuple[int | str, ...]) -> bool:
    return len(shape) == len(wanted) and all(
        isinstance(edge, str) or edge == size for size, edge in zip(shape, wanted, strict=True)
    )
