"""Feedback: what is told of a letter depends on what became of it, and is always well-formed."""

from datetime import UTC, datetime
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from clearance.bloomreach.commands import Command, CommandName
from clearance.bloomreach.feedback import Fate, Feedback, LetterOutcome
from clearance.bloomreach.wellformed import problem

_AT = datetime(2026, 3, 2, 9, 0, 0, 123456, tzinfo=UTC)
_SECONDS = 1772442000.123
_IDS = {"registered": "anna@example.com"}
_BOTH = Feedback(address_property="postal_address_valid", consent_category="postal")
_NEITHER = Feedback()


def _outcome(what: Fate, **given: Any) -> LetterOutcome:
    usual: dict[str, Any] = {
        "recipient_id": "r1",
        "automation_id": "a1",
        "customer_ids": _IDS,
        "campaign": "cart",
        "message": None,
        "at": _AT,
    }
    return LetterOutcome(what=what, **usual | given)


def _by_key(commands: list[Command]) -> dict[str, Any]:
    return {str(command.dedupe_key).rpartition(":")[2]: command.data for command in commands}


def test_a_letter_that_was_taken_is_an_event_and_nothing_else() -> None:
    (command,) = _BOTH.commands(_outcome(Fate.ENQUEUED, message="ignored", reason="IGNORED"))

    assert (command.name, command.about) == (CommandName.EVENT, "r1")
    assert command.data == {
        "customer_ids": _IDS,
        "event_type": "campaign",
        "timestamp": _SECONDS,
        "properties": {
            "action_type": "direct mail",
            "campaign_name": "cart",
            "status": "enqueued",
            "recipient_id": "r1",
            "automation_id": "a1",
        },
    }


def test_a_refused_address_is_an_event_with_the_reason_a_property_and_a_rejected_consent() -> None:
    told = _by_key(_BOTH.commands(_outcome(Fate.FAILED, reason="ADDRESS_REFUSED", message="no such street")))

    assert sorted(told) == ["campaign", "consent", "property"]
    assert told["campaign"]["properties"] | {"x": 1} == {
        "action_type": "direct mail",
        "campaign_name": "cart",
        "status": "failed",
        "recipient_id": "r1",
        "automation_id": "a1",
        "reason": "ADDRESS_REFUSED",
        "message": "no such street",
        "x": 1,
    }
    assert told["property"] == {
        "customer_ids": _IDS,
        "properties": {"postal_address_valid": False},
        "update_timestamp": _SECONDS,
    }
    assert told["consent"] == {
        "customer_ids": _IDS,
        "event_type": "consent",
        "properties": {"action": "reject", "category": "postal"},
        "timestamp": _SECONDS,
    }


@pytest.mark.parametrize(
    ("feedback", "kinds"),
    [
        (_NEITHER, ["campaign"]),
        (Feedback(address_property="p"), ["campaign", "property"]),
        (Feedback(consent_category="c"), ["campaign", "consent"]),
    ],
)
def test_only_what_is_set_is_told(feedback: Feedback, kinds: list[str]) -> None:
    assert sorted(_by_key(feedback.commands(_outcome(Fate.FAILED)))) == kinds


@pytest.mark.parametrize(
    ("outcome", "kinds"),
    [
        (_outcome(Fate.REFUSED), ["campaign"]),
        (_outcome(Fate.REFUSED, is_address_wrong=True), ["campaign", "consent", "property"]),
        (_outcome(Fate.SUPPRESSED), ["campaign"]),
        (_outcome(Fate.SUPPRESSED, is_address_wrong=True), ["campaign"]),
    ],
)
def test_what_was_not_sent_is_a_failure_and_says_that_the_address_is_wrong_only_if_that_is_why(
    outcome: LetterOutcome, kinds: list[str]
) -> None:
    told = _by_key(_BOTH.commands(outcome))

    assert sorted(told) == kinds
    assert told["campaign"]["properties"]["status"] == "failed"
    assert told["campaign"]["properties"]["reason"] == outcome.what.upper()


@pytest.mark.parametrize("fate", Fate)
@pytest.mark.parametrize("ids", [{}, {"registered": " "}, {"registered": "null", "cookie": "-"}])
def test_without_a_usable_id_nobody_is_told_anything(fate: Fate, ids: dict[str, str]) -> None:
    assert _BOTH.commands(_outcome(fate, customer_ids=ids)) == []


def test_the_campaign_that_is_set_stands_before_that_of_the_letter() -> None:
    fixed = Feedback(campaign_name="always")

    (command,) = fixed.commands(_outcome(Fate.ENQUEUED, campaign="cart"))

    assert command.data["properties"]["campaign_name"] == "always"


@pytest.mark.parametrize("campaign", [None, "", "  "])
def test_without_a_campaign_the_event_names_none(campaign: str | None) -> None:
    (command,) = _NEITHER.commands(_outcome(Fate.ENQUEUED, campaign=campaign))

    assert not [name for name in command.data["properties"] if name.startswith("campaign")]


def test_a_reference_in_the_form_of_an_id_is_the_campaigns_id() -> None:
    (command,) = _NEITHER.commands(_outcome(Fate.ENQUEUED, campaign="5fc6ca6a89b5e200e0de42e0"))

    assert command.data["properties"]["campaign_id"] == "5fc6ca6a89b5e200e0de42e0"
    assert "campaign_name" not in command.data["properties"]


def test_what_is_said_of_the_same_outcome_has_the_same_keys_and_of_another_others() -> None:
    def keys(fate: Fate, recipient_id: str) -> set[str | None]:
        outcome = _outcome(fate, recipient_id=recipient_id)
        return {command.dedupe_key for command in _BOTH.commands(outcome)}

    assert keys(Fate.FAILED, "r1") == keys(Fate.FAILED, "r1")
    assert len(keys(Fate.FAILED, "r1")) == 3
    every = [keys(fate, recipient) for fate in Fate for recipient in ("r1", "r2")]
    assert len(set().union(*every)) == sum(map(len, every))


def test_keys_fit_the_ledger() -> None:
    outcome = _outcome(Fate.SUPPRESSED, recipient_id="f" * 32)

    assert all(len(str(command.dedupe_key)) <= 64 for command in _BOTH.commands(outcome))


_TEXTS = st.text(max_size=40)


@given(
    fate=st.sampled_from(Fate),
    ids=st.dictionaries(st.sampled_from(["registered", "cookie"]), _TEXTS),
    campaign=st.none() | _TEXTS,
    message=st.none() | st.text(max_size=20_000),
    is_address_wrong=st.booleans(),
)
def test_whatever_comes_every_command_is_well_formed_and_small(
    fate: Fate, ids: dict[str, str], campaign: str | None, message: str | None, is_address_wrong: bool
) -> None:
    outcome = _outcome(
        fate, customer_ids=ids, campaign=campaign, message=message, is_address_wrong=is_address_wrong
    )

    for command in _BOTH.commands(outcome):
        assert problem(command) is None
        assert len(orjson.dumps(command.data)) < 16_000
