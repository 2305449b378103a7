"""How one setting is read: from its variable, or, if it is a secret, from the file that `<variable>_FILE` names.

In: the fields of `Settings`, and the environment. Out: a value for each that is set, and for each that cannot be used
what is wrong with it. No text that leaves this module holds a value, nor the name of a secret's file: that may be the
secret itself, in the wrong variable.
"""

from collections.abc import Iterable, Mapping
from dataclasses import Field, dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

from environs import Env, EnvValidationError
from marshmallow import ValidationError

from config.setting_rules import trimmed

PREFIX = "CLEARANCE_"
FILE_SUFFIX = "_FILE"
# A certificate chain fits; a log file that was named by mistake does not.
_MOST_FILE_BYTES = 65_536


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """Values by the name of their field, and problems by the name of their variable."""

    value_by_name: dict[str, Any] = field(default_factory=dict, repr=False)
    problem_by_variable: dict[str, str] = field(default_factory=dict)


def variable(item: Field[Any]) -> str:
    """The environment variable of one field of `Settings`."""
    return PREFIX + item.name.upper()


def variables(item: Field[Any]) -> tuple[str, ...]:
    """Every variable that this field is read from."""
    name = variable(item)
    return (name, name + FILE_SUFFIX) if item.metadata["secret"] else (name,)


def is_set(item: Field[Any], environment: Mapping[str, str]) -> bool:
    """Whether one of its variables says something."""
    return any(environment.get(name, "").strip() for name in variables(item))


def read(items: Iterable[Field[Any]], environment: Mapping[str, str]) -> Reading:
    """What is set, and what is wrong with it. `environment` is this process' own: environs reads no other."""
    reader = Env(prefix=PREFIX)
    reading = Reading()
    for item in items:
        try:
            value = _read_secret(item, environment) if item.metadata["secret"] else _read(reader, item)
        except (EnvValidationError, ValidationError) as error:
            messages = error.error_messages if isinstance(error, EnvValidationError) else error.messages
            reading.problem_by_variable[variable(item)] = " ".join(map(str, messages))
            continue
        if value is not None:
            reading.value_by_name[item.name] = value
    return reading


def secret_text(name: str, environment: Mapping[str, str]) -> str | None:
    """What a variable holds, or the file that its `_FILE` names, without one newline at the end; None when unset.

    Raises:
        ValidationError: Both are set, or the file cannot be read.
    """
    text, path = environment.get(name, ""), environment.get(name + FILE_SUFFIX, "").strip()
    if not path:
        return text if text.strip() else None
    if text.strip():
        raise ValidationError(f"is set, and so is {name}{FILE_SUFFIX}: set one of them.")
    text = _content(path, name + FILE_SUFFIX)
    text = text.removesuffix("\n").removesuffix("\r")
    return text if text.strip() else None


def _content(path: str, name: str) -> str:
    try:
        with Path(path).open("rb") as file:
            content = file.read(_MOST_FILE_BYTES + 1)
    except (OSError, ValueError) as error:  # ValueError: what it holds is no path
        raise ValidationError(f"{name} names a file that cannot be read: {_why(error)}.") from None
    if len(content) > _MOST_FILE_BYTES:
        raise ValidationError(f"{name} names a file of more than {_MOST_FILE_BYTES} bytes.")
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError:
        raise ValidationError(f"{name} names a file that is not UTF-8.") from None


def _why(error: Exception) -> str:
    """The system's words for it, which do not hold the path."""
    return (isinstance(error, OSError) and error.strerror) or "it is no path"


def _read_secret(item: Field[Any], environment: Mapping[str, str]) -> Any:
    text = secret_text(variable(item), environment)
    if text is None:
        return None
    rule = item.metadata["rule"]
    if isinstance(item.default, tuple):
        parts = text.split(",")
        if rule:
            rule(parts)
        return tuple(part.strip() for part in parts if part.strip())
    trimmed(text)
    if rule:
        rule(text)
    return text


def _read(reader: Env, item: Field[Any]) -> Any:
    name, default, rule = item.name.upper(), item.default, item.metadata["rule"]
    if not (reader.str(name, default="") or "").strip():
        return None
    if isinstance(default, StrEnum):
        return reader.enum(name, enum=type(default), by_value=True)
    if isinstance(default, tuple):
        parts: list[str] = reader.list(name, validate=rule) or []
        return tuple(part.strip() for part in parts if part.strip())
    if isinstance(default, bool):
        return reader.bool(name)
    if isinstance(default, str):
        return reader.str(name, validate=[trimmed, rule] if rule else trimmed)
    read_number = reader.int if isinstance(default, int) else reader.float
    return read_number(name, validate=rule)
