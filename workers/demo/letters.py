"""Who is written to in a demo? 1,050 recipients of two automations, some of whom nobody should print a letter for.

Each customer's number decides: some break a rule of the vendor's page, which the relay must refuse, and some live at an
address that only the vendor knows to be undeliverable.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

AUTOMATIONS = ("5fc6ca6a89b5e200e0de42e0", "5fc6ca6a89b5e200e0de42e1")
RECIPIENTS = 1_050
SINGLES = 50
_BATCH = 100
_EACH_INVALID = 35
_EACH_UNDELIVERABLE = 21
# What breaks a rule, each in another way.
_FLAWS: tuple[dict[str, str], ...] = (
    {"fullName": "Anna Muster"},
    {"zipCode": " "},
    {"address1": "Hauptstr. 5"},
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Letters:
    """One request to the relay. `numbers` are its customers, in their order."""

    automation_id: str
    numbers: tuple[int, ...]
    is_single: bool

    @property
    def path(self) -> str:
        """Where it is posted to."""
        return f"/api/v2/automations/{self.automation_id}/{'recipient' if self.is_single else 'recipients'}"

    def body(self) -> dict[str, Any]:
        """What is posted."""
        wrapped = [{"address": _address(number)} for number in self.numbers]
        return wrapped[0] if self.is_single else {"addresses": wrapped}


def requests() -> Iterator[Letters]:
    """Batches for the automations in turn, the first one twice, each with a few single recipients after it."""
    batches = [tuple(range(start, start + _BATCH)) for start in range(0, RECIPIENTS - SINGLES, _BATCH)]
    singles = iter(range(RECIPIENTS - SINGLES, RECIPIENTS))
    for turn, numbers in enumerate(batches):
        automation_id = AUTOMATIONS[turn % 2]
        # The first again, as Bloomreach repeats a request whose answer it has not seen.
        for _ in range(1 if turn else 2):
            yield Letters(automation_id=automation_id, numbers=numbers, is_single=False)
        for _ in range(SINGLES // len(batches)):
            yield Letters(automation_id=automation_id, numbers=(next(singles),), is_single=True)


def is_invalid(number: int) -> bool:
    """Whether the relay must refuse this recipient."""
    return number % _EACH_INVALID == 0


def is_undeliverable(number: int) -> bool:
    """Whether the vendor refuses this recipient, if it is asked."""
    return number % _EACH_UNDELIVERABLE == 0 and not is_invalid(number)


def customer_id(number: int) -> str:
    """The customer's registered id at Bloomreach."""
    return f"reader-{number}@example.com"


def _address(number: int) -> dict[str, str]:
    address = {
        "firstName": "Anna",
        "lastName": f"Muster {number}",
        "street": "Hauptstr.",
        "houseNumber": str(number),
        "zipCode": f"00{number:03d}"[:5] if is_undeliverable(number) else "10115",
        "city": "Berlin",
        "country": "DE",
        "individualisation1": customer_id(number),
        "individualisation3": f"VOUCHER-{number}",
    }
    return address | _FLAWS[number // _EACH_INVALID % len(_FLAWS)] if is_invalid(number) else address
