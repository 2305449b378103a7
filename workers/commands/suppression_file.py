"""Which customers does this CSV file name, and which of its lines cannot be meant? Line by line, however long it is.

In: UTF-8 with a header: `customer_id`, and, if wanted, `note` and `until`. Out: one `Entry` or `BadLine` a line, in the
file's order. Customer ids are taken as written: not trimmed, not read as numbers.
"""

import csv
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path

from workers.commands.customer_id import customer_id_of, refuse_unstorable

_MOST_NOTE_CHARACTERS = 500
_COLUMNS = ("customer_id", "note", "until")


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A line that can be meant. `until` is exclusive, aware UTC; None for good."""

    customer_id: str
    note: str | None
    until: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class BadLine:
    """A line that cannot. `told` says what is wrong with it, never what it holds. `is_header`: nothing can be read."""

    line: int
    told: str
    is_header: bool = False


def lines_of(path: Path) -> Iterator[Entry | BadLine]:
    """Every line below the header that is not empty; after a bad header, nothing."""
    # Bytes that are no UTF-8 become surrogates, so that the line is told instead of the whole file being refused.
    with path.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as file:
        rows = _numbered(file)
        number, header = next(rows, (1, []))
        problem = header if isinstance(header, str) else _problem_of_header(header)
        if problem or isinstance(header, str):
            yield BadLine(line=number, told=problem, is_header=True)
            return
        for number, row in rows:
            if not row:
                continue
            try:
                yield _entry(header, row)
            except ValueError as error:
                yield BadLine(line=number, told=str(error))


def note_of(written: str) -> str | None:
    """The note; None for none.

    Raises:
        ValueError: Too long, or not for a terminal.
    """
    if len(written) > _MOST_NOTE_CHARACTERS:
        raise ValueError(f"note: must be at most {_MOST_NOTE_CHARACTERS} characters")
    refuse_unstorable("note", written)
    return written or None


def until_of(written: str) -> datetime | None:
    """The moment before which an entry stands: the end, in UTC, of the day that is named, or the time itself.

    Raises:
        ValueError: Neither a day nor a time with its offset.
    """
    if not written:
        return None
    try:
        if len(written) == len("2026-12-31"):
            return datetime.combine(date.fromisoformat(written) + timedelta(days=1), time(), UTC)
        at = datetime.fromisoformat(written)
        if at.tzinfo is not None:
            return at.astimezone(UTC)
    except (ValueError, OverflowError):
        pass
    raise ValueError(
        "until: must be a day (2026-12-31) or a time with its offset (2026-12-31T18:00:00+01:00)"
    )


def _numbered(file: Iterable[str]) -> Iterator[tuple[int, list[str] | str]]:
    """Each row with the line on which it begins; what is no CSV as the problem that it is."""
    reader = csv.reader(file, strict=True)
    while True:
        number = reader.line_num + 1
        try:
            yield number, next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            yield number, f"is no CSV: {error}"


def _problem_of_header(header: Sequence[str]) -> str:
    if "customer_id" not in header:
        return "the first line must name the columns, and customer_id is not among them"
    if not set(header) <= set(_COLUMNS):
        return f"a column that means nothing here: there are {', '.join(_COLUMNS)}"
    if len(set(header)) < len(header):
        return "a column stands there twice"
    return ""


def _entry(header: Sequence[str], row: Sequence[str] | str) -> Entry:
    if isinstance(row, str):
        raise ValueError(row)  # noqa: TRY004 - the problem of a line, not of our types
    if len(row) != len(header):
        raise ValueError(f"has {len(row)} columns, and the header has {len(header)}")
    value_by_column = dict(zip(header, row, strict=True))
    return Entry(
        customer_id=customer_id_of(value_by_column["customer_id"]),
        note=note_of(value_by_column.get("note", "")),
        until=until_of(value_by_column.get("until", "")),
    )
