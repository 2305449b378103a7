"""Heartbeats in the ledger: which lanes answer, and how often one that does not is asked."""

from datetime import datetime, timedelta

from clearance.ledger import heartbeats
from clearance.ledger.engine import Ledger
from clearance.ledger.heartbeats import GUARDIAN, Heard, LaneBeat
from tests.fakes.clock import START

EVERY = timedelta(seconds=10)
LANES = ("triggered", "mail")


def _at(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


def _heard(lane: str, *, sent_s: float, took_s: float = 0.01, process: str = "a@host") -> Heard:
    return Heard(lane=lane, process=process, sent_at=_at(sent_s), received_at=_at(sent_s + took_s))


def _asked(ledger: Ledger, at_s: float, *lanes: str) -> None:
    with ledger.write() as connection:
        heartbeats.asked(connection, lanes, _at(at_s))


def _noted(ledger: Ledger, heard: Heard) -> None:
    with ledger.write() as connection:
        heartbeats.note(connection, heard)


def _known(ledger: Ledger) -> dict[str, LaneBeat]:
    with ledger.read() as connection:
        return heartbeats.known(connection)


def _due(ledger: Ledger, at_s: float) -> list[str]:
    return heartbeats.due(_known(ledger), LANES, _at(at_s), EVERY)


def test_a_lane_that_was_never_asked_is_asked_at_once_and_one_that_answers_again_after_the_interval(
    ledger: Ledger,
) -> None:
    assert _due(ledger, 0) == ["triggered", "mail"]

    _asked(ledger, 0, *LANES)
    for lane in LANES:
        _noted(ledger, _heard(lane, sent_s=0))

    assert _due(ledger, 9.9) == []
    assert _due(ledger, 10) == ["triggered", "mail"]


def test_a_lane_that_does_not_answer_is_asked_half_as_often_each_time(ledger: Ledger) -> None:
    """Its messages wait in the queue: a day without a worker must not fill the broker."""
    asked_at_s: list[float] = []
    for second in range(0, 24 * 3600, 5):
        if "mail" in _due(ledger, second):
            _asked(ledger, second, "mail")
            asked_at_s.append(second)

    assert asked_at_s[:5] == [0, 10, 30, 70, 150]
    assert len(asked_at_s) < 45
    assert _known(ledger)["mail"].heard is None


def test_one_answer_makes_it_asked_as_often_as_before(ledger: Ledger) -> None:
    for second in (0, 10, 30):
        _asked(ledger, second, "mail")
    assert "mail" not in _due(ledger, 60)

    _noted(ledger, _heard("mail", sent_s=0, took_s=55))

    known = _known(ledger)["mail"]
    assert (known.unanswered, known.heard) == (0, _heard("mail", sent_s=0, took_s=55))
    assert "mail" in _due(ledger, 60)


def test_an_answer_that_was_quicker_than_the_note_of_its_question_does_not_slow_the_next(
    ledger: Ledger,
) -> None:
    for second in range(0, 100, 10):
        _noted(ledger, _heard("mail", sent_s=second))
        _asked(ledger, second, "mail")

        assert "mail" not in _due(ledger, second + 9)
        assert "mail" in _due(ledger, second + 10)


def test_a_question_by_a_clock_that_was_ahead_does_not_keep_the_lane_from_being_asked(ledger: Ledger) -> None:
    _asked(ledger, 3600, "mail")

    assert "mail" in _due(ledger, 0)


def test_the_last_word_counts_and_guardians_have_a_row_of_their_own(ledger: Ledger) -> None:
    _noted(ledger, _heard(GUARDIAN, sent_s=7200, process="ahead@host"))
    _noted(ledger, _heard(GUARDIAN, sent_s=0, process="guardian@host"))
    _noted(ledger, _heard("triggered", sent_s=0))

    known = _known(ledger)
    assert set(known) == {GUARDIAN, "triggered"}
    assert known[GUARDIAN].heard == _heard(GUARDIAN, sent_s=0, process="guardian@host")
