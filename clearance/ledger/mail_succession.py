"""How the end of one batch and the beginning of the next are one transaction: between two requests there is one commit.

Whoever posts with a slot writes what became of a batch and marks the next as being posted. Apart, each would cost a
commit of a few milliseconds, and a slot is idle for as long.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection

from clearance.ledger.mail_ends import BatchEnd, settle_many
from clearance.ledger.mail_posting import BatchToPost, BeginRequest, begin_many


@dataclass(frozen=True, slots=True, kw_only=True)
class Succession:
    """A batch that has ended, and the one that is to be posted next with the same slot."""

    ended: BatchEnd
    following: BeginRequest


@dataclass(frozen=True, slots=True, kw_only=True)
class Succeeded:
    """Whether the end counts (see `settle_many`), and the batch that was begun (see `begin_many`)."""

    is_ours: bool
    following: BatchToPost | None


def succeed_many(connection: Connection, items: Sequence[Succession]) -> list[Succeeded]:
    """Settle all that have ended, then begin all that follow: whoever waits for a batch has settled its own."""
    are_ours = settle_many(connection, [item.ended for item in items])
    batches = begin_many(connection, [item.following for item in items])
    return [
        Succeeded(is_ours=is_ours, following=batch) for is_ours, batch in zip(are_ours, batches, strict=True)
    ]
