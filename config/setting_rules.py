"""What the value of a setting must look like: rules for URLs, paths, zones, lists of pairs and numbers.

A rule takes the value that was read and raises `ValidationError`; its text never holds the value, which may be a
secret.
"""

import os
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

from marshmallow import ValidationError, validate

_ID_FIELD = re.compile(r"individuali[sz]ation[1-9][0-9]*=[A-Za-z_][A-Za-z0-9_]*")

Rule = Callable[[Any], object]


def url_of(*schemes: str) -> Rule:
    """A rule for URLs of these schemes; brokers may list several servers with semicolons between them."""
    expected = "must begin with one of " + ", ".join(f"{scheme}://" for scheme in schemes)

    def check(value: str) -> None:
        for part in value.split(";"):
            try:
                url, port = urlsplit(part), urlsplit(part).port
            except ValueError:
                raise ValidationError("has a host or a port that cannot be read.") from None
            if url.scheme not in schemes:
                raise ValidationError(f"{expected}.")
            if url.scheme in ("sqlite", "postgresql") and len(url.path) < len("/x"):
                raise ValidationError("names no database after the last slash.")
            if url.scheme not in ("sqlite", "postgresql") and (not url.hostname or port == 0):
                raise ValidationError("names no host.")

    return check


def trimmed(value: str) -> None:
    """A value without white space around it."""
    if value != value.strip():
        raise ValidationError("begins or ends with white space: perhaps the newline of a file.")


def file_path(value: str) -> None:
    """A file that is there and may be read."""
    if not (Path(value).is_file() and os.access(value, os.R_OK)):
        raise ValidationError("names no file that can be read.")


def id_fields(values: Sequence[str]) -> None:
    """Each is `individualisationN=ID`: which field carries which of Bloomreach's customer ids."""
    for value in values:
        if value.strip() and not _ID_FIELD.fullmatch(value.strip()):
            raise ValidationError("must be pairs such as individualisation1=registered, with commas between.")


def zone(value: str) -> None:
    """The name of a time zone."""
    try:
        ZoneInfo(value)
    except (ValueError, OSError, LookupError):
        raise ValidationError("is no time zone, such as Europe/Berlin.") from None


POSITIVE = validate.Range(min=0, min_inclusive=False)
NOT_NEGATIVE = validate.Range(min=0)
PORT = validate.Range(min=1, max=65535)
PATH = validate.Regexp(r"/[^\s?#]*\Z", error="must be a path that begins with a slash.")
LEVEL = validate.OneOf(["DEBUG", "INFO", "WARNING", "ERROR"])
