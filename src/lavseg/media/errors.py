"""What reading and writing share: their error and their warnings, and the rates they take."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from numbers import Real


class MediaError(ValueError):
    """A file cannot be used as a clip or as sound. The message names the file and the reason."""


class MediaWarning(UserWarning):
    """A file is used, but not all of it, or not all that is used comes from it. The message names the file."""


@contextmanager
def caught_warnings() -> Iterator[list[warnings.WarningMessage]]:
    """What is warned of about clips in the block, as a list; other warnings are dropped."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("ignore")
        warnings.simplefilter("default", MediaWarning)
        yield caught


def check_fps(fps: float) -> None:
    """Refuse what is no usable number of frames per second.

    Raises:
        ValueError: `fps` is not a number from 0.001 to 1000.
    """
    if not (isinstance(fps, Real) and 0.001 <= fps <= 1000):
        raise ValueError(f"fps is {fps!r}; give a number from 0.001 to 1000")
