"""What the ledger does with a notification: kept once, with its obligation, whoever sends it and however often."""

from datetime import timedelta

import pytest
from sqlalchemy import func, select

from clearance.ledger import triggered
from clearance.ledger.engine import Ledger
from clearance.ledger.obligations import ClaimRequest, Finish
from clearance.ledger.tables import notifications as notifications_table
from clearance.ledger.tables import obligations as obligations_table
from clearance.obligations import Done, Missed, MissedReason, ObligationId, Parked, State
from tests.fakes.clock import START
from tests.fakes.owed import LEASE, accept, notification, row


def _how_many(ledger: Ledger, table: object) -> int:
    with ledger.read() as connection:
        return int(connection.execute(select(func.count()).select_from(table)).scalar_one())


def _body_by_id(ledger: Ledger) -> dict[str, bytes | None]:
    with ledger.read() as connection:
        rows = connection.execute(select(notifications_table.c.id, notifications_table.c.body))
        return {row.id: row.body for row in rows}


def test_a_new_notification_is_kept_with_an_open_obligation(ledger: Ledger) -> None:
    (answer,) = accept(ledger, notification("a"))

    assert (answer.notification_id, answer.is_duplicate) == ("n-a", False)
    kept = row(ledger, "a")
    assert (kept.state, kept.attempts, kept.publications) == (State.OPEN, 0, 0)
    assert kept.deadline_at == START + timedelta(seconds=5)
    assert kept.publish_at == START + timedelta(seconds=1)


def test_a_duplicate_inside_one_group_is_told_the_first_ones_id(ledger: Ledger) -> None:
    first, other, again = accept(
        ledger,
        notification("a", vendor_id="same"),
        notification("b"),
        notification("c", vendor_id="same"),
    )

    assert (first.notification_id, first.is_duplicate) == ("n-a", False)
    assert (other.notification_id, other.is_duplicate) == ("n-b", False)
    assert (again.notification_id, again.is_duplicate) == ("n-a", True)
    assert _how_many(ledger, notifications_table) == _how_many(ledger, obligations_table) == 2


def test_a_duplicate_in_a_later_group_is_told_the_first_ones_id(ledger: Ledger) -> None:
    accept(ledger, notification("a", vendor_id="same"))

    (again,) = accept(ledger, notification("b", vendor_id="same"))

    assert (again.notification_id, again.is_duplicate) == ("n-a", True)
    assert _how_many(ledger, obligations_table) == 1


def test_a_notification_that_came_too_late_is_kept_as_missed(ledger: Ledger) -> None:
    accept(ledger, notification("late", missed=MissedReason.PAST_ON_ARRIVAL))

    kept = row(ledger, "late")
    assert (kept.state, kept.reason) == (State.MISSED, MissedReason.PAST_ON_ARRIVAL)
    assert kept.finished_at == START


def test_a_claim_brings_the_body_byte_for_byte(ledger: Ledger) -> None:
    body = bytes(range(256))
    accept(ledger, notification("a", body=body))

    held = _claim_with_body(ledger, "a")

    assert held is not None
    assert held.body == body


@pytest.mark.parametrize(
    ("outcome", "is_kept"),
    [
        (Done(), False),
        (Missed(reason=MissedReason.RETRIES_RAN_OUT, margin_s=-1), True),
        (Parked(reason="VendorRefused", error="optimove: 400"), True),
    ],
)
def test_the_body_is_forgotten_when_its_obligation_is_done_only(
    ledger: Ledger, outcome: Done | Missed | Parked, is_kept: bool
) -> None:
    accept(ledger, notification("a", body=b"personal"), notification("b", body=b"another's"))
    held = _claim_with_body(ledger, "a")
    assert held is not None

    assert _answer(ledger, Finish(claimed=held.claimed, outcome=outcome, now=START)) is True

    assert _body_by_id(ledger) == {"n-a": b"personal" if is_kept else None, "n-b": b"another's"}


def test_a_worker_that_was_taken_over_does_not_drop_the_body(ledger: Ledger) -> None:
    accept(ledger, notification("a", body=b"needed"))
    stale = _claim_with_body(ledger, "a")
    fresh = _claim_with_body(ledger, "a", seconds=2)
    assert stale is not None
    assert fresh is not None

    assert _answer(ledger, Finish(claimed=stale.claimed, outcome=Done(), now=START)) is False

    assert fresh.body == b"needed"
    assert _body_by_id(ledger) == {"n-a": b"needed"}


def _claim_with_body(ledger: Ledger, name: str, seconds: float = 0) -> triggered.ClaimedNotification | None:
    now = START + timedelta(seconds=seconds)
    request = ClaimRequest(obligation_id=ObligationId(name), now=now, lease_until=now + LEASE)
    with ledger.write() as connection:
        (held,) = triggered.claim_many(connection, [request])
    return held


def _answer(ledger: Ledger, finish: Finish) -> bool:
    answered = triggered.Answered(finish=finish, decision=None, approvals=())
    with ledger.write() as connection:
        (is_ours,) = triggered.finish_many(connection, [answered])
    return is_ours
