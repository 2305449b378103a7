"""How the story of one letter is told: received, batched, posted, answered, and what Bloomreach was told of it."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import orjson
from sqlalchemy import Connection

from clearance.ledger import mail_reads, track_reads
from clearance.ledger.mail_reads import ShownBatch, ShownRecipient
from clearance.ledger.track_reads import ShownCommand
from clearance.mail_states import BatchState, RecipientState
from workers.commands.countdown import countdown, exact
from workers.commands.mail_facts import Facts, batch_facts, held_meaning, recipient_facts, said
from workers.commands.mail_feedback import command_facts

# A batch is halved until a letter stands alone: of 1,000, ten times.
_MOST_BATCHES = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class Story:
    """What is known of a letter. `batches`: where it is, then those that this one was split from."""

    letter: ShownRecipient
    batches: Sequence[ShownBatch]
    commands: Sequence[ShownCommand]


def story_of(connection: Connection, recipient_id: str) -> Story | None:
    """The story; None for a letter that is not known."""
    letter = mail_reads.recipient(connection, recipient_id)
    if letter is None:
        return None
    return Story(
        letter=letter,
        batches=_batches(connection, letter.batch_id),
        commands=track_reads.about(connection, recipient_id),
    )


def facts_of(story: Story, *, with_address: bool) -> Facts:
    """For scripts."""
    facts = (
        recipient_facts(story.letter)
        | said(story.letter)
        | {
            "batches": [batch_facts(each) for each in story.batches],
            "feedback": [command_facts(each) for each in story.commands],
        }
    )
    return facts | ({"address": _address(story.letter)} if with_address else {})


def lines_of(story: Story, now: datetime, *, with_address: bool) -> Iterator[str]:
    """For a person."""
    letter = story.letter
    yield f"letter {letter.recipient_id} of automation {letter.automation_id}: {letter.state}"
    if letter.is_dry_run:
        yield "  DRY RUN: nothing of it is posted"
    ids = ", ".join(f"{kind} {each}" for kind, each in letter.customer_ids.items())
    yield f"  customer: {ids or 'no ids came with it'}"
    if letter.campaign:
        yield f"  campaign: {letter.campaign}"
    if with_address:
        yield from _address_lines(letter)
    yield f"  received {_at(letter.received_at, now)}, trace {letter.trace_id}"
    for number, batch in enumerate(story.batches):
        yield "  " + _batch_line(letter, batch, is_own=number == 0, now=now)
    yield "  " + _end_line(story, now)
    for command in story.commands:
        yield "  " + _command_line(command, now)


def _batches(connection: Connection, batch_id: str | None) -> list[ShownBatch]:
    found: list[ShownBatch] = []
    while batch_id is not None and len(found) < _MOST_BATCHES:
        batch = mail_reads.batch(connection, batch_id)
        if batch is None:
            break
        found.append(batch)
        batch_id = batch.parent_id
    return found


def _address(letter: ShownRecipient) -> dict[str, Any] | None:
    return orjson.loads(letter.payload)["address"] if letter.payload else None


def _address_lines(letter: ShownRecipient) -> Iterator[str]:
    address = _address(letter)
    if address is None:
        yield "  address: not kept: refused at the door, or past its retention"
        return
    for name, value in address.items():
        yield f"  {name}: {value}"


def _batch_line(letter: ShownRecipient, batch: ShownBatch, *, is_own: bool, now: datetime) -> str:
    line = (
        _batch_named(letter, batch) if is_own else f"split from batch {batch.batch_id}, of {batch.recipients}"
    )
    if batch.state in (BatchState.GATHERING, BatchState.READY):
        again = f"posted in vain {_times(batch.posts)}, " if batch.posts else ""
        leaves = countdown(batch.due_at, now) if batch.due_at > now else "when a slot is free"
        return f"{line}: {again}{batch.state}, leaves {leaves}"
    if batch.sent_at is None:
        return f"{line}: {batch.state}"
    sent = f"sent {_at(batch.sent_at, now)}"
    if batch.answered_at is None:
        return f"{line}: {sent}, {batch.state}"
    after = f"after {(batch.answered_at - batch.sent_at).total_seconds():.3f} s"
    if batch.status is None:
        return f"{line}: {sent}, ended without an answer {after}"
    request = f", request {batch.vendor_request_id}" if batch.vendor_request_id else ""
    return f"{line}: {sent}, answered {after} with {batch.status}{request}"


def _batch_named(letter: ShownRecipient, batch: ShownBatch) -> str:
    place = "" if letter.position is None else f", letter {letter.position + 1} of {batch.recipients}"
    return f"batch {batch.batch_id}{place}"


def _times(count: int) -> str:
    return "once" if count == 1 else f"{count} times"


def _end_line(story: Story, now: datetime) -> str:
    letter = story.letter
    at = f" {_at(letter.finished_at, now)}" if letter.finished_at else ""
    why = ": ".join(each for each in (letter.reason, letter.error) if each)
    match letter.state:
        case RecipientState.QUEUED:
            told = "not posted yet"
        case RecipientState.POSTED:
            known = f"Optilyz' id is {letter.vendor_id}" if letter.vendor_id else _resolved(story)
            told = f"posted{at}: {known}"
        case RecipientState.HELD:
            meaning = held_meaning(story.batches[0]) if story.batches else why
            told = f"held: {meaning}; decide: clearance mail held resolve {letter.batch_id}"
        case RecipientState.DROPPED:
            told = f"dropped{at}: {_resolved(story)}"
        case RecipientState.REFUSED:
            told = f"refused at the door: {why}"
        case RecipientState.SUPPRESSED:
            told = f"not posted: its address is suppressed for this customer: {why}"
        case RecipientState.REHEARSED:
            told = f"rehearsed{at}: nothing was posted"
        case RecipientState.FAILED:
            told = f"failed{at}: {why}"
    return told


def _resolved(story: Story) -> str:
    batch = story.batches[0] if story.batches else None
    by = batch.resolved_by if batch else None
    return f"{by} said so (clearance audit --subject {story.letter.batch_id})" if by else "Optilyz gave no id"


def _command_line(command: ShownCommand, now: datetime) -> str:
    what = f"Bloomreach, {command.name}"
    why = ": ".join(each for each in (command.reason, command.error) if each)
    if command.finished_at is None:
        return f"{what}: {command.state} since {_at(command.created_at, now)}"
    return f"{what}: {command.state} {_at(command.finished_at, now)}" + (f", {why}" if why else "")


def _at(at: datetime, now: datetime) -> str:
    return f"{exact(at)} UTC ({countdown(at, now)})"
