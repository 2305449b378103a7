"""Who is to get a letter in a test? Recipients of several automations, some of whom nobody should print one for.

In: a seed and how many. Out: requests to the relay, each with its moment: single ones and batches, some sent twice, and
some recipients again in somebody else's request. The same seed makes the same.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

_SIZES = (1, 1, 1, 2, 7, 20, 100, 250)
# The last one is small: it starts late, and has to wait for nobody.
_SHARES = (0.55, 0.25, 0.15, 0.05)
_SENT_TWICE, _REPEATED = 0.1, 0.03
_UNDELIVERABLE, _REFUSES_ALL = "00123", "00400"  # as the sandbox has it


class Flaw(StrEnum):
    """What is wrong with a recipient."""

    NONE = "none"
    INVALID = "invalid"  # the relay refuses it
    UNDELIVERABLE = "undeliverable"  # the vendor refuses it alone
    REFUSES_ALL = "refuses_all"  # the vendor refuses the whole request that it is in


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipient:
    """One recipient. `reference` is who it is, everywhere."""

    reference: str
    automation_id: str
    flaw: Flaw = Flaw.NONE

    def address(self) -> dict[str, str]:
        """What is posted."""
        number = self.reference.rsplit("-", 1)[1].split("@")[0]
        zip_code = {Flaw.UNDELIVERABLE: _UNDELIVERABLE, Flaw.REFUSES_ALL: _REFUSES_ALL}.get(
            self.flaw, "10115"
        )
        address = {
            "firstName": "Anna",
            "lastName": f"Muster {number}",
            "street": "Hauptstr.",
            "houseNumber": number,
            "zipCode": zip_code,
            "city": "Berlin",
            "individualisation1": self.reference,
        }
        return address | {"fullName": "Anna Muster"} if self.flaw is Flaw.INVALID else address


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """One request to the relay, so many seconds after the test began."""

    at_s: float
    automation_id: str
    recipients: tuple[Recipient, ...]
    is_single: bool = False

    @property
    def path(self) -> str:
        """Where it is posted to."""
        return f"/api/v2/automations/{self.automation_id}/{'recipient' if self.is_single else 'recipients'}"

    def body(self) -> dict[str, Any]:
        """What is posted."""
        wrapped = [{"address": each.address()} for each in self.recipients]
        return wrapped[0] if self.is_single else {"addresses": wrapped}


def people(name: str, automation_id: str, count: int, *, flaw: Flaw = Flaw.NONE) -> tuple[Recipient, ...]:
    """So many recipients of one automation, all alike."""
    return tuple(
        Recipient(
            reference=f"{name}-{automation_id[-2:]}-{number}@example.com",
            automation_id=automation_id,
            flaw=flaw,
        )
        for number in range(count)
    )


def orders(seed: int, count: int, automations: Sequence[str], *, within_s: float) -> list[Order]:
    """Requests with so many recipients in all, in the order in which they are sent."""
    chosen = random.Random(seed)
    made: list[Order] = []
    for automation_id, share in zip(automations, _SHARES, strict=True):
        here = _recipients(chosen, seed, automation_id, round(count * share))
        while here:
            size = chosen.choice(_SIZES)
            part, here = here[:size], here[size:]
            made.append(_order(chosen, automation_id, part, within_s))
    # One in all: it costs the requests of a whole search.
    first = max(made, key=lambda each: len(each.recipients))
    bad = Recipient(
        reference=f"s{seed}-bad-0@example.com", automation_id=first.automation_id, flaw=Flaw.REFUSES_ALL
    )
    made.append(_order(chosen, first.automation_id, [bad], within_s))
    again = [
        _order(chosen, each.automation_id, list(each.recipients), within_s)
        for each in made
        if chosen.random() < _SENT_TWICE
    ]
    repeated = [
        _order(chosen, each.automation_id, [chosen.choice(each.recipients)], within_s)
        for each in made
        if chosen.random() < _REPEATED * len(each.recipients)
    ]
    return sorted([*made, *again, *repeated], key=lambda each: each.at_s)


def _order(chosen: random.Random, automation_id: str, part: list[Recipient], within_s: float) -> Order:
    is_single = len(part) == 1 and chosen.random() < 0.7
    at_s = chosen.uniform(0, within_s)
    return Order(at_s=at_s, automation_id=automation_id, recipients=tuple(part), is_single=is_single)


def _recipients(chosen: random.Random, seed: int, automation_id: str, count: int) -> list[Recipient]:
    flaws = chosen.choices((Flaw.NONE, Flaw.INVALID, Flaw.UNDELIVERABLE), weights=(0.95, 0.02, 0.03), k=count)
    return [
        Recipient(
            reference=f"s{seed}-{automation_id[-2:]}-{number}@example.com",
            automation_id=automation_id,
            flaw=flaw,
        )
        for number, flaw in enumerate(flaws)
    ]
