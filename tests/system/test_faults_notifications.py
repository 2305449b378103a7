"""The notification itself is the trouble: it comes many times, too late, or from a clock that is not ours."""

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from threading import Barrier

import pytest

from tests.system.fleet import SECRET, Fleet
from tests.system.ledger_reader import UNFINISHED_STATES, Owed
from tests.system.processes import until
from tests.system.signed import as_json, notification, signed

pytestmark = pytest.mark.timeout(90)


@pytest.fixture
def fresh_ingest(fleet: Fleet) -> Iterator[str]:
    """The webhook of an ingest that has not measured any clock yet, and whose measurements touch no other test."""
    with fleet.second_ingest() as url:
        yield url


def test_the_same_notification_twenty_times_at_once_is_one_decision_and_one_approval(fleet: Fleet) -> None:
    body = as_json(notification())
    together = Barrier(20)

    def send(_: int) -> tuple[int, dict[str, object]]:
        together.wait(10)
        answer = fleet.post(body, signed(body, SECRET))
        return answer.status, answer.json()

    with ThreadPoolExecutor(20) as pool:
        answers = list(pool.map(send, range(20)))
    assert {status for status, _ in answers} == {202}
    assert len({told["id"] for _, told in answers}) == 1
    assert sorted(bool(told["duplicate"]) for _, told in answers) == [False] + [True] * 19
    owed = _finished(fleet, body)
    assert (owed.state, owed.outcomes(), len(owed.decisions)) == ("done", ["taken"], 1)
    # The sandbox did not send it, and counts what it does not know.
    assert fleet.report()["unknown_answers"] == 1


def test_a_notification_repeated_after_its_answer_is_recognised_and_not_answered_again(fleet: Fleet) -> None:
    body = as_json(notification())
    first = fleet.post(body, signed(body, SECRET)).json()
    _finished(fleet, body)
    again = fleet.post(body, signed(body, SECRET))
    assert (again.status, again.json()) == (202, {"accepted": True, "id": first["id"], "duplicate": True})
    fleet.wait_every_worker_works()
    assert _finished(fleet, body).outcomes() == ["taken"]


def test_a_deadline_that_is_past_is_acknowledged_and_recorded_and_nothing_is_sent(fleet: Fleet) -> None:
    body = as_json(notification(clock_ahead_s=-10))
    answer = fleet.post(body, signed(body, SECRET))
    assert answer.status == 202
    owed = _finished(fleet, body)
    assert (owed.state, owed.reason, owed.attempts) == ("missed", "PAST_ON_ARRIVAL", 0)
    assert owed.approvals == ()
    assert fleet.report()["unknown_answers"] == 0


def test_a_vendor_whose_clock_is_ahead_is_answered_by_our_clock(fleet: Fleet, fresh_ingest: str) -> None:
    body = as_json(notification(clock_ahead_s=2))
    sent_at = datetime.now(UTC)
    assert fleet.post(body, signed(body, SECRET), url=fresh_ingest).status == 202
    owed = _finished(fleet, body)
    assert (owed.state, owed.outcomes()) == ("done", ["taken"])
    # Its five seconds end two seconds before the moment that it names.
    assert timedelta(seconds=4) < owed.deadline_at - sent_at < timedelta(seconds=5.2)


def test_a_vendor_whose_clock_is_behind_leaves_the_smaller_budget(fleet: Fleet, fresh_ingest: str) -> None:
    body = as_json(notification(clock_ahead_s=-2))
    stated_ms = json.loads(body)["conditional_execution_approval_deadline"]
    assert fleet.post(body, signed(body, SECRET), url=fresh_ingest).status == 202
    owed = _finished(fleet, body)
    assert (owed.state, owed.outcomes()) == ("done", ["taken"])
    assert round(owed.deadline_at.timestamp() * 1000) == stated_ms


def test_one_notification_from_a_clock_far_ahead_does_not_cost_the_others_their_time(
    fleet: Fleet, fresh_ingest: str
) -> None:
    astray = as_json(notification(clock_ahead_s=60))
    assert fleet.post(astray, signed(astray, SECRET), url=fresh_ingest).status == 202
    body = as_json(notification())
    assert fleet.post(body, signed(body, SECRET), url=fresh_ingest).status == 202
    owed = _finished(fleet, body)
    assert (owed.state, owed.reason) == ("done", None)


@pytest.mark.parametrize("clock_ahead_s", [-330, 330])
def test_a_clock_beyond_the_freshness_window_is_refused(fleet: Fleet, clock_ahead_s: int) -> None:
    body = as_json(notification(clock_ahead_s=clock_ahead_s, window_ms=600_000))
    answer = fleet.post(body, signed(body, SECRET))
    assert (answer.status, answer.json()["error"]) == (401, "stale")
    assert fleet.ledger.owed(_uid(body)) == []


def _uid(body: bytes) -> str:
    return str(json.loads(body)["request_uid"])


def _finished(fleet: Fleet, body: bytes) -> Owed:
    uid = _uid(body)
    until(
        lambda: fleet.ledger.count(uid) == 1 and not fleet.ledger.count(uid, *UNFINISHED_STATES),
        f"{uid} is finished",
        timeout_s=15,
    )
    (owed,) = fleet.ledger.owed(uid)
    return owed
