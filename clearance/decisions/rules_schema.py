"""What may each table of a rules file hold? Schemas from tables to values.

In: tables, as the TOML parser gives them. Out: the values of `rules`, or marshmallow's `ValidationError`, whose
messages stand at the keys that they are about. Every table is checked by itself: `rules_sense` looks at what holds
between them.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from marshmallow import EXCLUDE, Schema, ValidationError, fields, post_load, validates_schema

from clearance.decisions.did_you_mean import did_you_mean, nearest
from clearance.decisions.rules import (
    AskWhen,
    CelCheck,
    Check,
    HttpCheck,
    Otherwise,
    Policy,
    PythonCheck,
    SuppressionCheck,
)
from clearance.decisions.rules_fields import (
    Choice,
    Flag,
    Headers,
    ListName,
    Name,
    Names,
    Options,
    Reason,
    Seconds,
    Tables,
    Text,
    Url,
    Whole,
)

BATCH_MOST = 10_000
TIMEOUT_MOST_S = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """What a rules file says besides its checks and policies."""

    record_inputs: bool = False
    no_policy: Otherwise = Otherwise.REJECT
    missing_attribute: Otherwise = Otherwise.REJECT


class Table(fields.Field[dict[str, Any]]):
    """A table. What it holds is checked by itself."""

    def _deserialize(self, value: Any, attr: str | None, *_: Any, **__: Any) -> dict[str, Any]:
        if type(value) is not dict:
            raise ValidationError(f"must be a table: write [{attr}]")
        return value


class _Schema(Schema):
    error_messages = {"type": "must be a table"}  # noqa: RUF012  # marshmallow's own form

    class Meta:
        unknown = EXCLUDE  # they are told by `check_keys`, with what was meant

    @validates_schema(pass_original=True)
    def check_keys(self, _: Any, original: Any, **__: object) -> None:
        """No key but those of the schema."""
        if not isinstance(original, Mapping):
            return
        unknown = [key for key in original if key not in self.fields]
        if unknown:
            raise ValidationError({key: [self.told_of_unknown(key)] for key in unknown})

    def told_of_unknown(self, key: str) -> str:
        """What to say about a key that is not of this table."""
        return f"unknown key{did_you_mean(key, self.fields)}"


def _required(field: type[fields.Field[Any]], *args: Any) -> fields.Field[Any]:
    return field(*args, required=True, error_messages={"required": "is missing"})


class _Defaults(_Schema):
    no_policy = Choice(Otherwise, load_default=Otherwise.REJECT)
    missing_attribute = Choice(Otherwise, load_default=Otherwise.REJECT)


class FrameSchema(_Schema):
    """The top of a file; loads to a `Frame`."""

    record_inputs = Flag(load_default=False)
    defaults = fields.Nested(_Defaults, load_default=dict)
    attributes = Table()
    check = Tables()
    policy = Tables()

    @post_load
    def make(self, data: dict[str, Any], **_: object) -> Frame:
        """What it says."""
        return Frame(record_inputs=data["record_inputs"], **data["defaults"])


class _CheckSchema(_Schema):
    id = _required(Name)
    reason = _required(Reason)

    def told_of_unknown(self, key: str) -> str:
        """What to say about a key that is not of this check."""
        for kind, schema in _SCHEMA_BY_KIND.items():
            if key in schema._declared_fields and key not in _COMMON:
                return f"is for checks with `{kind}`"
        if key in _Http._declared_fields:
            return "belongs below [check.http]"
        if type(self) is not _CheckSchema:
            return super().told_of_unknown(key)
        every = {key for schema in _SCHEMA_BY_KIND.values() for key in schema._declared_fields}
        return f"unknown key{did_you_mean(key, every)}"


class _Cel(_CheckSchema):
    cel = _required(Text)
    when_missing = Choice(Otherwise)

    def __init__(self, missing_attribute: Otherwise) -> None:
        super().__init__()
        self._missing_attribute = missing_attribute

    @post_load
    def make(self, data: dict[str, Any], **_: object) -> CelCheck:
        return CelCheck(
            id=data["id"],
            reason=data["reason"],
            expression=data["cel"],
            when_missing=data.get("when_missing", self._missing_attribute),
        )


class _Http(_Schema):
    url = _required(Url)
    batch = Whole(1, BATCH_MOST)
    timeout_s = Seconds(TIMEOUT_MOST_S)
    on_error = Choice(Otherwise)
    headers = Headers(attribute="header_by_name")
    attributes = Names()
    ask_when = Choice(AskWhen)


class _HttpCheck(_CheckSchema):
    http = fields.Nested(_Http, required=True)

    @post_load
    def make(self, data: dict[str, Any], **_: object) -> HttpCheck:
        return HttpCheck(id=data["id"], reason=data["reason"], **data["http"])


class _Suppression(_CheckSchema):
    suppression = _required(ListName)

    @post_load
    def make(self, data: dict[str, Any], **_: object) -> SuppressionCheck:
        return SuppressionCheck(id=data["id"], reason=data["reason"], list_name=data["suppression"])


class _Python(_CheckSchema):
    python = _required(Name)
    options = Options(load_default=dict)
    on_error = Choice(Otherwise, load_default=Otherwise.REJECT)

    @post_load
    def make(self, data: dict[str, Any], **_: object) -> PythonCheck:
        return PythonCheck(entry_point=data.pop("python"), **data)


_SCHEMA_BY_KIND: Mapping[str, type[_CheckSchema]] = {
    "cel": _Cel,
    "http": _HttpCheck,
    "suppression": _Suppression,
    "python": _Python,
}


_COMMON = frozenset(_CheckSchema._declared_fields)


class PolicySchema(_Schema):
    """A `[[policy]]`; loads to a `Policy`."""

    id = _required(Name)
    applies = _required(Text)
    checks = _required(Names)

    @post_load
    def make(self, data: dict[str, Any], **_: object) -> Policy:
        """A policy."""
        return Policy(id=data["id"], applies=data["applies"], checks=data["checks"])


def load_check(table: Mapping[str, Any], missing_attribute: Otherwise) -> Check:
    """The check that a `[[check]]` describes.

    Raises:
        ValidationError: By key; what is wrong with the check as a whole stands at `_schema`.
    """
    kinds = [kind for kind in _SCHEMA_BY_KIND if kind in table]
    if len(kinds) == 1:
        check: Check = _schema(kinds[0], missing_attribute).load(table)
        return check
    of_kinds = {key for kind in kinds for key in _SCHEMA_BY_KIND[kind]._declared_fields}
    messages = dict(
        _CheckSchema().validate({key: table[key] for key in table if key not in of_kinds - _COMMON})
    )
    if kinds:
        several = " and ".join(f"`{kind}`" for kind in kinds)
        messages["_schema"] = [f"has {several}, and may have one of them: write a check for each"]
    elif not any(nearest(key, _SCHEMA_BY_KIND) for key in table):
        messages["_schema"] = ["has none of `cel`, `http`, `suppression` and `python`: nothing to ask"]
    raise ValidationError(messages)


@cache  # a schema takes longer to make than to use
def _schema(kind: str, missing_attribute: Otherwise) -> _CheckSchema:
    return _Cel(missing_attribute) if kind == "cel" else _SCHEMA_BY_KIND[kind]()
