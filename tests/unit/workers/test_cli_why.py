"""`clearance why CUSTOMER`, as an operator runs it: the story of each question, for people and for scripts."""

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from clearance.decisions.decision import Decision
from clearance.ledger import triggered
from clearance.ledger.decisions import Answer, NewApproval, NewDecision, stand_many
from clearance.ledger.due import take_overdue
from clearance.ledger.engine import Ledger
from clearance.ledger.obligations import Finish
from clearance.obligations import Done, Missed, MissedReason, Outcome, Parked
from tests.fakes.clock import START
from tests.fakes.ledgers import new_ledger
from tests.fakes.owed import accept, claimed, notification
from workers.cli import main
from workers.commands import why as command

REFUSED = Decision(
    approved=False, reasons=("SELF_EXCLUDED", "MISSING:country"), rules_version="v" * 64, policy="bonus"
)
APPROVED = Decision(approved=True, reasons=(), rules_version="v2", policy="")


@pytest.fixture(autouse=True)
def ledger(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Ledger]:
    made = new_ledger(tmp_path)
    monkeypatch.setenv("CLEARANCE_LEDGER_URL", f"sqlite:///{tmp_path / 'ledger.db'}")
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setattr(command, "utc_now", lambda: START + timedelta(seconds=4))
    yield made
    made.close()


def asked(ledger: Ledger, name: str = "a", **told: Any) -> None:
    made = replace(notification(name), series_id="111", occurrence_id="222")
    accept(ledger, replace(made, **told))


def ended(
    ledger: Ledger,
    outcome: Outcome,
    *,
    decision: Decision | None = REFUSED,
    answer: Answer | None = Answer.TAKEN,
) -> None:
    """Decided after 10 ms, sent after 20, answered after 70: the only attempt about `a`."""
    held = claimed(ledger, "a")
    ms = timedelta(milliseconds=1)
    is_answered = answer is not Answer.UNKNOWN
    decided = None
    if decision:
        decided = NewDecision(
            subject="n-a", customer_id="C1", decision=decision, inputs_digest="d1", decided_at=START + 10 * ms
        )
    call = answer and NewApproval(
        approval_id="p1",
        subject="n-a",
        attempt=1,
        customers=1,
        sent_at=START + 20 * ms,
        answered_at=START + 70 * ms if is_answered else None,
        status=202 if is_answered else None,
        answer=answer,
        error=None if is_answered else "optimove: no answer",
    )
    finish = Finish(claimed=held, outcome=outcome, now=START + 80 * ms)
    with ledger.write() as connection:
        triggered.finish_many(
            connection,
            [triggered.Answered(finish=finish, decision=decided, approvals=(call,) if call else ())],
        )


def run(*arguments: str) -> Result:
    result = CliRunner().invoke(main, ["why", *arguments])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


def told(*arguments: str) -> list[str]:
    result = run(*arguments)
    assert result.exit_code == 0, result.output
    return result.stdout.splitlines()


def test_a_refusal_is_told_from_the_question_to_the_vendors_answer(ledger: Ledger) -> None:
    asked(ledger)
    ended(ledger, Done())

    assert told("C1") == [
        "2026-03-02 09:00:00.000 UTC  triggered, series 111, occurrence 222  (n-a, v-a)",
        "  not approved: SELF_EXCLUDED, MISSING:country",
        f"  decided 2026-03-02 09:00:00.010 UTC, after 0.010 s: policy bonus, rules {'v' * 64}",
        "  sent 2026-03-02 09:00:00.020 UTC in attempt 1, 4.980 s before the deadline:"
        " acknowledged (202), after 0.050 s",
        "  done, 4.920 s before the deadline, after 1 attempt",
        "",
    ]


def test_an_approval_that_no_policy_was_needed_for_says_so(ledger: Ledger) -> None:
    asked(ledger, series_id=None, occurrence_id=None)
    ended(ledger, Done(), decision=APPROVED)

    first, *lines = told("C1")

    assert first == "2026-03-02 09:00:00.000 UTC  triggered  (n-a, v-a)"
    assert lines[0] == "  approved"
    assert lines[1].endswith(": no policy applied, rules v2")


def test_a_call_that_nobody_answered_may_have_arrived(ledger: Ledger) -> None:
    asked(ledger)
    ended(ledger, Missed(reason=MissedReason.SENT_UNCONFIRMED, margin_s=-1), answer=Answer.UNKNOWN)

    *_, call, owed, _ = told("C1")

    assert call.endswith("no answer came back, it may have arrived: optimove: no answer")
    assert owed == "  missed: SENT_UNCONFIRMED, 4.920 s before the deadline, after 1 attempt"


