"""What is owed by a time: the one idea that every lane is built on.

An obligation is created in the same transaction as what it is owed for, and ends as done, missed, parked or cancelled.
In between it is open (waiting to be published or claimed) or running (held by one worker under a lease). `publish_at`
is the moment at which the guardian next puts it on the broker if nothing else has happened: it is never empty while an
obligation is unfinished, which is why none can be forgotten.

    open ──claim──▶ running ──done──▶ done            open, running ──deadline──▶ missed
      ▲                │ ├──missed──▶ missed          open ──cancel──▶ cancelled
      └────retry───────┘ ├──parked──▶ parked
                         └──lease ran out──▶ claimed again by another worker
"""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import NewType

ObligationId = NewType("ObligationId", str)


class Lane(StrEnum):
    """A kind of work with its own queue and workers, so that one cannot starve another."""

    TRIGGERED = "triggered"
    REVIEW = "review"
    SUBMIT = "submit"
    MAIL = "mail"
    TRACK = "track"


class State(StrEnum):
    """Where an obligation stands; `OPEN` and `RUNNING` are unfinished."""

    OPEN = "open"
    RUNNING = "running"
    DONE = "done"
    MISSED = "missed"
    PARKED = "parked"
    CANCELLED = "cancelled"


class MissedReason(StrEnum):
    """Why a deadline passed unanswered: what was really the case, not a guess."""

    PAST_ON_ARRIVAL = "PAST_ON_ARRIVAL"  # the deadline was over when the notification came
    NOT_STARTED_IN_TIME = "NOT_STARTED_IN_TIME"  # no worker had claimed it
    RETRIES_RAN_OUT = "RETRIES_RAN_OUT"  # every attempt failed; last_error has the last
    ABANDONED = "ABANDONED"  # a worker held it and disappeared: whether the vendor was answered is not known
    SENT_UNCONFIRMED = "SENT_UNCONFIRMED"  # sent in time, but the vendor's answer did not arrive
    NO_TIME_LEFT = "NO_TIME_LEFT"  # claimed, but too late to be sent inside the margin


class Why(StrEnum):
    """Why an obligation is put on the broker."""

    ACCEPTED = "accepted"  # it has just been created
    DUE = "due"  # its time has come: a retry, or something that was planned
    HEDGE = "hedge"  # it was published before, and nobody has claimed it
    ABANDONED = "abandoned"  # the lease of the worker that held it ran out


@dataclass(frozen=True, slots=True, kw_only=True)
class Obligation:
    """A new obligation.

    Attributes:
        publish_at: When the guardian looks at it first; the creator publishes it itself.
        missed: Why it was missed already when it was created; None for one that is owed.
    """

    obligation_id: ObligationId
    lane: Lane
    task: str
    subject: str
    created_at: datetime
    run_at: datetime
    deadline_at: datetime
    publish_at: datetime
    trace_id: str
    missed: MissedReason | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Due:
    """An obligation to be put on the broker: what a message is made of. `eta`: not before this; None for at once."""

    obligation_id: ObligationId
    lane: Lane
    task: str
    eta: datetime | None
    deadline_at: datetime
    attempts: int
    trace_id: str
    why: Why = Why.ACCEPTED


@dataclass(frozen=True, slots=True, kw_only=True)
class Claimed:
    """An obligation that this worker holds until `lease_until`; `attempt` is the fence that its finish must show.

    `last_error` is what the last attempt said that failed; None when none has said anything.
    """

    obligation_id: ObligationId
    lane: Lane
    task: str
    subject: str
    created_at: datetime
    deadline_at: datetime
    lease_until: datetime
    attempt: int
    trace_id: str
    last_error: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """The obligation is met."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Retry:
    """The obligation is open again from `run_at` on. `reason` is a code with few values."""

    run_at: datetime
    reason: str
    error: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Missed:
    """The deadline cannot be met any more. `margin_s` is negative when it is past."""

    reason: MissedReason
    margin_s: float
    error: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Parked:
    """A person must act first. `reason` is a code with few values; `error` is the fact."""

    reason: str
    error: str


Outcome = Done | Retry | Missed | Parked
