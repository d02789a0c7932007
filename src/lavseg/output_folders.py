"""Where results may be written, and how nothing half-written is left there."""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory

# From so many files on, all that waits for the disk is written at once: file by file takes milliseconds each.
MANY_FILES = 100


def check_writable_folder(path: str | Path, argument: str) -> Path:
    """`path` as a folder to write into, whatever it holds.

    Args:
        path: may exist or not.
        argument: its name in error messages.

    Raises:
        ValueError: when it is a file, or neither it nor the nearest folder above it may be written into.
    """
    path = Path(path)
    if path.exists() and not path.is_dir():
        raise ValueError(f"{argument}: {path} is a file; give a folder")
    _check_can_write_into(path if path.exists() else _nearest_above(path), path, argument)
    return path


def check_new_folder(path: str | Path, argument: str) -> Path:
    """`path` as a folder that does not exist yet or is empty, for [`staged_folder`] to make.

    Args:
        path: may exist or not.
        argument: its name in error messages.

    Raises:
        ValueError: when it is a file, has content, is the current folder, or cannot be made.
    """
    path = check_writable_folder(path, argument)
    if path.exists() and any(path.iterdir()):
        raise ValueError(f"{argument}: {path} is not empty; give a new or an empty folder")
    if path.resolve() == Path.cwd():
        raise ValueError(f"{argument}: {path} is the folder of this command; give a folder in it, or elsewhere")
    _check_can_write_into(_nearest_above(path), path, argument)
    return path


def check_new_file(path: str | Path, argument: str) -> Path:
    """`path` as a file for [`staged_file`] to write; one that exists is to be replaced.

    Args:
        path: may exist or not.
        argument: its name in error messages.

    Raises:
        ValueError: when it is a folder, or cannot be made.
    """
    path = Path(path)
    if path.is_dir():
        raise ValueError(f"{argument}: {path} is a folder; give a file")
    _check_can_write_into(_nearest_above(path), path, argument)
    return path


@contextmanager
def staged_folder(path: str | Path, replace: bool = False) -> Iterator[Path]:
    """A folder to write to that becomes `path` when the block ends well, and vanishes otherwise.

    Args:
        path: a folder that [`check_new_folder`] accepts.
        replace: put it in the place of a folder with content, which stays as it is until then.

    Raises:
        OSError: when `path` got content meanwhile and `replace` is not set; it keeps that content.
    """
    path = Path(path).resolve()
    with _folder_beside(path) as temporary:
        staged, earlier = temporary / "new", temporary / "earlier"
        staged.mkdir()
        yield staged
        _flush(*staged.rglob("*"), staged)
        if replace and path.exists():
            os.replace(path, earlier)
        try:
            os.replace(staged, path)
        except OSError:
            if earlier.exists():
                os.replace(earlier, path)
            raise
        _flush(path.parent)


@contextmanager
def staged_file(path: str | Path) -> Iterator[Path]:
    """A path to write a file to that becomes `path` when the block ends well, and vanishes otherwise.

    A file that exists is replaced in one step: readers find the old one or the new one.

    Args:
        path: one that [`check_new_file`] accepts.
    """
    path = Path(path).resolve()
    with _folder_beside(path) as temporary:
        staged = temporary / path.name
        yield staged
        _flush(staged)
        os.replace(staged, path)
        _flush(path.parent)


@contextmanager
def _folder_beside(path: Path) -> Iterator[Path]:
    """A temporary folder beside `path`; the folders above that were made for it go again after an error."""
    made = [parent for parent in path.parents if not parent.exists()]
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with TemporaryDirectory(prefix=".staged-", dir=path.parent) as folder:
            yield Path(folder)
    except BaseException:
        with suppress(OSError):
            for parent in made:
                parent.rmdir()
        raise


def _nearest_above(path: Path) -> Path:
    return next(parent for parent in path.resolve().parents if parent.exists())


def _check_can_write_into(folder: Path, path: Path, argument: str) -> None:
    if not folder.is_dir() or not os.access(folder, os.W_OK | os.X_OK):
        raise ValueError(f"{argument}: {path} cannot be written, {folder} is not a folder one may write into")


def _flush(*paths: Path) -> None:
    """Have the disk keep what was written, so that a crash after the renaming leaves no empty file."""
    if len(paths) > MANY_FILES:
        os.sync()
        return
    for path in paths:
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
