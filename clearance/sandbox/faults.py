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
    """What can happen to a request. Only after RESET_AFTER and HALF has the vendor taken what was sent."""

    HANG = "hang"
    ERROR = "error"
    THROTTLE = "throttle"
    RESET = "reset"
    RESET_AFTER = "reset_after"
    HALF = "half"


TAKEN = (Fault.RESET_AFTER, Fault.HALF)


@dataclass(frozen=True, slots=True, kw_only=True)
class FaultPlan:
    """The faults of one group: ratios from 0 to 1 that together are at most 1."""

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
        self._injected: dict[Group, Counter[str]] = {}

    def put(self, plan: FaultPlan) -> None:
        """Put `plan` in force instead of the group's former one; its seed starts afresh."""
        self._plan_by_group[plan.group] = (plan, random.Random(plan.seed))

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
        point, fault = rng.random(), None
        for candidate in Fault:
            point -= plan.ratio(candidate)
            if point < 0:
                fault = candidate
                break
        latency_s = (plan.latency_ms + plan.latency_jitter_ms * rng.random()) / 1000
        injected = self._injected.setdefault(group, Counter())
        if fault is not None:
            injected[fault] += 1
        if latency_s > 0:
            injected["latency"] += 1
        return Injection(plan=plan, fault=fault, latency_s=latency_s)

    def plans(self) -> list[dict[str, Any]]:
        """The plans in force."""
        return [asdict(plan) for plan, _ in self._plan_by_group.values()]

    def injected(self) -> Mapping[str, Mapping[str, int]]:
        """Counts by group and fault."""
        return {group: dict(counts) for group, counts in self._injected.items()}


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
