"""A mail worker: batches by turns, and what each answer does to its letters."""

import json
from datetime import timedelta

import pytest
from structlog.typing import EventDict

from clearance.errors import (
    ClearanceError,
    VendorCredentialsRefused,
    VendorRefused,
    VendorThrottled,
    VendorUnavailable,
)
from clearance.http.exchange import ReplyTooLong
from clearance.ledger import address_suppressions, lane_pauses
from clearance.ledger.engine import Ledger
from clearance.mail_states import HeldReason
from clearance.obligations import Lane
from clearance.optilyz.client import VENDOR
from tests.fakes.clock import START, ManualClock
from tests.fakes.mail_owed import batches, begun, plan, states, take_letters
from tests.unit.tasks.mail_worker import SILENCE, SLOT_LEASE_S, MailWorker, mail_worker, taken

_NO_CONNECTION = VendorUnavailable(VENDOR, "no connection", may_have_arrived=False)


@pytest.fixture
def worker(ledger: Ledger, clock: ManualClock, monkeypatch: pytest.MonkeyPatch) -> MailWorker:
    return mail_worker(ledger, clock, monkeypatch)


# --- what is posted -------------------------------------------------------------------------------------------------


def test_what_is_due_is_posted_batch_by_batch_with_one_slot_which_is_given_back(worker: MailWorker) -> None:
    take_letters(worker.ledger, *"abcdef")

    assert worker.run() == "2 batches"

    assert sorted(worker.posted()) == [["a", "b", "c"], ["d", "e", "f"]]
    assert worker.states() == "posted posted posted posted posted posted"
    assert [row.fence for row in batches(worker.ledger)] == [1, 1]
    assert {row.state for row in worker.owed()} == {"done"}
    assert worker.slots.held == 0
    assert worker.kept == []


def test_a_batch_that_gathers_leaves_when_its_oldest_letter_has_waited(worker: MailWorker) -> None:
    take_letters(worker.ledger, "a")
    worker.run()
    assert worker.posted() == []

    worker.clock.advance(30)
    worker.run()

    assert worker.posted() == [["a"]]


def test_automations_take_turns(worker: MailWorker) -> None:
    take_letters(worker.ledger, *"abcdefghi", automation_id="large")
    take_letters(worker.ledger, *"xyz", automation_id="small")

    worker.run()

    assert [automation for automation, _ in worker.vendor.posted][:2] in (
        ["large", "small"],
        ["small", "large"],
    )


def test_a_rehearsal_posts_nothing(worker: MailWorker) -> None:
    take_letters(worker.ledger, *"abc", is_dry_run=True)

    worker.run()

    assert worker.posted() == []
    assert worker.states() == "rehearsed rehearsed rehearsed"


def test_a_deployment_that_posts_nothing_leaves_letters_that_it_has_already_until_it_does(
    worker: MailWorker,
) -> None:
    take_letters(worker.ledger, *"abcdef")
    take_letters(worker.ledger, *"xyz", is_dry_run=True)
    dry = MailWorker(worker.ledger, worker.clock, is_dry_run=True)

    assert dry.run() == "1 batches"
    assert dry.posted() == []
    assert worker.states() == "queued queued queued queued queued queued rehearsed rehearsed rehearsed"

    assert worker.run() == "2 batches"
    assert sorted(worker.posted()) == [["a", "b", "c"], ["d", "e", "f"]]


def test_an_address_that_is_suppressed_while_its_letter_waits_is_not_posted_to(worker: MailWorker) -> None:
    take_letters(worker.ledger, *"abcdef")
    with worker.ledger.write() as connection:
        for name in "abcd":
            address_suppressions.suppress_recipient(
                connection, name, reason="MOVED", who="ada", now=worker.clock()
            )

    assert worker.run() == "2 batches"

    assert worker.posted() == [["e", "f"]]
    assert worker.states() == "suppressed suppressed suppressed suppressed posted posted"
    assert worker.metrics.counted("mail_letters_total", outcome="suppressed") == 4
    assert worker.slots.held == 0


