"""What reading and writing share: their error, and the rates they take."""

from numbers import Real


class MediaError(ValueError):
    """A file cannot be used as a clip or as sound. The message names the file and the reason."""


class MediaWarning(UserWarning):
    """A file is used, but not all of it, or not all that is used comes from it. The message names the file."""


def check_fps(fps: float) -> None:
    """Refuse what is no usable number of frames per second.

    Raises:
        ValueError: `fps` is not a number from 0.001 to 1000.
    """
    if not (isinstance(fps, Real) and 0.001 <= fps <= 1000):
        raise ValueError(f"fps is {fps!r}; give a number from 0.001 to 1000")
