"""Well-formed commands: what Bloomreach would misread is found before it is sent."""

from typing import Any

import pytest

from clearance.bloomreach.commands import Command, CommandName
from clearance.bloomreach.wellformed import problem

_IDS = {"registered": "anna@example.com"}


def _event(event_type: object = "campaign", **data: Any) -> Command:
    usual = {"customer_ids": _IDS, "event_type": event_type, "properties": {}, "timestamp": 1772442000}
    return Command(name=CommandName.EVENT, data=usual | data, about="r1")


def _consent(**properties: Any) -> Command:
    return _event("consent", properties={name: value for name, value in properties.items() if value != "—"})


@pytest.mark.parametrize(
    "command",
    [
        _event(),
        _event(timestamp=1772442000.123),
        _consent(action="reject", category="postal"),
        _consent(action="accept", category="postal", valid_until="unlimited"),
        _consent(action="accept", category="postal", valid_until=1900000000),
        Command(name=CommandName.CUSTOMER, data={"customer_ids": _IDS, "properties": {}}, about="r1"),
    ],
)
def test_what_is_well_formed_may_be_sent(command: Command) -> None:
    assert problem(command) is None


@pytest.mark.parametrize(
    "command",
    [
        _event(customer_ids={}),
        _event(customer_ids=None),
        _event(customer_ids={"registered": ""}),
        _event(customer_ids={"registered": "anna@example.com", "cookie": "null"}),
        _event(customer_ids={"registered": 7}),
        _event(""),
        _event(None),
        _event(timestamp=1772442000000),
        _event(timestamp="1772442000"),
        _event(timestamp=True),
        Command(name=CommandName.CUSTOMER, data={"customer_ids": _IDS}, about="r1"),
    ],
)
def test_what_names_nobody_or_says_nothing_may_not(command: Command) -> None:
    assert problem(command)


@pytest.mark.parametrize("category", ["—", "", " ", None, 7])
def test_a_consent_event_without_a_category_may_not(category: object) -> None:
    assert problem(_consent(action="reject", category=category)) == "a consent event without a category"


@pytest.mark.parametrize("action", ["—", "Reject", "revoke", "", None])
def test_a_consent_event_accepts_or_rejects(action: object) -> None:
    assert problem(_consent(action=action, category="postal"))


@pytest.mark.parametrize("until", ["unlimited", 1900000000, None])
def test_a_rejection_does_not_say_until_when(until: object) -> None:
    assert problem(_consent(action="reject", category="postal", valid_until=until))


@pytest.mark.parametrize("until", ["—", "", "forever", 1900000000000, None, True])
def test_an_acceptance_says_until_when(until: object) -> None:
    assert problem(_consent(action="accept", category="postal", valid_until=until))


def test_a_consent_event_has_a_time() -> None:
    data = {
        "customer_ids": _IDS,
        "event_type": "consent",
        "properties": {"action": "reject", "category": "p"},
    }

    assert problem(Command(name=CommandName.EVENT, data=data, about="r1"))


def test_what_is_wrong_is_told_without_values() -> None:
    told = problem(_event(customer_ids={"registered": "anna@example.com", "cookie": " secret"}))

    assert told == "an id that names nobody"
