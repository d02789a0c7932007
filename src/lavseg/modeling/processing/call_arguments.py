"""What a processor is called with: clips, sounds, sentences and options, brought to one form."""

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, TypedDict

import numpy as np
import torch
from transformers.processing_utils import ProcessingKwargs

from ..inputs import check_keys

# Tokens of a sentence; more than any text encoder reads.
LONGEST_TEXT = 10_000


class TextOptions(TypedDict, total=False):
    """What a call may tell the tokenizer."""

    max_length: int
    padding: bool | str
    truncation: bool | str
    padding_side: str
    pad_to_multiple_of: int
    add_special_tokens: bool


class VideoOptions(TypedDict, total=False):
    """What a call may say about frames that are given."""

    do_sample_frames: bool


class AudioOptions(TypedDict, total=False):
    """Nothing but `sampling_rate`, an argument of its own."""


class CallOptions(ProcessingKwargs, total=False):
    """Options of a call by what they are for; those for images are the image processor's own."""

    text_kwargs: TextOptions
    videos_kwargs: VideoOptions
    audio_kwargs: AudioOptions


def sort_options(given: Mapping[str, Any], accepted: Mapping[str, Collection[str]]) -> dict[str, dict[str, Any]]:
    """Options of a processor's call by what they are for, as Transformers takes them.

    Args:
        given: options by name, or in dictionaries such as `text_kwargs`.
        accepted: names of options by the dictionary that they may be in.

    Raises:
        ValueError: for an option that is unknown or given twice, or a dictionary that is none.
    """
    found = {}
    for kind, names in accepted.items():
        if not isinstance(given.get(kind, {}), Mapping):
            raise ValueError(f"{kind}: takes options by name, got {given[kind]!r}")
        found[kind] = dict(given.get(kind, {}))
        check_keys(kind, found[kind], names)
    check_keys("processor", given, {*accepted, *(name for names in accepted.values() for name in names)})
    for name in given.keys() - accepted.keys():
        for kind in (kind for kind, names in accepted.items() if name in names):
            if name in found[kind]:
                raise ValueError(f"{name}: was given twice, in {kind} and by itself; pass one of them")
            found[kind][name] = given[name]
    return found


def check_text_length(length: int, name: str = "max_text_length") -> int:
    """Tokens that a processor gives an expression.

    Raises:
        ValueError: when they are no whole number from 1 to `LONGEST_TEXT`.
    """
    if not isinstance(length, int) or not 1 <= length <= LONGEST_TEXT:
        raise ValueError(f"{name}: has to be a whole number above 0, up to {LONGEST_TEXT}, got {length!r}")
    return length


def check_expression_counts(texts: list[list[str]]) -> None:
    """Every clip of a batch has as many expressions.

    Raises:
        ValueError: when they differ.
    """
    if len({len(expressions) for expressions in texts}) > 1:
        counts = [len(expressions) for expressions in texts]
        raise ValueError(f"text: every clip of a batch takes the same number of expressions, got {counts}")


def _is_clip(video: Any) -> bool:
    """Whether `video` is one clip rather than a list of clips."""
    if not isinstance(video, list | tuple) or not video:
        return True
    first = video[0]
    if isinstance(first, np.ndarray | torch.Tensor):
        return first.ndim != 4
    return not isinstance(first, str | Path | list | tuple)


def as_batch(video: Any, audio: Any, text: Any, sampling_rate: Any) -> tuple[list, list, list[list[str]] | None, list]:
    """All arguments as lists over clips; `text` as a list of lists."""
    if _is_clip(video):
        texts = None if text is None else [_expressions(text, "text")]
        return [video], [audio], texts, [sampling_rate]
    count = len(video)
    audios = [None] * count if audio is None else _one_a_clip(audio, count, "audio", "paths or waveforms")
    texts = text
    if text is not None:
        texts = _one_a_clip(text, count, "text", "expressions, or of lists of expressions")
        texts = [_expressions(entry, f"text[{index}]") for index, entry in enumerate(texts)]
    if isinstance(sampling_rate, list | tuple):
        rates = _one_a_clip(sampling_rate, count, "sampling_rate", "rates in Hz, or one for all")
    else:
        rates = [sampling_rate] * count
    return list(video), audios, texts, rates


def _one_a_clip(values: Any, count: int, name: str, kind: str) -> list:
    given = len(values) if isinstance(values, list | tuple) else type(values).__name__
    if given != count:
        raise ValueError(f"{name}: the {count} clips of video take a list of {count} {kind}, got {given}")
    return list(values)


def _expressions(text: Any, name: str) -> list[str]:
    expressions = [text] if isinstance(text, str) else text
    if not isinstance(expressions, list | tuple) or not expressions:
        raise ValueError(f"{name}: has to be a string or a list of strings, got {text!r}")
    for expression in expressions:
        if not isinstance(expression, str):
            raise ValueError(
                f"{name}: has to be a string or a list of strings, got a {type(expression).__name__} in it"
            )
        if not expression.strip():
            raise ValueError(f"{name}: an expression is empty; say which object is meant")
    return list(expressions)


def pad_sounds(sounds: list[torch.Tensor]) -> dict[str, torch.Tensor]:
    """Patches of clips of several lengths as one batch; those of shorter clips end in zeros, which the mask hides."""
    pad = torch.nn.utils.rnn.pad_sequence
    audio_mask = pad([torch.ones(len(patches), dtype=torch.bool) for patches in sounds], batch_first=True)
    return {"input_features": pad(sounds, batch_first=True), "audio_mask": audio_mask}


def as_numpy(data: Mapping[str, Any]) -> dict[str, Any]:
    """Model inputs with arrays in place of tensors."""
    return {name: value.numpy() if isinstance(value, torch.Tensor) else value for name, value in data.items()}


def decoded_sound(sound: Mapping[str, Any], rate: int | None, name: str) -> tuple[Any, int]:
    """Waveform and rate of a sound as `datasets` gives it.

    Raises:
        ValueError: when it lacks one of them, or another rate was given beside it.
    """
    if sound.get("array") is None or sound.get("sampling_rate") is None:
        raise ValueError(f"audio{name}: a dictionary holds 'array' and 'sampling_rate', got {', '.join(sound)}")
    if rate not in (None, sound["sampling_rate"]):
        raise ValueError(
            f"sampling_rate: {rate} was given, but audio{name} says {sound['sampling_rate']}; leave it out"
        )
    return sound["array"], sound["sampling_rate"]
