"""Where a recipient and a batch of letters stand, and why a batch waits for a person.

recipient   queued ──▶ posted, failed, held, rehearsed (a dry run)
            queued ──▶ suppressed, when its address was suppressed before it was posted: it leaves its batch
            held ──▶ posted, queued, dropped, as a person says
            refused, suppressed: in no batch

batch       gathering ──▶ ready ──▶ posting ──▶ posted, failed, held, split, rehearsed
            posting ──▶ ready, when it is certain that nothing was posted
            held ──▶ posted, ready, dropped, as a person says
"""

from enum import StrEnum


class RecipientState(StrEnum):
    """What became of one recipient."""

    QUEUED = "queued"
    POSTED = "posted"
    FAILED = "failed"
    HELD = "held"
    DROPPED = "dropped"
    REFUSED = "refused"  # by our validation
    SUPPRESSED = "suppressed"  # the address is not posted to for this customer
    REHEARSED = "rehearsed"  # a dry run has got through


class BatchState(StrEnum):
    """Where a batch stands; `GATHERING`, `READY` and `POSTING` are unfinished."""

    GATHERING = "gathering"
    READY = "ready"
    POSTING = "posting"
    POSTED = "posted"  # answered, letter by letter
    FAILED = "failed"  # its only letter was refused, or none is left that may be posted
    HELD = "held"
    SPLIT = "split"
    DROPPED = "dropped"
    REHEARSED = "rehearsed"


class HeldReason(StrEnum):
    """Why only a person can say what is to become of a batch."""

    MAY_HAVE_ARRIVED = "MAY_HAVE_ARRIVED"  # timed out, or cut, after it was sent
    AMBIGUOUS_REPLY = "AMBIGUOUS_REPLY"  # answered, but not letter by letter
    WORKER_LOST = "WORKER_LOST"  # the worker that posted it disappeared
    REFUSED_AS_A_WHOLE = "REFUSED_AS_A_WHOLE"  # not posted, and would not be if it was sent again
    AUTOMATION_UNKNOWN = "AUTOMATION_UNKNOWN"  # not posted: Optilyz knows no such automation


class LetterReason(StrEnum):
    """Why one recipient got no letter, where the reason is not its batch's."""

    ADDRESS_REFUSED = "ADDRESS_REFUSED"  # Optilyz took the batch, but not this one
    LETTER_REFUSED = "LETTER_REFUSED"  # Optilyz refused the request, and this was the only letter in it
    ADDRESS_SUPPRESSED = "ADDRESS_SUPPRESSED"
    DROPPED = "DROPPED"  # held, and a person gave it up


class Resolution(StrEnum):
    """What a person says about a held batch."""

    POSTED = "posted"  # its letters were posted
    REPOST = "repost"  # they were not: post them
    DROP = "drop"  # they were not, and shall not be