def test_an_answer_is_taken_letter_by_letter(worker: MailWorker, log_events: list[EventDict]) -> None:
    take_letters(worker.ledger, *"abc")
    refused = {"error": {"message": "street: Hauptstr. 5 is unknown"}}
    worker.vendor.answers = [json.dumps({"results": [{"id": "1"}, refused, {"id": "2"}]}).encode()]

    worker.run()

    assert worker.states() == "posted failed posted"
    assert worker.metrics.counted("mail_letters_total", outcome="posted") == 2
    assert worker.metrics.counted("mail_letters_total", outcome="failed") == 1
    assert worker.metrics.counted("mail_posts_total", outcome="answered") == 1
    labels = {"vendor": VENDOR, "call": "recipients", "outcome": "answered", "status": 200}
    assert worker.metrics.observed("vendor_call_seconds", **labels) == [pytest.approx(0.3)]
    assert "Hauptstr" not in str(log_events)


# --- doubt ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (SILENCE, HeldReason.MAY_HAVE_ARRIVED),
        (VendorUnavailable(VENDOR, "exchange broken"), HeldReason.MAY_HAVE_ARRIVED),
        (VendorUnavailable(VENDOR, "502", status=502), HeldReason.MAY_HAVE_ARRIVED),
        (VendorUnavailable(VENDOR, "504", status=504), HeldReason.MAY_HAVE_ARRIVED),
        (VendorUnavailable(VENDOR, "524", status=524), HeldReason.MAY_HAVE_ARRIVED),
        (ReplyTooLong(VENDOR, "too long a reply"), HeldReason.AMBIGUOUS_REPLY),
        (b"", HeldReason.AMBIGUOUS_REPLY),
        (b"<html>", HeldReason.AMBIGUOUS_REPLY),
        (taken(2), HeldReason.AMBIGUOUS_REPLY),
        (VendorRefused(VENDOR, 404), HeldReason.AUTOMATION_UNKNOWN),
        (VendorRefused(VENDOR, 405), HeldReason.AUTOMATION_UNKNOWN),
        (VendorRefused(VENDOR, 302), HeldReason.REFUSED_AS_A_WHOLE),
        (VendorRefused(VENDOR, 409), HeldReason.REFUSED_AS_A_WHOLE),
        (VendorRefused(VENDOR, 423), HeldReason.REFUSED_AS_A_WHOLE),
    ],
)
def test_what_only_a_person_can_resolve_is_held_and_never_sent_again(
    worker: MailWorker, log_events: list[EventDict], answer: ClearanceError | bytes, reason: HeldReason
) -> None:
    take_letters(worker.ledger, *"abc")
    worker.vendor.answers = [answer]

    worker.run()
    worker.clock.advance(3600)
    worker.run()

    assert worker.posted() == [["a", "b", "c"]]
    assert (worker.batch().state, worker.batch().reason) == ("held", reason)
    assert worker.states() == "held held held"
    assert worker.metrics.counted("mail_held_total", reason=reason) == 1
    assert [each["log_level"] for each in log_events if each["event"] == "batch.held"] == ["error"]


def test_a_bug_in_the_request_is_doubt_too(worker: MailWorker) -> None:
    take_letters(worker.ledger, *"abc")

    def bug() -> None:
        raise AssertionError("a bug")

    worker.vendor.meanwhile = bug
    worker.run()

    assert (worker.batch().state, worker.batch().reason) == ("held", "MAY_HAVE_ARRIVED")
    assert worker.slots.held == 1


def test_a_request_that_was_cut_keeps_its_slot_until_the_lease_is_over(worker: MailWorker) -> None:
    """It may go on at the vendor: whoever took the slot would be the third."""
    take_letters(worker.ledger, *"abcdef")
    worker.vendor.answers = [SILENCE, SILENCE]

    assert worker.run() == "2 batches"
    assert worker.slots.held == 2

    take_letters(worker.ledger, *"xyz")
    assert worker.run() == "0 batches; no slot"
    worker.clock.advance(SLOT_LEASE_S)
    assert worker.run() == "1 batches"


def test_a_batch_whose_worker_died_while_posting_is_held_and_not_sent(worker: MailWorker) -> None:
    take_letters(worker.ledger, *"abc")
    begun(worker.ledger)
    worker.clock.advance(60)

    worker.run()

    assert worker.posted() == []
    assert (worker.batch().state, worker.batch().reason) == ("held", "WORKER_LOST")


