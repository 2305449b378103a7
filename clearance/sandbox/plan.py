"""What is sent when? A seeded sequence of kinds, exact in its counts.

In: a `Play`. Out: one step a request, in the order of sending. Half of the duplicates are twins: sent at the very
moment of the valid notification before them. The others repeat one that was sent some time ago.
"""

import random
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from marshmallow import Schema, ValidationError, fields, post_load, validate, validates_schema
from yarl import URL

from clearance.sandbox.loopback import NotLoopbackError, load_loopback_url
from clearance.sandbox.record import Kind

COUNT_MAX = 2_000_000
RATE_MAX_PER_S = 5_000
TARGETS_MAX = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Play:
    """What to play. `window_ms` None is the tenant's timeout; `targets` None is the registered webhooks."""

    count: int
    rate_per_s: float
    window_ms: int | None
    seed: int
    count_by_kind: dict[Kind, int]
    targets: tuple[URL, ...] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One request: `slot` / rate seconds after the start."""

    slot: int
    kind: Kind
    is_twin: bool = False


def steps(play: Play, rng: random.Random) -> Iterator[Step]:
    """The requests of a play. The first is valid whenever there are duplicates, which need an original."""
    left = [play.count_by_kind[kind] for kind in Kind]
    previous: Step | None = None
    for number in range(play.count):
        is_forced = previous is None and left[Kind.DUPLICATE] > 0
        kind = Kind.VALID if is_forced else rng.choices(tuple(Kind), left)[0]
        left[kind] -= 1
        if (
            previous is not None
            and kind is Kind.DUPLICATE
            and previous.kind is Kind.VALID
            and rng.random() < 0.5
        ):
            step = Step(slot=previous.slot, kind=kind, is_twin=True)
        else:
            step = Step(slot=number, kind=kind)
        yield step
        previous = step


def _ratio() -> fields.Float:
    return fields.Float(load_default=0.0, validate=validate.Range(0, 1))


class _MixSchema(Schema):
    duplicate = _ratio()
    bad_signature = _ratio()
    malformed = _ratio()
    expired = _ratio()


class PlaySchema(Schema):
    """A body of `POST /sandbox/triggered/play`; loads to a `Play`."""

    count = fields.Integer(strict=True, required=True, validate=validate.Range(1, COUNT_MAX))
    rate_per_s = fields.Float(
        load_default=30.0, validate=validate.Range(0, RATE_MAX_PER_S, min_inclusive=False)
    )
    window_ms = fields.Integer(strict=True, load_default=None, validate=validate.Range(1, 600_000))
    seed = fields.Integer(strict=True, load_default=1)
    mix = fields.Nested(_MixSchema, load_default=dict)
    targets = fields.List(
        fields.String(), load_default=None, allow_none=True, validate=validate.Length(1, TARGETS_MAX)
    )

    @validates_schema(skip_on_field_errors=True)
    def check_mix(self, data: dict[str, Any], **_: object) -> None:
        """The mix are shares of a whole, and a duplicate needs an original."""
        counts = _counts(data["count"], data["mix"])
        if counts[Kind.VALID] < 0:
            raise ValidationError("must together be at most 1", "mix")
        if counts[Kind.DUPLICATE] and not counts[Kind.VALID]:
            raise ValidationError("duplicates need at least one valid notification", "mix")

    @post_load
    def make(self, data: dict[str, Any], **_: object) -> Play:
        """A play."""
        return Play(
            count=data["count"],
            rate_per_s=data["rate_per_s"],
            window_ms=data["window_ms"],
            seed=data["seed"],
            count_by_kind=_counts(data["count"], data["mix"]),
            targets=None if data["targets"] is None else _load_targets(data["targets"]),
        )


def _counts(count: int, mix: dict[str, float]) -> dict[Kind, int]:
    counts = {kind: round(count * mix.get(kind.name.lower(), 0.0)) for kind in Kind}
    return counts | {Kind.VALID: count - sum(counts.values())}


def _load_targets(texts: list[str]) -> tuple[URL, ...]:
    try:
        return tuple(load_loopback_url(text) for text in texts)
    except NotLoopbackError as error:
        raise ValidationError(str(error), "targets") from None
