"""`clearance why CUSTOMER`: what was asked about a customer, what was decided and sent, and why.

Exit codes: 0 also when nothing is known about him, 1 the ledger is away, 2 the settings or the arguments are wrong.
"""

import json
from collections.abc import Iterator
from datetime import datetime

import click

from clearance.clock import utc_now
from clearance.ledger import why as ledger_why
from clearance.ledger.decisions import Answer
from clearance.ledger.why import Decided, Owed, Sent, Story
from clearance.obligations import State
from config import settings
from workers import wiring
from workers.commands.customer_id import CustomerId
from workers.commands.listing import printable

Facts = dict[str, object]


@click.command()
@click.argument("customer", type=CustomerId())
@click.option("--campaign", metavar="ID", help="Only this series or occurrence.")
@click.option(
    "--last", default=20, show_default=True, type=click.IntRange(1, 10_000), help="How many, the newest."
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON, for scripts.")
def why(customer: str, campaign: str | None, last: int, as_json: bool) -> None:
    """Tell what was decided about CUSTOMER, why, and what became of it; the newest first."""
    ledger = wiring.ledger(settings.load())
    with ledger.read() as connection:
        stories = ledger_why.stories(connection, customer, campaign_id=campaign, last=last)
    now = utc_now()
    if as_json:
        click.echo(json.dumps([facts_of(story, now) for story in stories]))
        return
    if not stories:
        click.echo(
            "nothing is known about this customer" + (" and this campaign" if campaign else ""), err=True
        )
    for story in stories:
        click.echo("\n".join(map(printable, lines_of(story, now))) + "\n")


def facts_of(story: Story, now: datetime) -> Facts:
    """Everything that is known, for scripts. Times are ISO 8601 in UTC; what is not known is null."""
    asked = story.asked
    return {
        "subject": story.subject,
        "kind": asked.kind if asked else None,
        "vendor_id": asked.vendor_id if asked else None,
        "series_id": asked.series_id if asked else None,
        "occurrence_id": asked.occurrence_id if asked else None,
        "received_at": _iso(asked.received_at) if asked else None,
        "deadline_at": _iso(asked.deadline_at) if asked else None,
        "decision": _decision_facts(story.decided) if story.decided else None,
        "submissions": [_call_facts(call) for call in story.sent],
        "obligations": [_owed_facts(owed, now) for owed in story.owed],
    }


def lines_of(story: Story, now: datetime) -> Iterator[str]:
    """The story for a person: what was asked, decided and sent, and how it ended."""
    yield _opening(story)
    if story.decided:
        yield from _decision_lines(story)
    else:
        yield "  nothing was decided"
    for call in story.sent:
        yield "  " + _call_line(story, call)
    for owed in story.owed:
        yield "  " + _owed_line(owed, now)


def _opening(story: Story) -> str:
    asked = story.asked
    if asked is None:
        assert story.decided is not None  # noqa: S101 - a story is told because of a question or of a decision
        return f"{_shown(story.decided.decided_at)}  {story.subject}"
    campaign = [f"series {asked.series_id}"] if asked.series_id else []
    campaign += [f"occurrence {asked.occurrence_id}"] if asked.occurrence_id else []
    named = ", ".join([asked.kind, *campaign])
    return f"{_shown(asked.received_at)}  {named}  ({story.subject}, {asked.vendor_id})"


def _decision_lines(story: Story) -> Iterator[str]:
    decided = story.decided
    assert decided is not None  # noqa: S101 - the caller has looked
    decision = decided.decision
    reasons = ", ".join(decision.reasons)
    answer = "approved" if decision.approved else "not approved"
    yield f"  {answer}{': ' if reasons else ''}{reasons}"
    after = f", {_after(story.asked.received_at, decided.decided_at)}" if story.asked else ""
    policy = f"policy {decision.policy}" if decision.policy else "no policy applied"
    yield f"  decided {_shown(decided.decided_at)}{after}: {policy}, rules {decision.rules_version}"


def _call_line(story: Story, call: Sent) -> str:
    left = f", {_left((story.asked.deadline_at - call.sent_at).total_seconds())}" if story.asked else ""
    line = f"sent {_shown(call.sent_at)} in attempt {call.attempt}{left}: "
    status = "" if call.status is None else f" ({call.status})"
    after = f", {_after(call.sent_at, call.answered_at)}" if call.answered_at else ""
    meaning = {
        Answer.TAKEN: "acknowledged",
        Answer.REFUSED: "not taken",
        Answer.UNKNOWN: "no answer came back, it may have arrived",
    }[call.answer]
    return line + meaning + status + after + (f": {call.error}" if call.error else "")


def _owed_line(owed: Owed, now: datetime) -> str:
    margin = _left(owed.margin_s(now))
    reason = f": {owed.reason}" if owed.reason else ""
    failed = f"; the last attempt failed: {owed.last_error}" if owed.last_error else ""
    attempts = f"{owed.attempts} attempt{'' if owed.attempts == 1 else 's'}"
    match owed.state:
        case State.OPEN | State.RUNNING:
            ended = f"not answered yet, {margin}"
        case State.DONE:
            ended, failed = f"done, {margin}", ""
        case _:
            ended = f"{owed.state}{reason}, {margin}"
    return f"{ended}, after {attempts}{failed}"


def _decision_facts(decided: Decided) -> Facts:
    decision = decided.decision
    return {
        "approved": decision.approved,
        "reasons": list(decision.reasons),
        "policy": decision.policy or None,
        "rules_version": decision.rules_version,
        "inputs_digest": decided.inputs_digest,
        "decided_at": _iso(decided.decided_at),
    }


def _call_facts(call: Sent) -> Facts:
    return {
        "attempt": call.attempt,
        "sent_at": _iso(call.sent_at),
        "answered_at": _iso(call.answered_at),
        "status": call.status,
        "outcome": call.answer.value,
        "error": call.error,
    }


def _owed_facts(owed: Owed, now: datetime) -> Facts:
    return {
        "obligation_id": owed.obligation_id,
        "lane": owed.lane,
        "state": owed.state.value,
        "reason": owed.reason,
        "margin_s": round(owed.margin_s(now), 3),
        "attempts": owed.attempts,
        "run_at": _iso(owed.run_at),
        "deadline_at": _iso(owed.deadline_at),
        "finished_at": _iso(owed.finished_at),
        "last_error": owed.last_error,
    }


def _iso(at: datetime | None) -> str | None:
    return at.isoformat(timespec="milliseconds") if at else None


def _shown(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M:%S}.{at.microsecond // 1000:03} UTC"


def _after(began: datetime, ended: datetime) -> str:
    return f"after {(ended - began).total_seconds():.3f} s"


def _left(margin_s: float) -> str:
    if margin_s >= 0:
        return f"{margin_s:.3f} s before the deadline"
    return f"{-margin_s:.3f} s after the deadline"
