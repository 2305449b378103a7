"""What does Bloomreach know of its customers, and how was it told?

An id that is new makes a customer, silently, as the vendor does it. Commands that say the same of the same time are
counted as repeats. Everything is bounded: the oldest is forgotten first, and counted.
"""

import hashlib
from collections import Counter, deque
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import orjson

from clearance.sandbox.bloomreach_commands import CONSENT, Told
from clearance.sandbox.bounded_counts import BoundedCounts

CUSTOMERS_KEPT = 100_000
EVENTS_KEPT = 200_000
_EVENTS_KEPT_BY_CUSTOMER = 100
_CAMPAIGN = "campaign"


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One event."""

    customer_ids: Mapping[str, str]
    event_type: str
    properties: Mapping[str, Any]
    timestamp: float


@dataclass(slots=True, kw_only=True)
class Customer:
    """One customer: its ids by kind, properties, and latest events."""

    ids: dict[str, str] = field(default_factory=dict)
    properties: dict[str, Any] = field(default_factory=dict)
    events: deque[Event] = field(default_factory=lambda: deque(maxlen=_EVENTS_KEPT_BY_CUSTOMER))


class BloomreachRecord:
    """Customers and events, and counts of how they came."""

    def __init__(self) -> None:
        self.events: deque[Event] = deque(maxlen=EVENTS_KEPT)
        self._customer_by_id: dict[tuple[str, str], Customer] = {}
        self._times_by_digest: Counter[bytes] = Counter()
        self._digests: deque[bytes] = deque()
        self._count_by_status: Counter[int] = Counter()
        self._count_by_event = BoundedCounts()
        self._count_by_campaign_status = BoundedCounts()
        self._counts: Counter[str] = Counter()
        self._refused_by_error = BoundedCounts()
        self._most_commands = 0

    def answered(self, status: int) -> None:
        """A request was answered."""
        self._count_by_status[status] += 1

    def batch(self, commands: int) -> None:
        """A batch came."""
        self._counts["batches"] += 1
        self._most_commands = max(self._most_commands, commands)

    def refuse(self, name: str, error: str) -> None:
        """A command was refused."""
        self._counts["refused"] += 1
        self._refused_by_error.add(f"{name}: {error}")

    def take(self, told: Told, *, now_s: float) -> None:
        """A command was taken."""
        self._counts["commands"] += 1
        self._note_repeat(told)
        customer = self._customer(told.customer_ids)
        if told.event_type is None:
            self._counts["updates"] += 1
            customer.properties.update(told.properties)
            return
        event = Event(
            customer_ids=dict(told.customer_ids),
            event_type=told.event_type,
            properties=dict(told.properties),
            timestamp=now_s if told.timestamp is None else told.timestamp,
        )
        customer.events.append(event)
        self.events.append(event)
        self._count_by_event.add(told.event_type)
        if told.event_type == _CAMPAIGN:
            self._count_by_campaign_status.add(str(told.properties.get("status")))

    def find(self, kind: str, value: str) -> Customer | None:
        """The customer with this id."""
        return self._customer_by_id.get((kind, value))

    def customers(self) -> list[Customer]:
        """Every customer, in the order in which they came."""
        return list({id(customer): customer for customer in self._customer_by_id.values()}.values())

    def summary(self) -> dict[str, Any]:
        """All of it in figures."""
        counts = self._counts
        return {
            "by_status": {str(status): count for status, count in sorted(self._count_by_status.items())},
            "batches": counts["batches"],
            "most_commands": self._most_commands,
            "commands": counts["commands"],
            "refused": counts["refused"],
            "refused_by_error": dict(self._refused_by_error),
            "repeats": sum(times - 1 for times in self._times_by_digest.values()),
            "customers": len(self.customers()),
            "updates": counts["updates"],
            "events": dict(self._count_by_event),
            "campaign_events_by_status": dict(self._count_by_campaign_status),
            "consents": self._count_by_event[CONSENT],
            "forgotten": {
                "ids": counts["forgotten_ids"],
                "events": sum(self._count_by_event.values()) - len(self.events),
            },
        }

    def _customer(self, ids: Mapping[str, str]) -> Customer:
        """The customer whom one of the ids belongs to, or a new one; afterwards all of them belong to it."""
        keys = list(ids.items())
        known = (self._customer_by_id[key] for key in keys if key in self._customer_by_id)
        customer = next(known, None) or Customer()
        for key in keys:
            self._customer_by_id.setdefault(key, customer)
        customer.ids.update(ids)
        while len(self._customer_by_id) > CUSTOMERS_KEPT:
            del self._customer_by_id[next(iter(self._customer_by_id))]
            self._counts["forgotten_ids"] += 1
        return customer

    def _note_repeat(self, told: Told) -> None:
        content = orjson.dumps(asdict(told), option=orjson.OPT_SORT_KEYS)
        digest = hashlib.blake2b(content, digest_size=16).digest()
        self._times_by_digest[digest] += 1
        self._digests.append(digest)
        if len(self._digests) > EVENTS_KEPT:
            oldest = self._digests.popleft()
            self._times_by_digest[oldest] -= 1
            if not self._times_by_digest[oldest]:
                del self._times_by_digest[oldest]
