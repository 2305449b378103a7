"""What has Optilyz printed, and how was it asked? Letters, requests, and the most requests that were ever in flight.

A request is in flight from its head to the end of its handling, also when its sender is gone: a vendor works on. Only
one that hangs by plan (`hang`, `hang_after`) has nothing left to do, and ends with its sender.

A letter is printed twice when automation, address and individualisations are the same. An answer is cut when the sender
cannot know from it what was printed. Everything is bounded: the oldest is forgotten first, and counted.
"""

import hashlib
from collections import Counter, deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from time import monotonic
from typing import Any

import orjson
from aiohttp import web

from clearance.sandbox.bounded_counts import BoundedCounts
from clearance.sandbox.faults import TOLD, Fault
from clearance.sandbox.gate import FAULT

LETTERS_KEPT = 200_000
REQUESTS_KEPT = 50_000
# What the sender's own identity of a recipient usually stands in.
_REFERENCE = "individualisation1"
_HANGS = (Fault.HANG, Fault.HANG_AFTER)


@dataclass(frozen=True, slots=True, kw_only=True)
class Letter:
    """One recipient that got a letter. `reference` is its first individualisation."""

    letter_id: str
    automation_id: str
    request: int
    reference: str
    key: bytes = field(repr=False)


@dataclass(slots=True, kw_only=True)
class Asked:
    """One request for letters. `status` is 0 until it is answered; `references` stay only when the answer was cut."""

    number: int
    automation_id: str
    size: int = 0
    printed: int = 0
    refused: int = 0
    status: int = 0
    fault: str | None = None
    is_cut: bool = False
    references: tuple[str, ...] = ()
    began_s: float = field(default_factory=monotonic, repr=False)


class OptilyzRecord:
    """What came of all requests for letters."""

    def __init__(self) -> None:
        self.most_in_flight = 0
        self.requests: deque[Asked] = deque(maxlen=REQUESTS_KEPT)
        self.letters: deque[Letter] = deque(maxlen=LETTERS_KEPT)
        self._asked = 0
        self._printed = 0
        self._handling_s = 0.0
        self._handled = 0
        self._request_by_number: dict[int, web.Request] = {}
        self._times_by_key: Counter[bytes] = Counter()
        self._count_by_status: Counter[int] = Counter()
        self._count_by_size: Counter[int] = Counter()
        self._counts_by_automation: dict[str, Counter[str]] = {}
        self._refused_by_message = BoundedCounts()

    def begin(self, request: web.Request, automation_id: str) -> Asked:
        """A request's head has come."""
        self._asked += 1
        self._request_by_number[self._asked] = request
        self.most_in_flight = max(self.most_in_flight, self.in_flight)
        asked = Asked(number=self._asked, automation_id=automation_id)
        self.requests.append(asked)
        return asked

    def end(self, request: web.Request, asked: Asked, status: int) -> None:
        """A request's handling is over; what was answered may have been cut, or nobody was there to hear it."""
        del self._request_by_number[asked.number]
        self._handling_s += monotonic() - asked.began_s
        self._handled += 1
        fault = request.get(FAULT)
        asked.fault = None if fault is None else fault.value
        asked.is_cut = (fault is not None and fault not in TOLD) or _is_gone(request)
        if not asked.is_cut:
            asked.references = ()
        asked.status = status
        self._count_by_status[0 if asked.is_cut else status] += 1
        self._count_by_size[asked.size] += 1

    @property
    def in_flight(self) -> int:
        """Requests under way now."""
        return sum(
            not (request.get(FAULT) in _HANGS and _is_gone(request))
            for request in self._request_by_number.values()
        )

    def print(self, asked: Asked, letter_id: str, address: Mapping[str, Any]) -> None:
        """A letter is printed."""
        if len(self.letters) == LETTERS_KEPT:
            self._forget(self.letters[0].key)
        key = _key(asked.automation_id, address)
        self.letters.append(
            Letter(
                letter_id=letter_id,
                automation_id=asked.automation_id,
                request=asked.number,
                reference=reference_of(address),
                key=key,
            )
        )
        self._times_by_key[key] += 1
        self._printed += 1
        asked.printed += 1
        self._counts(asked)["printed"] += 1

    def refuse(self, asked: Asked, message: str) -> None:
        """A recipient is refused."""
        asked.refused += 1
        self._refused_by_message.add(message)
        self._counts(asked)["refused"] += 1

    def repeated(self) -> Iterator[Letter]:
        """Every printing of a letter that was printed more than once."""
        twice = {key for key, times in self._times_by_key.items() if times > 1}
        return (letter for letter in self.letters if letter.key in twice)

    def summary(self) -> dict[str, Any]:
        """All of it in figures. Sizes and statuses are counts; a cut answer has status `cut`."""
        cut = [asked for asked in self.requests if asked.is_cut]
        return {
            "requests": self._asked,
            "in_flight": self.in_flight,
            "most_in_flight": self.most_in_flight,
            "mean_handling_ms": round(1000 * self._handling_s / max(1, self._handled), 3),
            "by_status": {
                str(status or "cut"): count for status, count in sorted(self._count_by_status.items())
            },
            "batch_sizes": {str(size): count for size, count in sorted(self._count_by_size.items())},
            "printed": self._printed,
            "printed_twice": sum(times - 1 for times in self._times_by_key.values()),
            "refused": sum(self._refused_by_message.values()),
            "refused_by_message": dict(self._refused_by_message),
            "cut": {
                "requests": len(cut),
                "recipients": sum(asked.size for asked in cut),
                "printed": sum(asked.printed for asked in cut),
            },
            "by_automation": {name: dict(counts) for name, counts in self._counts_by_automation.items()},
            "forgotten": {
                "requests": self._asked - len(self.requests),
                "letters": self._printed - len(self.letters),
            },
        }

    def _forget(self, key: bytes) -> None:
        self._times_by_key[key] -= 1
        if not self._times_by_key[key]:
            del self._times_by_key[key]

    def _counts(self, asked: Asked) -> Counter[str]:
        return self._counts_by_automation.setdefault(asked.automation_id, Counter())


def reference_of(address: object) -> str:
    """How the sender knows this recipient; empty when it does not say."""
    return str(address.get(_REFERENCE, "")) if isinstance(address, Mapping) else ""


def _is_gone(request: web.Request) -> bool:
    return request.transport is None or request.transport.is_closing()


def _key(automation_id: str, address: Mapping[str, Any]) -> bytes:
    content = orjson.dumps([automation_id, dict(address)], option=orjson.OPT_SORT_KEYS)
    return hashlib.blake2b(content, digest_size=16).digest()
