"""What is known of a letter and of a batch: plain JSON for scripts, and a row for people.

Never an address; nor what Optilyz said of one, which may quote it (`said`): who shows that says so.
"""

from datetime import datetime

from clearance.ledger.mail_reads import ShownBatch, ShownRecipient
from clearance.mail_states import BatchState, HeldReason
from workers.commands.countdown import countdown, iso, moment

Facts = dict[str, object]

RECIPIENT_COLUMNS = ("letter", "automation", "state", "received", "age", "batch", "reason")
BATCH_COLUMNS = (
    "batch",
    "automation",
    "state",
    "letters",
    "posted",
    "failed",
    "opened",
    "age",
    "posts",
    "status",
    "reason",
)
MEANING_BY_REASON = {
    HeldReason.MAY_HAVE_ARRIVED: "the request was sent, and no answer came: Optilyz may have the letters",
    HeldReason.AMBIGUOUS_REPLY: "the answer does not say which letters were taken: Optilyz may have them",
    HeldReason.WORKER_LOST: "the worker disappeared while it posted: Optilyz may have the letters",
    HeldReason.REFUSED_AS_A_WHOLE: "Optilyz refused the request, not its letters: it has none of them",
    HeldReason.AUTOMATION_UNKNOWN: "Optilyz knows no such automation: it has none of the letters",
}


def recipient_facts(letter: ShownRecipient) -> Facts:
    """A letter. Times are ISO 8601 in UTC; what is not known is null."""
    return {
        "recipient_id": letter.recipient_id,
        "automation_id": letter.automation_id,
        "state": letter.state.value,
        "is_dry_run": letter.is_dry_run,
        "batch_id": letter.batch_id,
        "position": letter.position,
        "received_at": iso(letter.received_at),
        "finished_at": iso(letter.finished_at),
        "customer_ids": dict(letter.customer_ids),
        "campaign": letter.campaign,
        "vendor_id": letter.vendor_id,
        "reason": letter.reason,
        "trace_id": letter.trace_id,
    }


def recipient_row(letter: ShownRecipient, now: datetime) -> Facts:
    """A letter in a table."""
    return {
        "letter": letter.recipient_id,
        "automation": letter.automation_id,
        "state": letter.state.value + (" (dry run)" if letter.is_dry_run else ""),
        "received": moment(letter.received_at, now),
        "age": countdown(letter.received_at, now),
        "batch": letter.batch_id,
        "reason": letter.reason,
    }


def said(letter: ShownRecipient) -> Facts:
    """Why it got no letter, in words: ours, or Optilyz'."""
    return {"error": letter.error}


def batch_facts(batch: ShownBatch) -> Facts:
    """A batch. Times are ISO 8601 in UTC; what is not known is null."""
    return {
        "batch_id": batch.batch_id,
        "automation_id": batch.automation_id,
        "state": batch.state.value,
        "is_dry_run": batch.is_dry_run,
        "letters": batch.recipients,
        "posted": batch.posted,
        "failed": batch.failed,
        "created_at": iso(batch.created_at),
        "due_at": iso(batch.due_at),
        "posts": batch.posts,
        "sent_at": iso(batch.sent_at),
        "answered_at": iso(batch.answered_at),
        "finished_at": iso(batch.finished_at),
        "status": batch.status,
        "reason": batch.reason,
        "error": batch.error,
        "vendor_request_id": batch.vendor_request_id,
        "parent_id": batch.parent_id,
        "resolved_as": batch.resolved_as,
        "resolved_by": batch.resolved_by,
        "resolved_at": iso(batch.resolved_at),
        "trace_id": batch.trace_id,
    }


def batch_row(batch: ShownBatch, now: datetime) -> Facts:
    """A batch in a table."""
    is_counted = batch.state in (BatchState.POSTED, BatchState.FAILED)
    return {
        "batch": batch.batch_id,
        "automation": batch.automation_id,
        "state": batch.state.value + (" (dry run)" if batch.is_dry_run else ""),
        "letters": batch.recipients,
        "posted": batch.posted if is_counted else None,
        "failed": batch.failed if is_counted else None,
        "opened": moment(batch.created_at, now),
        "age": countdown(batch.created_at, now),
        "posts": batch.posts,
        "status": batch.status,
        "reason": batch.reason,
    }


def held_since(batch: ShownBatch) -> datetime:
    """Since when it waits for a person."""
    return batch.answered_at or batch.sent_at or batch.created_at


def held_meaning(batch: ShownBatch) -> str:
    """Its reason in words."""
    known = set(HeldReason)
    return MEANING_BY_REASON[HeldReason(batch.reason)] if batch.reason in known else batch.reason or ""
