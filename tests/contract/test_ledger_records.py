"""What the ledger records beside the states: decisions, calls, dead letters and refused requests."""

import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta

import pytest
from sqlalchemy import select, update

from clearance.decisions.decision import Decision
from clearance.ledger import dead_letters, rejections, tables, triggered
from clearance.ledger.dead_letters import DeadLetter
from clearance.ledger.decisions import (
    Answer,
    NewApproval,
    NewDecision,
    record_approvals,
    record_decisions,
    stand_many,
)
from clearance.ledger.engine import Ledger
from clearance.ledger.obligations import ClaimRequest, Finish
from clearance.ledger.rejections import Rejection
from clearance.obligations import Done, ObligationId, Parked
from tests.fakes.clock import START
from tests.fakes.owed import LEASE, accept, claimed, finish, notification, obligation, owe, row


def _decision(customer_id: str, *, approved: bool = True, subject: str = "n-a") -> NewDecision:
    return NewDecision(
        subject=subject,
        customer_id=customer_id,
        decision=Decision(
            approved=approved, reasons=() if approved else ("POLICY_REJECTS_ALL",), rules_version="v1"
        ),
        inputs_digest="d",
        decided_at=START,
    )


def _approval(name: str = "p1", *, answer: Answer = Answer.TAKEN) -> NewApproval:
    return NewApproval(
        approval_id=name,
        subject="n-a",
        attempt=1,
        customers=1,
        sent_at=START,
        answered_at=START,
        status=202,
        answer=answer,
    )


def _decided(ledger: Ledger) -> dict[tuple[str, str], tuple[bool, list[str]]]:
    with ledger.read() as connection:
        rows = connection.execute(select(tables.decisions)).all()
    return {(row.subject, row.customer_id): (row.approved, json.loads(row.reasons)) for row in rows}


def test_the_first_decision_about_a_customer_stands(ledger: Ledger) -> None:
    with ledger.write() as connection:
        record_decisions(connection, [_decision("C1", approved=False)])
    with ledger.write() as connection:
        record_decisions(
            connection, [_decision("C1"), _decision("C2"), _decision("C1", subject="n-b"), _decision("C2")]
        )

    assert _decided(ledger) == {
        ("n-a", "C1"): (False, ["POLICY_REJECTS_ALL"]),
        ("n-a", "C2"): (True, []),
        ("n-b", "C1"): (True, []),
    }


def test_who_decides_second_is_told_what_stands(ledger: Ledger) -> None:
    with ledger.write() as connection:
        first = stand_many(connection, [_decision("C2"), _decision("C1", approved=False)])
    with ledger.write() as connection:
        later = stand_many(
            connection, [_decision("C1"), _decision("C3"), _decision("C3", approved=False), _decision("C2")]
        )

    assert [decision.approved for decision in first] == [True, False]
    assert later == [first[1], first[0], first[0], first[0]]


def test_however_many_are_decided_again_each_is_told_its_own(ledger: Ledger) -> None:
    """More subjects than are looked up at once, and more customers than one statement takes."""
    asked = [("group", f"C{number}") for number in range(33_000)]
    asked += [(f"n-{number}", f"C{number % 7}") for number in range(50)]
    made = [
        _decision(customer_id, subject=subject, approved=index % 2 == 0)
        for index, (subject, customer_id) in enumerate(asked)
    ]
    with ledger.write() as connection:
        stand_many(connection, made)
        told = stand_many(
            connection, [_decision(customer_id, subject=subject) for subject, customer_id in asked]
        )

    assert told == [each.decision for each in made]


def test_of_processes_that_decide_the_same_at_once_all_are_told_the_same(ledger: Ledger) -> None:
    subjects = [f"n-{number}" for number in range(40)]

    def decide(approved: bool) -> list[Decision]:
        told: list[Decision] = []
        for subject in subjects:
            with ledger.write() as connection:
                told += stand_many(connection, [_decision("C1", approved=approved, subject=subject)])
        return told

    with ThreadPoolExecutor() as pool:
        first, second, third = pool.map(decide, [True, False, True])

    assert first == second == third


def test_the_policy_is_recorded_and_told_again(ledger: Ledger) -> None:
    decided = Decision(approved=True, reasons=("NO_POLICY",), rules_version="v2", policy="everything-else")
    with ledger.write() as connection:
        stand_many(connection, [replace(_decision("C1"), decision=decided)])
        assert stand_many(connection, [_decision("C1", approved=False)]) == [decided]


def test_a_decision_of_the_release_before_names_no_policy(ledger: Ledger) -> None:
    with ledger.write() as connection:
        stand_many(connection, [_decision("C1")])
        connection.execute(update(tables.decisions).values(policy=None))
        (standing,) = stand_many(connection, [_decision("C1", approved=False)])

    assert (standing.approved, standing.policy) == (True, "")


def test_a_repeated_attempt_brings_what_an_earlier_one_decided(ledger: Ledger) -> None:
    accept(ledger, notification("a"), notification("b"))
    later = START + 2 * LEASE
    requests = [
        [
            ClaimRequest(obligation_id=ObligationId(name), now=now, lease_until=now + LEASE)
            for name in ("a", "b")
        ]
        for now in (START, later)
    ]
    with ledger.write() as connection:
        firsts = triggered.claim_many(connection, requests[0])
        (standing,) = stand_many(connection, [_decision("C1", approved=False)])
    with ledger.write() as connection:
        repeats = triggered.claim_many(connection, requests[1])

    assert [claim and claim.decision for claim in firsts] == [None, None]
    assert [claim and claim.claimed.attempt for claim in repeats] == [2, 2]
    assert [claim and claim.decision for claim in repeats] == [standing, None]


