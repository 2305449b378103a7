"""Which request fails, and how? Seeded ratios by API group.

In: a plan per group (`PUT /sandbox/faults`). Out: for each request what happens to it, counted. One draw decides among
the faults of a plan, so each request suffers at most one, and the ratios are exact in the long run. Latency comes on
top, to failing and succeeding requests alike.
"""

import random
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

from marshmallow import Schema, ValidationError, fields, post_load, validate, validates_schema

from clearance.sandbox.limits import Group


class Fault(StrEnum):
    """What can happen to a request. The vendor has taken what was sent only after those in `TAKEN`."""

    HANG = "hang"
    ERROR = "error"
    THROTTLE = "throttle"
    RESET = "reset"
    RESET_AFTER = "reset_after"
    HALF = "half"
    HANG_AFTER = "hang_after"
    HTML = "html"
    EMPTY = "empty"
    MISCOUNT = "miscount"


TAKEN = (Fault.RESET_AFTER, Fault.HALF, Fault.HANG_AFTER, Fault.HTML, Fault.EMPTY, Fault.MISCOUNT)
# The sender is told, and in full, that nothing was taken.
TOLD = (Fault.ERROR, Fault.THROTTLE)


@dataclass(frozen=True, slots=True, kw_only=True)
class FaultPlan:
    """The faults of one group: ratios from 0 to 1 that together are at most 1.

    Attributes:
        times: How many requests suffer a fault at most; None is no bound. Latency has none.
    """

    group: Group
    latency_ms: float
    latency_jitter_ms: float
    hang: float
    hang_s: float
    error: float
    error_status: int
    throttle: float
    retry_after_s: float | None
    reset: float
    reset_after: float
    half: float
    hang_after: float
    html: float
    empty: float
    miscount: float
    times: int | None
    seed: int

    def ratio(self, fault: Fault) -> float:
        """The share of the requests that suffer `fault`."""
        share: float = getattr(self, fault.value)
        return share


@dataclass(frozen=True, slots=True, kw_only=True)
class Injection:
    """What happens to one request."""

    plan: FaultPlan
    fault: Fault | None
    latency_s: float


class Faults:
    """The plans in force and what they have done so far."""

    def __init__(self) -> None:
        self._plan_by_group: dict[Group, tuple[FaultPlan, random.Random]] = {}
        self._suffered_by_group: Counter[Group] = Counter()
        self._injected: dict[Group, Counter[str]] = {}

    def put(self, plan: FaultPlan) -> None:
        """Put `plan` in force instead of the group's former one; its seed starts afresh."""
        self._plan_by_group[plan.group] = (plan, random.Random(plan.seed))
        self._suffered_by_group[plan.group] = 0

    def clear(self) -> None:
        """Inject nothing more; the counts stay."""
        self._plan_by_group.clear()

    def reset(self) -> None:
        """Inject nothing more and forget the counts."""
        self.clear()
        self._injected.clear()

    def draw(self, group: Group) -> Injection | None:
        """Decide what happens to one request, and count it; None: nothing is planned for its group."""
        planned = self._plan_by_group.get(group)
        if planned is None:
            return None
        plan, rng = planned
        fault = _choose(plan, rng.random())
        if fault is not None and self._suffered_by_group[group] == plan.times:
            fault = None
        latency_s = (plan.latency_ms + plan.latency_jitter_ms * rng.random()) / 1000
        injected = self._injected.setdefault(group, Counter())
        if fault is not None:
            injected[fault] += 1
            self._suffered_by_group[group] += 1
        if latency_s > 0:
            injected["latency"] += 1
        return Injection(plan=plan, fault=fault, latency_s=latency_s)

    def plans(self) -> list[dict[str, Any]]:
        """The plans in force."""
        return [asdict(plan) for plan, _ in self._plan_by_group.values()]

    def injected(self) -> Mapping[str, Mapping[str, int]]:
        """Counts by group and fault."""
        return {group: dict(counts) for group, counts in self._injected.items()}


def _choose(plan: FaultPlan, point: float) -> Fault | None:
    for candidate in Fault:
        point -= plan.ratio(candidate)
        if point < 0:
            return candidate
    return None


def _ratio() -> fields.Float:
    return fields.Float(load_default=0.0, validate=validate.Range(0, 1))


def _milliseconds() -> fields.Float:
    return fields.Float(load_default=0.0, validate=validate.Range(0, 60_000))


class FaultSchema(Schema):
    """A body of `PUT /sandbox/faults`; loads to a `FaultPlan`."""

    group = fields.Enum(Group, by_value=True, required=True)
    latency_ms = _milliseconds()
    latency_jitter_ms = _milliseconds()
    hang = _ratio()
    hang_s = fields.Float(load_default=30.0, validate=validate.Range(0, 300))
    error = _ratio()
    error_status = fields.Integer(strict=True, load_default=500, validate=validate.Range(400, 599))
    throttle = _ratio()
    retry_after_s = fields.Float(load_default=None, allow_none=True, validate=validate.Range(0, 3600))
    reset = _ratio()
    reset_after = _ratio()
    half = _ratio()
    hang_after = _ratio()
    html = _ratio()
    empty = _ratio()
    miscount = _ratio()
    times = fields.Integer(
        strict=True, load_default=None, allow_none=True, validate=validate.Range(1, 1_000_000)
    )
    seed = fields.Integer(strict=True, load_default=1)

    @validates_schema
    def check_sum(self, data: dict[str, Any], **_: object) -> None:
        """One request suffers one fault: the ratios are shares of a whole."""
        if sum(data.get(fault, 0.0) for fault in Fault) > 1 + 1e-9:
            raise ValidationError(f"{', '.join(Fault)} must together be at most 1")

    @post_load
    def make(self, data: dict[str, Any], **_: object) -> FaultPlan:
        """A plan."""
        return FaultPlan(**data)
