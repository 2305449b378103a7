"""How every listing is printed: a table for people, `--json` for scripts."""

import json
from collections.abc import Mapping, Sequence

import click
from rich.console import Console
from rich.table import Table

json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON, for scripts.")


def show(rows: Sequence[Mapping[str, object]], columns: Sequence[str], *, as_json: bool, empty: str) -> None:
    """Print the rows.

    Args:
        columns: Which keys, in order.
        as_json: One JSON array, times in ISO 8601.
        empty: What a person is told when there is nothing.
    """
    if as_json:
        chosen = [{column: row[column] for column in columns} for row in rows]
        click.echo(json.dumps(chosen, default=str, indent=2))
        return
    if not rows:
        click.echo(empty)
        return
    table = Table(*columns, box=None, header_style="bold")
    for row in rows:
        table.add_row(*("" if row[column] is None else str(row[column]) for column in columns))
    Console().print(table)