def test_a_rehearsal_whose_worker_died_is_rehearsed_and_nobody_has_to_decide(worker: MailWorker) -> None:
    take_letters(worker.ledger, *"abc", is_dry_run=True)
    begun(worker.ledger)
    worker.clock.advance(60)

    worker.run()

    assert worker.batch().state == "rehearsed"
    assert worker.states() == "rehearsed rehearsed rehearsed"


# --- certain not to be posted ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "answer",
    [
        _NO_CONNECTION,
        VendorUnavailable(VENDOR, "no token", status=502, may_have_arrived=False),
        VendorUnavailable(VENDOR, "503", status=503),
        VendorUnavailable(VENDOR, "500", status=500),
        VendorThrottled(VENDOR),
        VendorRefused(VENDOR, 408),
    ],
)
def test_what_was_certainly_not_taken_is_posted_again_after_a_pause_of_the_fleet(
    worker: MailWorker, answer: ClearanceError
) -> None:
    take_letters(worker.ledger, *"abc")
    worker.vendor.answers = [answer]

    worker.run()
    assert (worker.batch().state, worker.batch().posts) == ("ready", 0)
    assert worker.slots.held == 0
    assert worker.cooldown.remaining_s() > 0
    assert worker.owed()[0].state == "open"
    assert len(worker.shown) == 1
    worker.clock.advance(2)
    worker.run()

    assert worker.posted() == [["a", "b", "c"]] * 2
    assert worker.states() == "posted posted posted"


def test_a_vendor_that_is_down_is_asked_less_and_less_often(worker: MailWorker) -> None:
    take_letters(worker.ledger, *"abcdef")
    worker.vendor.answers = [_NO_CONNECTION] * 99
    for _ in range(100):
        worker.run()
        worker.clock.advance(3)

    assert 5 < len(worker.posted()) < 25


def test_nobody_holds_a_slot_while_the_vendor_wants_quiet(worker: MailWorker) -> None:
    take_letters(worker.ledger, *"abcdef")
    worker.vendor.answers = [VendorThrottled(VENDOR, retry_after_s=40)]

    worker.run()
    worker.run()

    assert len(worker.posted()) == 1
    assert worker.slots.held == 0
    assert worker.cooldown.started == [40]
    assert min(worker.published_at()) >= START + timedelta(seconds=35)
    assert worker.metrics.counted("vendor_cooldowns_total", vendor=VENDOR) == 1


def test_refused_credentials_stop_the_lane_until_a_person_resumes_it(
    worker: MailWorker, log_events: list[EventDict]
) -> None:
    take_letters(worker.ledger, *"abcdef")
    worker.vendor.answers = [VendorCredentialsRefused(VENDOR, 401)]

    assert worker.run() == "1 batches; the lane is paused"
    worker.clock.advance(600)
    assert worker.run() == "0 batches; the lane is paused"

    assert len(worker.posted()) == 1
    assert {row.state for row in batches(worker.ledger)} == {"ready"}
    assert [each["log_level"] for each in log_events if each["event"] == "lane.paused"] == ["error"]
    assert worker.metrics.counted("lane_pauses_total", lane="mail") == 1
    with worker.ledger.write() as connection:
        assert lane_pauses.resume(connection, Lane.MAIL) is not None
    worker.clock.advance(1)
    assert worker.run() == "2 batches"


def test_one_bad_recipient_does_not_hold_the_others(worker: MailWorker) -> None:
    names = [f"n{number:03}" for number in range(100)]
    take_letters(worker.ledger, *names, plan=plan(100))

    def refuses_n042(letters: int) -> ClearanceError | bytes:
        return VendorRefused(VENDOR, 400) if "n042" in worker.posted()[-1] else taken(letters)

    worker.vendor.answers = [refuses_n042] * 99
    worker.run()

    found = states(worker.ledger)
    assert found.pop("n042") == "failed"
    assert set(found.values()) == {"posted"}
    assert len(worker.posted()) == 15  # 100 halved seven times, and the other halves
