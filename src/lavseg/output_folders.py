"""Where results may be written, and how nothing half-written is left there."""

import fcntl
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import count
from pathlib import Path

# From so many files on, all that waits for the disk is written at once: file by file takes milliseconds each.
MANY_FILES = 100
# What the hidden folders begin with in which results are written, and the file in them that says that a result is
# being replaced.
_STAGED, _EXCHANGING = ".staged-", "exchanging"


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
    _take_over(path)
    return path


def check_new_folder(path: str | Path, argument: str) -> Path:
    """`path` as a folder that does not exist yet or is empty, for [`staged_folder`] to make.

    Args:
        path: may exist or not.
        argument: its name in error messages.

    Raises:
        ValueError: when it is a file, has content, is the current folder or a mount point, or cannot be made.
    """
    path = check_writable_folder(path, argument)
    if path.exists() and any(path.iterdir()):
        raise ValueError(f"{argument}: {path} is not empty; give a new or an empty folder")
    if path.resolve() == Path.cwd():
        raise ValueError(f"{argument}: {path} is the folder of this command; give a folder in it, or elsewhere")
    _check_not_mounted(path, argument)
    _check_can_write_into(_nearest_above(path), path, argument)
    return path


def check_replaceable_folder(path: str | Path, argument: str) -> None:
    """Refuse a folder that [`staged_folder`] cannot replace; one that does not exist need not be.

    Args:
        path: may exist or not.
        argument: its name in error messages.

    Raises:
        ValueError: when it is a mount point, or the name that it gets meanwhile is taken.
    """
    path = Path(path)
    _check_not_mounted(path, argument)
    earlier = _earlier(path.resolve())
    if path.exists() and earlier.exists():
        raise ValueError(f"{argument}: {earlier} is in the way; move it elsewhere")


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
    _take_over(path)
    return path


@contextmanager
def staged_folder(path: str | Path, replace: bool = False) -> Iterator[Path]:
    """A folder to write to that becomes `path` when the block ends well, and vanishes otherwise.

    Where the process is killed, what it leaves is taken over by the next one that writes to `path`.

    Args:
        path: a folder that [`check_new_folder`] accepts.
        replace: put it in the place of a folder with content, which stays as it is until then.

    Raises:
        OSError: when `path` got content meanwhile and `replace` is not set; it keeps that content.
    """
    path = Path(path).resolve()
    with _folder_beside(path) as temporary:
        staged = temporary / "new"
        staged.mkdir()
        yield staged
        _finish(*staged.rglob("*"), staged)
        if replace and path.exists():
            _exchange(staged, path, temporary / _EXCHANGING)
        else:
            os.replace(staged, path)
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
        _finish(staged)
        os.replace(staged, path)
        _flush(path.parent)


def write_report(path: str | Path, report: dict) -> None:
    """Write a report as JSON, whole or not at all.

    Args:
        path: one that [`check_new_file`] accepts.

    Raises:
        ValueError: it holds NaN or infinite numbers.
    """
    with staged_file(path) as file:
        file.write_text(json.dumps(report, indent=2, allow_nan=False) + "\n", encoding="utf-8")


@contextmanager
def staged_files(folder: str | Path) -> Iterator[Path]:
    """A folder to write to whose files move into `folder`, one by one, when the block ends well, and vanish otherwise.

    Args:
        folder: may have content; its files of the same names are replaced.
    """
    folder = Path(folder).resolve()
    with _folder_beside(folder / "files") as temporary:
        yield temporary
        _finish(*temporary.rglob("*"))
        for path in sorted(temporary.iterdir()):
            os.replace(path, folder / path.name)
        _flush(folder)


def flush_files(folder: str | Path) -> None:
    """Have the disk keep the files in a folder, which something else wrote there."""
    _flush(*(path for path in Path(folder).iterdir() if path.is_file()), Path(folder))


def holds_results(folder: str | Path) -> bool:
    """Whether a folder exists and holds more than what a killed process had not finished."""
    folder = Path(folder)
    return folder.is_dir() and any(not path.name.startswith(_STAGED) for path in folder.iterdir())


