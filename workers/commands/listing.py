"""How every listing is printed: a table for people, `--json` for scripts.

What is printed is text, whoever sent it: neither markup nor the terminal's control characters in it have an effect.
"""

import json
import os
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from textwrap import wrap

import click
from rich.cells import cell_len, set_cell_size
from rich.console import Console
from rich.table import Table

Row = Mapping[str, object]

# A pipe, a file and a container without a terminal have no width: there nothing is folded.
_NO_WIDTH = 10_000
_GAP = "  "
_NOTHING = "-"

json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON, for scripts.")


def show_one(row: Row, as_json: bool) -> None:
    """Print one thing: a JSON object, or a table of one row."""
    if as_json:
        click.echo(json.dumps(row))
        return
    _print_table(tuple(row), [row])


def show_all(
    columns: Sequence[str],
    rows: Iterable[Row],
    as_json: bool,
    *,
    whole: Collection[str] = (),
    below: Collection[str] = (),
) -> None:
    """Print a listing: a JSON array of objects, or a table.

    Args:
        whole: Columns that are folded last: ids, to copy.
        below: Columns that stand below their row, with their names, where not all have room side by side.
    """
    if as_json:
        click.echo(json.dumps(list(rows)))
        return
    _print_table(columns, rows, whole, below)


def printable(text: str) -> str:
    """The text with a mark in place of each character that a terminal might obey."""
    return "".join(
        character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in text
    )


def _print_table(
    columns: Sequence[str], rows: Iterable[Row], whole: Collection[str] = (), below: Collection[str] = ()
) -> None:
    told = [{column: _cell(row[column]) for column in columns} for row in rows]
    console = Console(markup=False, emoji=False, highlight=False)
    if not console.is_terminal and "COLUMNS" not in os.environ:
        console.width = _NO_WIDTH
    width_by_column = {
        column: max(cell_len(each) for each in (column, *(row[column] for row in told))) for column in columns
    }
    if below and sum(width_by_column.values()) + len(_GAP) * (len(columns) - 1) > console.width:
        for line in _stacked(width_by_column, told, below, console.width):
            click.echo(line)
        return
    table = Table(box=None, pad_edge=False)
    for column in columns:
        table.add_column(column, overflow="fold", no_wrap=column in whole)
    for row in told:
        table.add_row(*row.values())
    console.print(table)


def _cell(value: object) -> str:
    return _NOTHING if value is None else printable(str(value))


def _stacked(
    width_by_column: Mapping[str, int], told: Iterable[Mapping[str, str]], below: Collection[str], width: int
) -> Iterator[str]:
    above = {column: size for column, size in width_by_column.items() if column not in below}
    yield _GAP.join(set_cell_size(column, size) for column, size in above.items()).rstrip()
    for row in told:
        yield _GAP.join(set_cell_size(row[column], size) for column, size in above.items()).rstrip()
        rest = ", ".join(f"{column} {row[column]}" for column in below if row[column] != _NOTHING)
        yield from wrap(rest, width, initial_indent=_GAP, subsequent_indent=2 * _GAP, break_on_hyphens=False)
