"""Tables and JSON that commands print, and the option that asks for JSON."""

import json
from collections.abc import Iterable, Sequence
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]

# Wider than any table.
_WIDTH = 100_000


def print_table(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Print `rows` under the names of their columns.

    However narrow the terminal is, a row is one line and its words are whole, so that scripts find them. What is said
    about a table, such as its title, is printed as a line of its own before or after it.
    """
    table = Table(*columns)
    for row in rows:
        table.add_row(*map(str, row))
    Console(width=_WIDTH, markup=False, emoji=False).print(table)


def print_json(value: object) -> None:
    """Print `value` as one line of JSON, in ASCII, which every terminal and pipe can take; NaN is an error."""
    typer.echo(json.dumps(value, allow_nan=False))
