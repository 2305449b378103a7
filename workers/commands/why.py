"""`clearance why CUSTOMER`: what was asked about a customer, what was decided and sent, and why.

Exit codes: 0 also when nothing is known about him, 1 the ledger is away, 2 the settings or the arguments are wrong.
"""

import json
from collections.abc import Iterator
from datetime import datetime

import click

from clearance.clock import utc_now
from clearance.ledger import why as ledger_why
from clearance.ledger.why_facts import Decided, Owed, Sent, Story
from clearance.obligations import State
from config import settings
from workers.commands import ledger_here
from workers.commands.answers import MEANING_BY_ANSWER
from workers.commands.countdown import exact, iso
from workers.commands.customer_id import CustomerId
from workers.commands.listing import printable
from workers.commands.why_groups import chunk_line, group_facts, place_of, step_of

Facts = dict[str, object]


@click.command()
@click.argument("customer", type=CustomerId())
@click.option("--campaign", metavar="ID", help="Only this series, occurrence or send group.")
@click.option(
    "--last", default=20, show_default=True, type=click.IntRange(1, 10_000), help="How many, the newest."
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON, for scripts.")
def why(customer: str, campaign: str | None, last: int, as_json: bool) -> None:
    """Tell what was decided about CUSTOMER, why, and what became of it; the newest first."""
    ledger = ledger_here.ledger(settings.load())
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
    asked = story.question
    return {
        "subject": story.subject,
        "kind": asked.kind if asked else None,
        "vendor_id": asked.vendor_id if asked else None,
        "series_id": asked.series_id if asked else None,
        "occurrence_id": asked.occurrence_id if asked else None,
        "received_at": iso(asked.received_at) if asked else None,
        "deadline_at": iso(asked.deadline_at) if asked else None,
        "group": group_facts(story.group) if story.group else None,
        "decision": _decision_facts(story.decided) if story.decided else None,
        "submissions": [_call_facts(call) for call in story.sent],
        "obligations": [_owed_facts(owed, now) for owed in story.owed],
    }


def lines_of(story: Story, now: datetime) -> Iterator[str]:
    """The story for a person: what was asked, decided and sent, and how it ended."""
    yield _opening(story)
    if story.decided:
        yield from _decision_lines(story, story.decided)
    else:
        yield "  nothing was decided"
    for call in story.sent:
        yield "  " + _call_line(story, call)
    if story.group:
        yield "  " + chunk_line(story.group)
    for owed in story.owed:
        yield "  " + (f"{step_of(owed)}: " if story.group else "") + _owed_line(owed, now)


def _opening(story: Story) -> str:
    asked = story.question
    if asked is None:
        assert story.decided is not None  # noqa: S101 - a story is told because of a question or of a decision
        return f"{_shown(story.decided.decided_at)}  {story.subject}"
    campaign = [f"series {asked.series_id}"] if asked.series_id else []
    campaign += [f"occurrence {asked.occurrence_id}"] if asked.occurrence_id else []
    named = ", ".join([asked.kind, *campaign])
    chunk = f", {place_of(story.group)}" if story.group else ""
    return f"{_shown(asked.received_at)}  {named}  ({story.subject}, {asked.vendor_id}{chunk})"


def _decision_lines(story: Story, decided: Decided) -> Iterator[str]:
    decision, asked = decided.decision, story.question
    reasons = ", ".join(decision.reasons)
    answer = "approved" if decision.approved else "not approved"
    yield f"  {answer}{': ' if reasons else ''}{reasons}"
    if not decision.rules_version:  # given up when its deadline was over: nothing was asked of the rules
        yield f"  no rules decided: given up {_shown(decided.decided_at)}"
        return
    after = f", {_after(asked.received_at, decided.decided_at)}" if asked else ""
    policy = f"policy {decision.policy}" if decision.policy else "no policy applied"
    yield f"  decided {_shown(decided.decided_at)}{after}: {policy}, rules {decision.rules_version}"


def _call_line(story: Story, call: Sent) -> str:
    asked = story.question
    left = f", {_left((asked.deadline_at - call.sent_at).total_seconds())}" if asked else ""
    maybe = "" if call.is_certain else "perhaps "
    line = f"{maybe}sent {_shown(call.sent_at)} in attempt {call.attempt}{left}: "
    status = "" if call.status is None else f" ({call.status})"
    after = f", {_after(call.sent_at, call.answered_at)}" if call.answered_at else ""
    return line + MEANING_BY_ANSWER[call.answer] + status + after + (f": {call.error}" if call.error else "")


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
        "decided_at": iso(decided.decided_at),
    }


def _call_facts(call: Sent) -> Facts:
    return {
        "attempt": call.attempt,
        "sent_at": iso(call.sent_at),
        "answered_at": iso(call.answered_at),
        "status": call.status,
        "outcome": call.answer.value,
        "error": call.error,
        "is_certain": call.is_certain,
    }


def _owed_facts(owed: Owed, now: datetime) -> Facts:
    return {
        "obligation_id": owed.obligation_id,
        "lane": owed.lane,
        "state": owed.state.value,
        "reason": owed.reason,
        "margin_s": round(owed.margin_s(now), 3),
        "attempts": owed.attempts,
        "run_at": iso(owed.run_at),
        "deadline_at": iso(owed.deadline_at),
        "finished_at": iso(owed.finished_at),
        "last_error": owed.last_error,
    }


def _shown(at: datetime) -> str:
    return f"{exact(at)} UTC"


def _after(began: datetime, ended: datetime) -> str:
    return f"after {(ended - began).total_seconds():.3f} s"


def _left(margin_s: float) -> str:
    if margin_s >= 0:
        return f"{margin_s:.3f} s before the deadline"
    return f"{-margin_s:.3f} s after the deadline"
