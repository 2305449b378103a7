"""How the commands `clearance optimove ...` speak: tables, JSON, URLs without secrets, errors in a line.

What the vendor sent is text: neither markup nor the terminal's control characters in it have an effect.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from http import HTTPStatus
from urllib.parse import parse_qsl, urlsplit

import click
from rich.console import Console
from rich.table import Table

from clearance.errors import (
    Park,
    RetryLater,
    VendorCredentialsRefused,
    VendorRefused,
    VendorThrottled,
    VendorUnavailable,
)

HIDDEN = "***"
Row = Mapping[str, object]


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


def shown(url: str) -> str:
    """The URL without what may be secret in it: credentials, and the values of its query."""
    try:
        parts = urlsplit(url)
        query = "&".join(f"{name}={HIDDEN}" for name, _ in parse_qsl(parts.query, keep_blank_values=True))
    except ValueError:
        return HIDDEN
    host = parts.netloc.rpartition("@")[2]
    return printable(parts._replace(netloc=host, query=query, fragment="").geturl())


def printable(text: str) -> str:
    """The text with a mark in place of each character that a terminal might obey."""
    return "".join(character if character.isprintable() else "\ufffd" for character in text)


def told(error: RetryLater | Park) -> str:
    """What went wrong and what to look at, in one line."""
    match error:
        case VendorCredentialsRefused(status=status):
            line = f"Optimove refused the API key ({status}): check CLEARANCE_OPTIMOVE_API_KEY"
        case VendorRefused(status=HTTPStatus.NOT_FOUND):
            line = (
                "Optimove does not know this (404): check the id, and the paths of Optimove in the settings"
            )
        case VendorThrottled(retry_after_s=None):
            line = "Optimove asks to wait (429): try again later"
        case VendorThrottled(retry_after_s=retry_after_s):
            line = f"Optimove asks to wait (429): try again in {retry_after_s:.0f} s"
        case VendorUnavailable(may_have_arrived=True):
            line = f"{error}; it may have been done all the same: look before you repeat a change"
        case VendorUnavailable():
            line = f"{error}: check CLEARANCE_OPTIMOVE_BASE_URL"
        case _:
            line = str(error)
    return line


def _print_table(columns: Sequence[str], rows: Iterable[Row]) -> None:
    table = Table(box=None, pad_edge=False)
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*("-" if row[column] is None else printable(str(row[column])) for column in columns))
    # What the vendor sent is text, not markup.
    Console(markup=False, emoji=False, highlight=False).print(table)
