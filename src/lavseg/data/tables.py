"""Tables of data sets: csv files read strictly, and their rows as a `Dataset`."""

import csv
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from io import StringIO
from os import PathLike
from pathlib import Path

from datasets import Dataset, Features, List, Value
from datasets import Image as ImageFeature
from transformers.utils import logging

logger = logging.get_logger(__name__)

# Columns that the rows of all data sets have.
ROW_FEATURES = Features(
    {
        "id": Value("int64"),
        "uid": Value("string"),
        "vid": Value("string"),
        "clip": Value("string"),
        "object": Value("string"),
        "split": Value("string"),
        "is_null": Value("bool"),
        "text": Value("string"),
        "frames": List(ImageFeature()),
        "audio": {"path": Value("string"), "bytes": Value("binary")},
        "masks": List(ImageFeature()),
    }
)
# Characters of a field, and bytes of a file's name.
LONGEST_FIELD, LONGEST_NAME = 2000, 255
_SAVE = "save the table as comma-separated values in UTF-8"
_QUOTE = 'a field that holds commas or quotes takes double quotes around it, and each quote inside it twice ("")'


class DataError(ValueError):
    """A file or a row of a data set is missing or damaged; `reason` says which kind of damage in a few words."""

    def __init__(self, reason: str, clip: str, path: str | Path, advice: str):
        super().__init__(" ".join(f"clip {clip}: {reason}: {path}. {advice}".split()))
        self.reason = reason


class DataWarning(UserWarning):
    """A data set is used, but not all of it, or not all that is used comes from it."""


