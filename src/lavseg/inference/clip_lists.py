"""Which clips are meant by files, folders and lists of them, and where the result of each goes."""

from collections.abc import Sequence
from pathlib import Path

# What is taken for a clip in a folder; a clip that is named may have any name.
CLIP_SUFFIXES = frozenset(
    (".avi", ".flv", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".ogv", ".ts", ".webm", ".wmv")
)
LIST_SUFFIX = ".txt"


def means_many(given: Sequence[str | Path]) -> bool:
    """Whether several clips are meant, even if it is one by chance: a folder, a list, or more than one path."""
    return len(given) > 1 or Path(given[0]).is_dir() or Path(given[0]).suffix.lower() == LIST_SUFFIX


def find_clips(given: Sequence[str | Path]) -> list[Path]:
    """The clips in folders, named in lists and given themselves, in their order; those of a folder by name.

    Args:
        given: paths of clips, of folders, whose clips are known by `CLIP_SUFFIXES`, and of text files ending in `.txt`,
            with one path a line, which starts at the list's folder.

    Raises:
        ValueError: a folder or list has none, or cannot be read.
    """
    clips = []
    for path in map(Path, given):
        if path.is_dir():
            found = sorted(file for file in path.iterdir() if _names_clip(file.name))
            if not found:
                raise ValueError(f"clip: {path} holds no clip; their names end in {', '.join(sorted(CLIP_SUFFIXES))}")
        elif path.suffix.lower() == LIST_SUFFIX:
            found = [path.parent / line for line in read_lines(path, "clip")]
        else:
            found = [path]
        clips += found
    return clips


def _names_clip(name: str) -> bool:
    """Names that begin with a dot are of hidden files, such as macOS lays beside clips."""
    return Path(name).suffix.lower() in CLIP_SUFFIXES and not name.startswith(".")


def read_lines(path: str | Path, argument: str) -> list[str]:
    """The lines of a text file in UTF-8, without empty ones and blanks around them.

    Args:
        path: the file.
        argument: as what it was given, for error messages.

    Raises:
        ValueError: it cannot be read, or all lines are empty.
    """
    try:
        lines = Path(path).read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not in UTF-8"
        raise ValueError(f"{argument}: {path} cannot be read, {reason}") from error
    lines = [line.strip() for line in lines if line.strip()]
    if not lines:
        raise ValueError(f"{argument}: {path} has no lines")
    return lines


def result_folders(clips: Sequence[Path], out: str | Path) -> list[Path]:
    """A folder below `out` for each clip, named after the clip, without its suffix.

    Raises:
        ValueError: two clips would share one.
    """
    by_name: dict[str, Path] = {}
    for clip in clips:
        other = by_name.setdefault(clip.stem.lower(), clip)
        if other is not clip:
            raise ValueError(
                f"clip: {other} and {clip} would both be written to {Path(out) / other.stem}; give them other names"
            )
    return [Path(out) / clip.stem for clip in clips]
