"""What becomes of a group when the vendor says something of it: a heads-up, another deadline, a cancellation.

In: what was told. Out: which revision it is, and the obligations that were created with it in the same transaction.
Everything about one group happens in an order, because its row is locked first: two heads-ups at once give a revision
each. Nothing that was told earlier moves what was told later.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from sqlalchemy import Connection

from clearance.decisions.decision import Campaign
from clearance.ledger import group_obligations as owed
from clearance.ledger import group_rows
from clearance.ledger.group_described import cancelled_group, described_group
from clearance.ledger.group_facts import Cause, ChunkState, EndedAs, Group, GroupState
from clearance.ledger.group_revisions import add_revision, end_revision, has_ended, settle_chunks
from clearance.obligations import Obligation
from clearance.optimove.heads_up import Api, HeadsUp
from clearance.schedule import Schedule


@dataclass(frozen=True, slots=True, kw_only=True)
class NewHeadsUp:
    """A heads-up that was validated.

    Attributes:
        group_id: Of the group, should it be a new one.
        hedge_after: When the guardian first looks whether a worker has what was owed at once.
        eta_window: How long before its time the guardian hands the submission over.
    """

    group_id: str
    heads_up: HeadsUp
    schedule: Schedule
    received_at: datetime
    hedge_after: timedelta
    eta_window: timedelta
    trace_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class NewCancellation:
    """The vendor takes a group back. `group_id` and `campaign` are of the group, should it be a new one."""

    group_id: str
    api: Api
    vendor_id: str
    told_at: datetime
    received_at: datetime
    campaign: Campaign
    trace_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Heard:
    """What a heads-up or a cancellation came to.

    Attributes:
        revision: The one that holds now.
        cause: Why there is a new revision; None when there is none.
        is_duplicate: It says nothing new.
        is_stale: Something later was known already: also a duplicate.
        late_s: By how much the deadline was over when it came; None when it was not.
        owed: What was created with it; what is due at once is the caller's to publish.
    """

    group_id: str
    revision: int
    cause: Cause | None = None
    is_duplicate: bool = False
    is_stale: bool = False
    late_s: float | None = None
    owed: tuple[Obligation, ...] = ()

    @property
    def is_late(self) -> bool:
        """Whether there was nothing left to do when it came."""
        return self.late_s is not None


def hear_many(connection: Connection, items: Sequence[NewHeadsUp]) -> list[Heard]:
    """Take note of heads-ups, each after the other. A repeat changes nothing and says so."""
    new_by_key = {_key(item): _described(item) for item in reversed(items)}
    known, fresh = group_rows.locked(connection, new_by_key)
    told = []
    for item in items:
        key = _key(item)
        if key in fresh:
            told.append(_begin(connection, _described(item), item, Cause.FIRST))
            fresh.discard(key)
        else:
            told.append(_hear(connection, known[key], item))
            known[key] = group_rows.current(connection, key)
    return told


def cancel_many(connection: Connection, items: Sequence[NewCancellation]) -> list[Heard]:
    """Take groups back: what is not sent by now is not sent any more. A repeat changes nothing and says so.

    One of a group that nobody knows is kept: its heads-up, should it come after all, was told earlier.
    """
    new_by_key = {_key(item): _cancelled(item) for item in reversed(items)}
    known, fresh = group_rows.locked(connection, new_by_key)
    told = []
    for item in items:
        key = _key(item)
        group = known[key]
        if key in fresh:
            add_revision(connection, group, Cause.CANCELLED, item.received_at)
            end_revision(connection, group, EndedAs.CANCELLED, item.received_at)
            told.append(Heard(group_id=group.group_id, revision=1, cause=Cause.CANCELLED))
        else:
            told.append(_cancel(connection, group, item))
        fresh.discard(key)
        known[key] = group_rows.current(connection, key)
    return told


def _hear(connection: Connection, known: Group, item: NewHeadsUp) -> Heard:
    told = item.heads_up
    is_cancelled = known.state is GroupState.CANCELLED
    if told.told_at < known.told_at or (is_cancelled and told.told_at == known.told_at):
        return Heard(group_id=known.group_id, revision=known.revision, is_duplicate=True, is_stale=True)
    if told.deadline_at == known.deadline_at and not is_cancelled:
        group_rows.tell(connection, known, told.told_at)
        return Heard(group_id=known.group_id, revision=known.revision, is_duplicate=True)
    was_open = not has_ended(connection, known, item.received_at)
    ended_as = EndedAs.SUPERSEDED if was_open else EndedAs.MISSED
    ends_now = end_revision(connection, known, ended_as, item.received_at)
    # Whom it missed is told by whoever closes it.
    is_untold = ends_now and not was_open
    owed.cancel_revision(connection, known.group_id, known.revision, item.received_at, but_close=is_untold)
    if not was_open:
        _give_up(connection, known, ChunkState.MISSED, item.received_at)
    described = _described(item)
    # The margin may have grown with what was fetched meanwhile: it is not less for another deadline.
    margin = known.deadline_at - known.submit_at if was_open else timedelta()
    next_group = replace(
        described,
        submit_at=min(described.submit_at, described.deadline_at - margin),
        group_id=known.group_id,
        revision=known.revision + 1,
        generation=known.generation if was_open else known.generation + 1,
        created_at=known.created_at,
        fetched_at=known.fetched_at if was_open else None,
        fetched=known.fetched if was_open else 0,
        chunk_count=known.chunk_count if was_open else 0,
    )
    group_rows.write(connection, next_group)
    return _begin(connection, next_group, item, Cause.MOVED if was_open else Cause.AGAIN)


def _begin(connection: Connection, group: Group, item: NewHeadsUp, cause: Cause) -> Heard:
    """Open a revision with what is owed for it, unless it is too late for it."""
    add_revision(connection, group, cause, item.received_at)
    heard = Heard(group_id=group.group_id, revision=group.revision, cause=cause)
    now = item.received_at
    if group.state is GroupState.MISSED:
        late_s = (now - group.deadline_at).total_seconds()
        end_revision(connection, group, EndedAs.MISSED, now, margin_s=-late_s)
        left = _close(group, now) if cause is Cause.MOVED else ()
        if left:
            owed.cancel(connection, owed.of_generation(connection, group.group_id, group.generation), now)
        owed.owe_new(connection, left)
        return replace(heard, late_s=late_s, owed=left)
    submission = owed.submit(
        group.group_id,
        group.revision,
        now=now,
        run_at=group.submit_at,
        until=group.hard_stop_at,
        eta_window=item.eta_window,
        trace_id=item.trace_id,
    )
    owes = (submission, *_close(group, now))
    if cause is Cause.MOVED:
        owed.move_generation(connection, group.group_id, group.generation, now=now, until=group.hard_stop_at)
    else:
        fetch = owed.fetch(
            group.group_id,
            group.generation,
            now=now,
            until=group.hard_stop_at,
            hedge_after=item.hedge_after,
            trace_id=item.trace_id,
        )
        owes = (fetch, *owes)
    owed.owe_new(connection, owes)
    return replace(heard, owed=owes)


def _close(group: Group, now: datetime) -> tuple[Obligation, ...]:
    closing = owed.close(
        group.group_id, group.revision, now=now, deadline_at=group.deadline_at, trace_id=group.trace_id
    )
    return (closing,)


def _cancel(connection: Connection, known: Group, item: NewCancellation) -> Heard:
    heard = Heard(group_id=known.group_id, revision=known.revision)
    if item.told_at < known.told_at:
        return replace(heard, is_duplicate=True, is_stale=True)
    if known.state is GroupState.CANCELLED:
        group_rows.tell(connection, known, item.told_at)
        return replace(heard, is_duplicate=True)
    now = item.received_at
    owed.cancel_revision(connection, known.group_id, known.revision, now)
    end_revision(connection, known, EndedAs.CANCELLED, now)
    _give_up(connection, known, ChunkState.CANCELLED, now)
    cancelled = replace(known, state=GroupState.CANCELLED, told_at=item.told_at, finished_at=now)
    group_rows.write(connection, cancelled)
    return replace(heard, cause=Cause.CANCELLED)


def _give_up(connection: Connection, group: Group, state: ChunkState, now: datetime) -> None:
    """Nobody fetches, reviews or submits this generation any more.

    Its revision was written before; then the chunks, then what is owed for them: the order of who decides a chunk.
    """
    left = owed.of_generation(connection, group.group_id, group.generation)
    settle_chunks(connection, group, state)
    owed.cancel(connection, left, now)


def _described(item: NewHeadsUp) -> Group:
    return described_group(
        item.heads_up,
        item.schedule,
        group_id=item.group_id,
        received_at=item.received_at,
        trace_id=item.trace_id,
    )


def _cancelled(item: NewCancellation) -> Group:
    return cancelled_group(
        item.api,
        item.vendor_id,
        item.campaign,
        group_id=item.group_id,
        told_at=item.told_at,
        received_at=item.received_at,
        trace_id=item.trace_id,
    )


def _key(item: NewHeadsUp | NewCancellation) -> group_rows.Key:
    told = item.heads_up if isinstance(item, NewHeadsUp) else item
    return told.api, told.vendor_id
