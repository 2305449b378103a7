"""How every listing is printed: a table for people, `--json` for scripts.

What is printed is text, whoever sent it: neither markup nor the terminal's control characters in it have an effect.
"""

import json
from collections.abc import Iterable, Mapping, Sequence

import click
from rich.console import Console
from rich.table import Table

Row = Mapping[str, object]

json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON, for scripts.")


def show_one(row: Row, as_json: bool) -> None:
    """Print one thing: a JSON object, or a table of one row."""
    if as_json:
        click.echo(json.dumps(row))
        return
    _print_table(tuple(row), [row])


def show_all(columns: Sequence[str], rows: Iterable[Row], as_json: bool) -> None:
    """Print a listing: a JSON array of objects, or a table."""
    if as_json:
        click.echo(json.dumps(list(rows)))
        return
    _print_table(columns, rows)


def printable(text: str) -> str:
    """The text with a mark in place of each character that a terminal might obey."""
    return "".join(
        character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in text
    )


def _print_table(columns: Sequence[str], rows: Iterable[Row]) -> None:
    table = Table(box=None, pad_edge=False)
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*("-" if row[column] is None else printable(str(row[column])) for column in columns))
    Console(markup=False, emoji=False, highlight=False).print(table)
