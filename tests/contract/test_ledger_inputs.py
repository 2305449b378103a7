"""What decisions were made from: kept for the decision that stands, read in order and in portions, gone in time."""

from datetime import datetime, timedelta

from sqlalchemy import select

from clearance.decisions.decision import Decision
from clearance.ledger import inputs, tables
from clearance.ledger.decisions import NewDecision, record_decisions, stand_many
from clearance.ledger.engine import Ledger
from tests.fakes.clock import START

_FOREVER = START + timedelta(days=365)


def _decision(
    customer_id: str,
    *,
    subject: str = "n-a",
    approved: bool = True,
    kept: bytes | None = b"{}",
    at: datetime = START,
    rules: str = "v1",
    chunk: int | None = None,
) -> NewDecision:
    return NewDecision(
        subject=subject,
        customer_id=customer_id,
        decision=Decision(
            approved=approved,
            reasons=() if approved else ("SUPPRESSED", "MISSING:age"),
            rules_version=rules,
            policy="everything-else",
        ),
        inputs_digest=f"digest of {kept!r}",
        decided_at=at,
        inputs=kept,
        chunk=chunk,
    )


def _decide(ledger: Ledger, *items: NewDecision) -> list[Decision]:
    with ledger.write() as connection:
        return stand_many(connection, items)


def _kept(ledger: Ledger, since: datetime = START, until: datetime = _FOREVER, portion: int = 2) -> list[str]:
    return [each.customer_id for each in inputs.kept(ledger, since, until, portion=portion)]


def test_what_was_kept_comes_with_the_decision_that_was_made_from_it(ledger: Ledger) -> None:
    made = _decision("C1", approved=False, kept=b'{"age": null}')
    _decide(ledger, made, _decision("C2", kept=None))

    (found,) = inputs.kept(ledger, START, _FOREVER)

    assert (found.subject, found.customer_id, found.inputs) == ("n-a", "C1", b'{"age": null}')
    assert (found.recorded_at, found.decision) == (START, made.decision)


def test_a_customer_of_several_groups_has_what_each_decision_was_made_from(ledger: Ledger) -> None:
    made = [
        _decision("C1", subject="g1:1", chunk=1, kept=b"first"),
        _decision("C1", subject="g1:2", chunk=2, kept=b"second", approved=False),
        _decision("C1", subject="n-a", kept=b"alone"),
    ]
    _decide(ledger, *made)

    found = {each.subject: (each.inputs, each.decision) for each in inputs.kept(ledger, START, _FOREVER)}

    assert found == {each.subject: (each.inputs, each.decision) for each in made}


def test_it_is_read_oldest_first_and_each_once_however_small_the_portions(ledger: Ledger) -> None:
    at_once = [_decision(f"C{number}", at=START + timedelta(seconds=5)) for number in range(5)]
    _decide(ledger, *at_once, _decision("B"), _decision("A", at=START + timedelta(seconds=9)))

    for portion in (1, 2, 3, 7, 100):
        assert _kept(ledger, portion=portion) == ["B", "C0", "C1", "C2", "C3", "C4", "A"]


def test_since_is_inclusive_and_until_is_not(ledger: Ledger) -> None:
    second = timedelta(seconds=1)
    _decide(ledger, *(_decision(f"C{number}", at=START + number * second) for number in range(4)))

    assert _kept(ledger, START + second, START + 3 * second) == ["C1", "C2"]


def test_inputs_of_a_decision_that_does_not_stand_are_not_kept(ledger: Ledger) -> None:
    """Rules that record inputs come into force while a notification is decided for the second time."""
    _decide(ledger, _decision("C1", kept=None))
    _decide(ledger, _decision("C1", kept=b"later"))
    _decide(ledger, _decision("C2", kept=b"first"), _decision("C2", kept=b"second"))

    assert [(each.customer_id, each.inputs) for each in inputs.kept(ledger, START, _FOREVER)] == [
        ("C2", b"first")
    ]


def test_what_is_recorded_with_the_approval_keeps_inputs_by_the_same_rule(ledger: Ledger) -> None:
    _decide(ledger, _decision("C1", kept=b"first"), _decision("C2", kept=None))
    with ledger.write() as connection:
        later = [_decision("C1", kept=b"second"), _decision("C2", kept=b"second"), _decision("C3", kept=None)]
        record_decisions(connection, later)
        record_decisions(connection, [_decision("C4", kept=b"first"), _decision("C3", kept=None)])

    assert {each.customer_id: each.inputs for each in inputs.kept(ledger, START, _FOREVER)} == {
        "C1": b"first",
        "C4": b"first",
    }


def test_a_decision_that_is_written_twice_keeps_its_inputs_once(ledger: Ledger) -> None:
    for _ in range(2):
        _decide(ledger, _decision("C1"))

    assert _kept(ledger) == ["C1"]


def test_what_is_older_goes_in_portions_and_the_decisions_stay(ledger: Ledger) -> None:
    day = timedelta(days=1)
    _decide(ledger, *(_decision(f"C{number}", at=START + number * day) for number in range(6)))
    before = START + 5 * day

    removed = []
    with ledger.read() as connection:
        assert inputs.count_older(connection, before) == 5
    for _ in range(4):
        with ledger.write() as connection:
            removed.append(inputs.purge(connection, before, portion=2))

    assert removed == [2, 2, 1, 0]
    assert _kept(ledger) == ["C5"]
    with ledger.read() as connection:
        assert len(connection.execute(select(tables.decisions)).all()) == 6
