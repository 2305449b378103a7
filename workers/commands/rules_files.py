"""Which campaign and which customers does this file describe? For trying rules on them.

In: a campaign as a JSON object; customers as a JSON list of objects, or as CSV with a header: `customer_id` and
attributes, each as text, as a vendor sends it. An empty cell is an attribute that the customer does not have. Out:
values, or a `FileError` with everything that is wrong, each with its line, never with what a customer's field holds.
"""

import csv
import io
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from clearance.decisions.decision import Campaign, Customer
from clearance.decisions.did_you_mean import did_you_mean, shown

# A file of the wrong kind has a problem on every line.
_MOST_TOLD = 20
_BETWEEN_ITEMS = re.compile(r"[ \t\r\n,]*")

Row = tuple[int, Customer | str]
"""A line, and the customer that is described there or what is wrong with it."""


class FileError(Exception):
    """A file that cannot be used. `problems` are lines for a person: `file:line: what`."""

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = tuple(problems)


def load_campaign(path: str) -> Campaign:
    """The campaign of a JSON file; ids may be numbers, as the vendor sends some.

    Raises:
        FileError: Not a JSON object of a campaign's fields.
    """
    text = _text(path)
    told = _parsed(path, text)
    if not isinstance(told, dict):
        raise FileError([f"{path}: must be a JSON object: the campaign"])
    problems = [(key, problem) for key, problem in _problems(told, _CAMPAIGN)]
    if "lane" not in told:
        problems.append(("lane", "`lane` is missing: triggered, send_group or campaign"))
    if problems:
        raise FileError([f"{path}:{_line_of(key, text)}: {problem}" for key, problem in problems])
    return Campaign(**{key: _as_held(value) for key, value in told.items()})


def load_customers(path: str) -> list[Customer]:
    """The customers of a JSON or CSV file, in its order.

    Raises:
        FileError: With everything that is wrong, up to a screenful.
    """
    is_csv = path.lower().endswith(".csv")
    text = _text(path)
    customers: list[Customer] = []
    problems: list[str] = []
    for line, found in _csv_rows(text) if is_csv else _json_rows(path, text):
        if isinstance(found, Customer):
            customers.append(found)
        else:
            problems.append(f"{path}:{line}: {found}")
    if not problems and not customers:
        problems = [f"{path}: names no customer"]
    if problems:
        left = len(problems) - _MOST_TOLD
        raise FileError(problems[:_MOST_TOLD] + ([f"{path}: and {left} more"] if left > 0 else []))
    return customers


def misspelt_attributes(customers: Sequence[Customer], declared: Sequence[str]) -> Iterator[str]:
    """What to say about attributes that the rules do not look at, and probably should."""
    names = dict.fromkeys(name for customer in customers for name in customer.attributes)
    for name in names:
        meant = "" if name in declared else did_you_mean(name, declared)
        if meant:
            yield f"the rules declare no attribute {shown(name)}{meant}"


def _text(path: str) -> str:
    try:
        return Path(path).read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise FileError([f"{path}: cannot be read: {error.strerror}"]) from None
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        raise FileError([f"{path}:{line}: is not UTF-8"]) from None


def _parsed(path: str, text: str) -> object:
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise FileError([f"{path}:{error.lineno}: is no JSON: {error.msg}"]) from None
    except (ValueError, RecursionError):
        raise FileError([f"{path}: is no JSON that anybody sends"]) from None


def _line_of(key: str, text: str) -> int:
    """Where a key of a JSON object stands; the first line for one that is missing."""
    found = re.search(rf"{re.escape(json.dumps(key))}\s*:", text)
    return 1 if found is None else text.count("\n", 0, found.start()) + 1


def _json_rows(path: str, text: str) -> Iterator[Row]:
    if not isinstance(_parsed(path, text), list):
        yield 1, "must be a JSON list of customers"
        return
    decoder, at, line = json.JSONDecoder(), text.index("["), 1
    line += text.count("\n", 0, at)
    at += 1
    while True:
        start = _end_of_space(text, at)
        line += text.count("\n", at, start)
        if text[start] == "]":
            return
        item, at = decoder.raw_decode(text, start)
        yield line, _customer(item)
        line += text.count("\n", start, at)


def _end_of_space(text: str, at: int) -> int:
    found = _BETWEEN_ITEMS.match(text, at)
    return found.end() if found else at


def _customer(told: object) -> Customer | str:
    if not isinstance(told, dict):
        return "must be a JSON object: a customer"
    problems = [problem for _, problem in _problems(told, _CUSTOMER)]
    if "customer_id" not in told:
        problems.append("`customer_id` is missing")
    if problems:
        return "; ".join(problems)
    return Customer(**{"attributes": {}} | {key: _as_held(value) for key, value in told.items()})


def _csv_rows(text: str) -> Iterator[Row]:
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    header: list[str] = []
    while True:
        line = reader.line_num + 1
        try:
            row = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            yield line, f"is no CSV: {error}"
            return
        if not header:
            header, problem = row, _problem_of_header(row)
            if problem:
                yield line, problem
                return
        elif row:
            yield line, _customer_of_row(header, row)


def _problem_of_header(header: Sequence[str]) -> str:
    if "customer_id" not in header:
        meant = next(filter(None, (did_you_mean(each, ["customer_id"]) for each in header)), "")
        return f"the first line must name the columns, and `customer_id` is not among them{meant}"
    twice = next((each for each in header if header.count(each) > 1), None)
    return "" if twice is None else f"column {shown(twice)} stands there twice"


def _customer_of_row(header: Sequence[str], row: Sequence[str]) -> Customer | str:
    if len(row) != len(header):
        return f"has {len(row)} columns, and the first line has {len(header)}"
    told = dict(zip(header, row, strict=True))
    customer_id = told.pop("customer_id")
    if not customer_id:
        return "`customer_id` is empty"
    return Customer(customer_id=customer_id, attributes={key: value for key, value in told.items() if value})


_Fits = Callable[[object], bool]
_Field = tuple[_Fits, str]


def _is_text(value: object) -> bool:
    return isinstance(value, str) and bool(value)


def _is_label(value: object) -> bool:
    return isinstance(value, str) or type(value) is int


def _is_flag(value: object) -> bool:
    return isinstance(value, bool)


def _is_object(value: object) -> bool:
    return isinstance(value, dict)


def _are_texts(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(each, str) for each in value)


_TEXTS: _Field = (_are_texts, "must be a list of texts")
_FLAG: _Field = (_is_flag, "must be true or false")
_CAMPAIGN: Mapping[str, _Field] = {item.name: (_is_label, "must be text") for item in fields(Campaign)} | {
    "tags": _TEXTS,
    "is_control": _FLAG,
}
_CUSTOMER: Mapping[str, _Field] = {
    "customer_id": (_is_text, "must be text, as the vendor sends it"),
    "attributes": (_is_object, "must be a JSON object: values by name"),
    "promo_codes": _TEXTS,
    "is_hashed": _FLAG,
    "is_visitor": _FLAG,
}


def _problems(told: Mapping[str, object], known: Mapping[str, _Field]) -> Iterator[tuple[str, str]]:
    """Each key with what is wrong with it."""
    for key, value in told.items():
        if key not in known:
            yield key, f"unknown key {shown(key)}{did_you_mean(key, known)}"
            continue
        fits, expected = known[key]
        if not fits(value):
            yield key, f"`{key}` {expected}"


def _as_held(value: Any) -> Any:
    """A field's value: lists are tuples there, and ids that are numbers are text."""
    if isinstance(value, list):
        return tuple(value)
    return str(value) if type(value) is int else value