def test_a_first_attempt_asks_for_no_earlier_decision(ledger: Ledger) -> None:
    """It cannot have one, and every notification has a first attempt."""
    accept(ledger, notification("a"))
    with ledger.write() as connection:
        stand_many(connection, [_decision("C1")])
        request = ClaimRequest(obligation_id=ObligationId("a"), now=START, lease_until=START + LEASE)
        (claim,) = triggered.claim_many(connection, [request])

    assert claim is not None
    assert claim.decision is None


def test_nothing_to_record_is_no_trouble(ledger: Ledger) -> None:
    with ledger.write() as connection:
        record_decisions(connection, [])
        record_approvals(connection, [])
        assert stand_many(connection, []) == []

    assert _decided(ledger) == {}


def test_what_was_sent_is_recorded_although_the_obligation_was_taken_over(ledger: Ledger) -> None:
    owe(ledger, obligation("a"))
    stale = claimed(ledger, "a")
    claimed(ledger, "a", now=START + LEASE)

    with ledger.write() as connection:
        (is_ours,) = triggered.finish_many(
            connection,
            [
                triggered.Answered(
                    finish=Finish(claimed=stale, outcome=Done(), now=START),
                    decision=_decision("C1"),
                    approvals=(_approval(),),
                )
            ],
        )

    assert is_ours is False
    assert row(ledger, "a").state == "running"
    assert ("n-a", "C1") in _decided(ledger)
    with ledger.read() as connection:
        (call,) = connection.execute(select(tables.approvals)).all()
    assert (call.id, call.subject, call.outcome, call.status) == ("p1", "n-a", "taken", 202)
    assert (call.sent_at, call.answered_at) == (START, START)


def test_an_end_that_is_written_twice_changes_nothing_the_second_time(ledger: Ledger) -> None:
    """The connection was lost at commit: the worker cannot know, and writes again."""
    owe(ledger, obligation("a"))
    held = claimed(ledger, "a")
    answered = triggered.Answered(
        finish=Finish(claimed=held, outcome=Done(), now=START),
        decision=_decision("C1"),
        approvals=(_approval("p1", answer=Answer.UNKNOWN), _approval("p2")),
    )

    results = []
    for _ in range(2):
        with ledger.write() as connection:
            results += triggered.finish_many(connection, [answered])

    assert results == [True, False]
    assert row(ledger, "a").state == "done"
    with ledger.read() as connection:
        assert connection.execute(select(tables.approvals.c.id)).scalars().all() == ["p1", "p2"]


def _dead_letter() -> DeadLetter:
    return DeadLetter(
        dead_letter_id="x1",
        obligation_id=None,
        lane="triggered",
        reason="VERSION",
        detail="newer",
        at=START,
    )


def test_a_dead_letter_is_kept_once(ledger: Ledger) -> None:
    for _ in range(2):
        with ledger.write() as connection:
            assert dead_letters.record_many(connection, [_dead_letter()]) == [None]

    with ledger.read() as connection:
        (kept,) = connection.execute(select(tables.dead_letters)).all()
    assert (kept.id, kept.obligation_id, kept.reason, kept.detail, kept.at) == (
        "x1",
        None,
        "VERSION",
        "newer",
        START,
    )


def _refused(number: int) -> Rejection:
    return Rejection(
        rejection_id=f"{number:032x}",
        at=START + timedelta(seconds=number),
        route="/webhooks/optimove/triggered",
        status=422,
        reason="invalid",
        detail="fields are missing or wrong: user.user_id",
        body_bytes=number,
    )


def test_what_is_parked_is_a_dead_letter_unless_another_took_it_over(ledger: Ledger) -> None:
    owe(ledger, obligation("a"))
    stale = claimed(ledger, "a")
    held = claimed(ledger, "a", now=START + LEASE)
    parked = Parked(reason="VendorCredentialsRefused", error="optimove: 401 credentials refused")

    finish(ledger, stale, parked)
    finish(ledger, held, parked, now=START + LEASE)

    with ledger.read() as connection:
        (letter,) = connection.execute(select(tables.dead_letters)).all()
    assert (letter.obligation_id, letter.lane, letter.reason) == (
        "a",
        "triggered",
        "VendorCredentialsRefused",
    )
    assert letter.detail == "optimove: 401 credentials refused"


def test_of_the_refused_requests_the_newest_stay(ledger: Ledger) -> None:
    for group in ([1, 2], [3], [4, 5, 6]):
        with ledger.write() as connection:
            rejections.record_many(connection, [(_refused(number), 3) for number in group])

    with ledger.read() as connection:
        assert rejections.newest(connection, 10) == [_refused(6), _refused(5), _refused(4)]
        assert rejections.newest(connection, 1) == [_refused(6)]


def test_no_refused_request_goes_while_there_is_room(ledger: Ledger) -> None:
    with ledger.write() as connection:
        rejections.record_many(connection, [(_refused(number), 3) for number in (1, 2, 3)])

    with ledger.read() as connection:
        assert len(rejections.newest(connection, 10)) == 3


def test_a_time_without_a_zone_is_refused(ledger: Ledger) -> None:
    naive = START.replace(tzinfo=None)
    with pytest.raises(Exception, match="naive datetime"), ledger.write() as connection:
        record_approvals(
            connection,
            [
                NewApproval(
                    approval_id="p",
                    subject="s",
                    attempt=1,
                    customers=1,
                    sent_at=naive,
                    answered_at=None,
                    status=None,
                    answer=Answer.TAKEN,
                )
            ],
        )


def test_an_error_rolls_the_whole_transaction_back(ledger: Ledger) -> None:
    def record_and_fail() -> None:
        with ledger.write() as connection:
            record_decisions(connection, [_decision("C1")])
            raise RuntimeError

    with pytest.raises(RuntimeError):
        record_and_fail()

    assert _decided(ledger) == {}
