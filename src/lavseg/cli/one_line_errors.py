"""How a program reports a mistake of its user."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def one_line_errors(program: str) -> Iterator[None]:
    """End `program` with one line on stderr and exit status 2 where something given cannot be used."""
    try:
        yield
    except (ValueError, OSError, ImportError) as error:
        print(f"{program}: {' '.join(str(error).split())}", file=sys.stderr)
        raise SystemExit(2) from error
