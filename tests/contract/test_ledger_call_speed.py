"""How long the vendor takes over a group's answers: by the last calls that it took."""

from datetime import timedelta

import pytest

from clearance.ledger.call_speed import seconds_per_call
from clearance.ledger.decisions import Answer, NewApproval, record_approvals
from clearance.ledger.engine import Ledger
from tests.fakes.clock import START


def _called(
    ledger: Ledger, *took_s: float, answer: Answer = Answer.TAKEN, first: int = 0, revision: int | None = 1
) -> None:
    """Calls that took so long, with ids in their order."""
    calls = [
        NewApproval(
            approval_id=f"{number:04}-{revision}",
            subject="g1",
            attempt=1,
            customers=10,
            sent_at=START,
            answered_at=None if answer is Answer.UNKNOWN else START + timedelta(seconds=seconds),
            status=200 if answer is Answer.TAKEN else None,
            answer=answer,
            revision=revision,
        )
        for number, seconds in enumerate(took_s, first)
    ]
    with ledger.write() as connection:
        record_approvals(connection, calls)


def _speed(ledger: Ledger) -> float | None:
    with ledger.read() as connection:
        return seconds_per_call(connection)


def test_without_a_call_nothing_is_known(ledger: Ledger) -> None:
    assert _speed(ledger) is None


def test_one_call_is_what_is_known(ledger: Ledger) -> None:
    _called(ledger, 1.5)

    assert _speed(ledger) == pytest.approx(1.5)


@pytest.mark.parametrize(
    ("took_s", "speed_s"),
    [
        ([0.1] * 8 + [2.0] * 2, 2.0),
        ([0.1] * 9 + [2.0], 0.1),
        ([0.1, 2.0, 0.1], 2.0),
    ],
)
def test_nine_of_ten_calls_took_no_longer(ledger: Ledger, took_s: list[float], speed_s: float) -> None:
    """Not the mean: many small calls say little of a full one, and one stall says little of the rest."""
    _called(ledger, *took_s)

    assert _speed(ledger) == pytest.approx(speed_s)


def test_only_the_last_calls_count(ledger: Ledger) -> None:
    _called(ledger, *[9.0] * 30)
    _called(ledger, *[0.5] * 50, first=30)

    assert _speed(ledger) == pytest.approx(0.5)


@pytest.mark.parametrize("answer", [Answer.REFUSED, Answer.UNKNOWN])
def test_calls_that_were_not_taken_say_nothing(ledger: Ledger, answer: Answer) -> None:
    _called(ledger, 0.5)
    _called(ledger, 9.0, 9.0, first=1, answer=answer)

    assert _speed(ledger) == pytest.approx(0.5)


def test_approvals_of_single_notifications_say_nothing(ledger: Ledger) -> None:
    _called(ledger, 0.5)
    _called(ledger, *[9.0] * 60, first=1, revision=None)

    assert _speed(ledger) == pytest.approx(0.5)