@contextmanager
def without_empty_folders(path: str | Path) -> Iterator[None]:
    """Of `path` and the folders above it, those that are made in the block go again if they are empty at its end."""
    path = Path(path).resolve()
    made = [folder for folder in (path, *path.parents) if not folder.exists()]
    try:
        yield
    finally:
        with suppress(OSError):
            for folder in made:
                folder.rmdir()


@contextmanager
def _folder_beside(path: Path) -> Iterator[Path]:
    """A hidden folder beside `path`; the folders above that were made for it go again after an error."""
    with without_empty_folders(path.parent):
        path.parent.mkdir(parents=True, exist_ok=True)
        folder, descriptor = _own_folder(path)
        try:
            _clear(folder, path)
            yield folder
        finally:
            shutil.rmtree(folder)
            os.close(descriptor)


def _take_over(path: Path) -> None:
    """Clear away what killed processes left that wrote to `path`."""
    path = path.resolve()
    if _staging(path, 0).exists():
        with _folder_beside(path):
            pass


def _staging(path: Path, number: int) -> Path:
    return path.with_name(f"{_STAGED}{path.name[:50]}.{number}")


def _own_folder(path: Path) -> tuple[Path, int]:
    """A hidden folder beside `path` that this process has locked: a new one, or one that a killed process left."""
    for number in count():
        folder = _staging(path, number)
        folder.mkdir(exist_ok=True)
        try:
            descriptor = os.open(folder, os.O_RDONLY)
        except FileNotFoundError:  # another process removed it just now
            continue
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.path.samestat(os.fstat(descriptor), os.stat(folder)):
                return folder, descriptor
        except (BlockingIOError, FileNotFoundError):  # another process has it, or removed it just now
            pass
        except OSError as error:
            os.close(descriptor)
            with suppress(OSError):
                folder.rmdir()
            raise OSError(f"{path}: the file system has no locks; write to another one") from error
        os.close(descriptor)
    raise AssertionError


def _clear(folder: Path, path: Path) -> None:
    """Empty a folder that a killed process left, and finish or undo what it was doing at `path`."""
    earlier = _earlier(path)
    if (folder / _EXCHANGING).exists() and earlier.exists():
        if path.exists():
            shutil.rmtree(earlier)
        else:
            os.replace(earlier, path)
    for left in folder.iterdir():
        shutil.rmtree(left) if left.is_dir() else left.unlink()


def _exchange(staged: Path, path: Path, mark: Path) -> None:
    """Put `staged` in the place of `path`, which is under a visible name meanwhile; `mark` says that this goes on."""
    earlier = _earlier(path)
    if earlier.exists():
        raise FileExistsError(f"{earlier} is in the way; move it elsewhere")
    mark.touch()
    os.replace(path, earlier)
    try:
        os.replace(staged, path)
    except BaseException:
        os.replace(earlier, path)
        raise
    shutil.rmtree(earlier)


def _earlier(path: Path) -> Path:
    return path.with_name(f"{path.name}.earlier")


def _nearest_above(path: Path) -> Path:
    return next(parent for parent in path.resolve().parents if parent.exists())


def _check_can_write_into(folder: Path, path: Path, argument: str) -> None:
    if not folder.is_dir() or not os.access(folder, os.W_OK | os.X_OK):
        raise ValueError(f"{argument}: {path} cannot be written, {folder} is not a folder one may write into")


def _check_not_mounted(path: Path, argument: str) -> None:
    if os.path.ismount(path.resolve()):
        raise ValueError(f"{argument}: {path} is a mount point, which cannot be replaced; give a folder in it")


def _finish(*paths: Path) -> None:
    """Give files the permissions of the umask, which some libraries do not, and have the disk keep them."""
    for path in paths:
        if path.is_file():
            path.chmod(path.parent.stat().st_mode & 0o666)
    _flush(*paths)


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