@contextmanager
def logged_warnings() -> Iterator[None]:
    """What is warned of about data sets in the block is logged at its end: programs silence libraries' warnings."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("ignore")
        warnings.simplefilter("always", DataWarning)
        yield
    for message in dict.fromkeys(str(one.message) for one in caught):
        logger.warning(message)


def as_root(root: str | PathLike) -> Path:
    """The folder of a data set.

    Raises:
        ValueError: when it is no path.
    """
    if not isinstance(root, str | PathLike):
        raise ValueError(f"root: got {root!r}, expected the path of a folder.")
    return Path(root)


def read_table(path: Path, columns: Sequence[str], beside: str) -> list[dict[str, str]]:
    """Rows of a csv file that has at least these columns, each with a field for every column.

    Args:
        beside: what else the folder of the data set holds, for the error where there is no such file.

    Raises:
        ValueError: that names the file, the row (from 0 on) and line, and what to do: the file is missing, not in
            UTF-8 or not comma-separated, a row has too many or too few fields, a quote is not closed, or a field is
            broken over lines, has control characters or more than `LONGEST_FIELD` characters.
    """
    if not path.is_file():
        raise ValueError(f"root: {path} does not exist; pass the folder that holds {beside}.")
    records = _records(path, _read_text(path))
    header = next(records, (1, []))[1]
    _check_header(path, header, columns)
    table = []
    for line, record in records:
        where = f"{path}, row {len(table)}"
        if len(record) != len(header):
            raise ValueError(
                f"{where}: got {len(record)} fields in line {line}, expected all columns, {len(header)}; {_QUOTE}."
            )
        row = dict(zip(header, record, strict=True))
        for name, field in row.items():
            if len(field) > LONGEST_FIELD:
                raise ValueError(
                    f"{where}: got {len(field)} characters of {name} in line {line}, expected up to {LONGEST_FIELD}; "
                    f"{_QUOTE}."
                )
            if any(ord(letter) < 32 or ord(letter) == 127 for letter in field):
                raise ValueError(f"{where}: {name} in line {line} holds control characters: {field!r}; {_SAVE}.")
        table.append(row)
    if not table:
        raise ValueError(f"{path} has no rows.")
    return table


def _read_text(path: Path) -> str:
    content = path.read_bytes()
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise ValueError(f"{path}, line {line}: is not in UTF-8; {_SAVE}.") from error
    if "\0" in text:
        line = text.count("\n", 0, text.index("\0")) + 1
        raise ValueError(f"{path}, line {line}: holds zero bytes, as UTF-16 does; {_SAVE}.")
    return text


def _records(path: Path, text: str) -> Iterator[tuple[int, list[str]]]:
    """Line and fields of each row, the header first; empty lines are passed over."""
    reader = csv.reader(StringIO(text, newline=""), strict=True)
    while True:
        line = reader.line_num + 1
        try:
            record = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            raise ValueError(f"{path}, line {line}: quotes do not match ({error}); {_QUOTE}.") from error
        if reader.line_num > line:
            raise ValueError(
                f"{path}, line {line}: a field goes on to line {reader.line_num}; give each row one line, and close "
                f"every quote: {_QUOTE}."
            )
        if record:
            yield line, record


def _check_header(path: Path, header: list[str], columns: Sequence[str]) -> None:
    missing = [name for name in columns if name not in header]
    if missing:
        other = next((mark for mark in (";", "\t", "|") if any(mark in name for name in header)), None)
        hint = f" It is separated by {other!r}, not by commas; {_SAVE}." if other else ""
        raise ValueError(
            f"{path}: columns {', '.join(missing)} are missing, expected {', '.join(columns)}; line 1 has "
            f"{', '.join(header)[:LONGEST_FIELD]!r}.{hint}"
        )
    repeated = [name for name, count in Counter(header).items() if count > 1]
    if repeated:
        raise ValueError(f"{path}, line 1: column {repeated[0]!r} is there more than once; leave one of them.")


def check_name(where: str, column: str, name: str) -> str:
    """A name in a table of which a path is made.

    Args:
        where: file and row, for the message.
        column: the name's column.

    Raises:
        ValueError: when it would lead out of its folder, or is none that a file can have.
    """
    if name in ("", ".", "..") or {"/", "\\"} & {*name} or len(name.encode()) > LONGEST_NAME:
        raise ValueError(f"{where}: {column} is {name[:LONGEST_NAME]!r}, expected the plain name of a file or folder.")
    return name


def check_listed(where: str, column: str, value: str, accepted: Sequence[str]) -> None:
    """A word in a table that rows are chosen by; those that nobody asks for may be any.

    Raises:
        ValueError: when it differs from an accepted one in capitals or blanks only, so that nobody would miss the row.
    """
    meant = {word.lower(): word for word in accepted}.get(value.strip().lower())
    if meant not in (None, value):
        raise ValueError(f"{where}: {column} is {value!r}, expected {meant!r}.")


def build_dataset(
    selected: Sequence[tuple[int, dict[str, str]]],
    load_row: Callable[[int, dict[str, str], list[DataError]], dict],
    features: Features,
    on_error: str,
    name: str,
    table: Path,
) -> Dataset:
    """The rows of a table as a data set, each brought into form by `load_row`.

    Args:
        selected: rows with their numbers in the table.
        load_row: called with number, row, and a list to add what is used all the same, with a warning that counts it;
            raises `DataError` for what is missing or damaged.
        on_error: `raise` that error, or `skip` such rows with a warning that counts them.
        name: the data set's, with its split, for messages.
        table: where the rows are from, for messages.
    """
    if on_error not in ("raise", "skip"):
        raise ValueError(f"on_error: got {on_error!r}, expected 'raise' or 'skip'.")
    columns: dict[str, list] = {column: [] for column in features}
    failures: list[DataError] = []
    remarks: list[DataError] = []
    for index, row in selected:
        try:
            values = load_row(index, row, remarks)
        except DataError as error:
            if on_error == "raise":
                raise
            failures.append(error)
            continue
        for column, value in values.items():
            columns[column].append(value)
    if len(failures) == len(selected):
        cause = f"all {len(failures)} rows are unreadable, first: {failures[0]}" if failures else "it has no such row"
        raise ValueError(f"split: nothing to load for {name} from {table}: {cause}")
    if failures:
        said = f"{name}: left out {len(failures)} of {len(selected)} rows {summary(failures)}"
        warnings.warn(said, DataWarning, stacklevel=3)
    if remarks:
        said = f"{name}: {len(remarks)} clips are used as they are {summary(remarks)}"
        warnings.warn(said, DataWarning, stacklevel=3)
    return Dataset.from_dict(columns, features=features)


def summary(failures: Sequence[DataError]) -> str:
    """What is wrong, counted by kind, and the first of it."""
    counts = ", ".join(f"{count} {reason}" for reason, count in Counter(e.reason for e in failures).most_common())
    return f"({counts}). First: {failures[0]}"