def test_a_miss_before_any_decision_says_why_and_by_how_much(ledger: Ledger) -> None:
    asked(ledger)
    with ledger.write() as connection:
        take_overdue(connection, START + timedelta(seconds=6.5), 10)

    assert told("C1")[1:] == [
        "  nothing was decided",
        "  missed: NOT_STARTED_IN_TIME, 1.500 s after the deadline, after 0 attempts",
        "",
    ]


def test_what_is_parked_says_what_a_person_must_know(ledger: Ledger) -> None:
    asked(ledger)
    ended(
        ledger,
        Parked(reason="VendorCredentialsRefused", error="optimove: 401 credentials refused"),
        answer=None,
    )

    assert told("C1")[-2] == (
        "  parked: VendorCredentialsRefused, 4.920 s before the deadline, after 1 attempt;"
        " the last attempt failed: optimove: 401 credentials refused"
    )


def test_what_is_not_answered_yet_says_how_much_time_is_left(ledger: Ledger) -> None:
    asked(ledger)

    assert told("C1")[1:3] == [
        "  nothing was decided",
        "  not answered yet, 1.000 s before the deadline, after 0 attempts",
    ]


def test_json_is_complete(ledger: Ledger) -> None:
    asked(ledger)
    ended(ledger, Done())

    (story,) = json.loads(run("C1", "--json").stdout)

    assert story == {
        "subject": "n-a",
        "kind": "triggered",
        "vendor_id": "v-a",
        "series_id": "111",
        "occurrence_id": "222",
        "received_at": "2026-03-02T09:00:00.000+00:00",
        "deadline_at": "2026-03-02T09:00:05.000+00:00",
        "group": None,
        "decision": {
            "approved": False,
            "reasons": ["SELF_EXCLUDED", "MISSING:country"],
            "policy": "bonus",
            "rules_version": "v" * 64,
            "inputs_digest": "d1",
            "decided_at": "2026-03-02T09:00:00.010+00:00",
        },
        "submissions": [
            {
                "attempt": 1,
                "sent_at": "2026-03-02T09:00:00.020+00:00",
                "answered_at": "2026-03-02T09:00:00.070+00:00",
                "status": 202,
                "outcome": "taken",
                "error": None,
                "is_certain": True,
            }
        ],
        "obligations": [
            {
                "obligation_id": "a",
                "lane": "triggered",
                "state": "done",
                "reason": None,
                "margin_s": 4.92,
                "attempts": 1,
                "run_at": "2026-03-02T09:00:00.000+00:00",
                "deadline_at": "2026-03-02T09:00:05.000+00:00",
                "finished_at": "2026-03-02T09:00:00.080+00:00",
                "last_error": None,
            }
        ],
    }


def test_a_decision_without_a_question_about_him_alone_is_told_too(ledger: Ledger) -> None:
    decision = NewDecision(
        subject="group-7", customer_id="C1", decision=REFUSED, inputs_digest="d", decided_at=START
    )
    with ledger.write() as connection:
        stand_many(connection, [decision])

    assert told("C1")[:2] == [
        "2026-03-02 09:00:00.000 UTC  group-7",
        "  not approved: SELF_EXCLUDED, MISSING:country",
    ]
    (story,) = json.loads(run("C1", "--json").stdout)
    assert (story["kind"], story["deadline_at"], story["decision"]["approved"]) == (None, None, False)


def test_only_the_newest_and_only_those_of_a_campaign_are_told_when_that_is_asked(ledger: Ledger) -> None:
    for number in range(3):
        asked(ledger, f"{number}", occurrence_id=f"o{number}")

    def subjects(*arguments: str) -> list[str]:
        return [story["subject"] for story in json.loads(run("C1", "--json", *arguments).stdout)]

    assert subjects() == ["n-2", "n-1", "n-0"]
    assert subjects("--last", "1") == ["n-2"]
    assert subjects("--campaign", "o1") == ["n-1"]
    assert len(subjects("--campaign", "111")) == 3


def test_a_customer_of_whom_nothing_is_known_is_no_error(ledger: Ledger) -> None:
    asked(ledger)

    result = run("c1")
    assert (result.exit_code, result.stdout) == (0, "")
    assert result.stderr == "nothing is known about this customer\n"
    assert run("C1", "--campaign", "x").stderr == "nothing is known about this customer and this campaign\n"
    assert json.loads(run("c1", "--json").stdout) == []


def test_what_the_vendor_sent_gives_the_terminal_no_orders(ledger: Ledger) -> None:
    asked(ledger, occurrence_id="2\x1b[2J")

    assert "\x1b" not in run("C1").stdout
    assert json.loads(run("C1", "--json").stdout)[0]["occurrence_id"] == "2\x1b[2J"
