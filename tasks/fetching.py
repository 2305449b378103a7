"""What a message to fetch means: read a group's customers from the vendor and store them, chunk by chunk.

In: an obligation whose subject is a group and its generation. Out: chunks in the ledger, each owed a review from the
moment it is stored, so that reviews run while the rest is still being read. Of a stream that is slow or breaks off a
chunk is what has come: the rest may come too late. While there is plenty of time a fetch leaves half of it to others:
who wants an answer within seconds may share its machine. A fetch that breaks off for good (`customer_rows`) is repeated
from the start and skips who is stored already: no customer is stored twice. Memory holds one chunk, and a number for
each customer seen.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import ClassVar, Protocol

import structlog

from clearance.clock import Clock
from clearance.decisions.decision import Campaign, Customer
from clearance.errors import ClearanceError, DeadlinePassed, LedgerUnavailable, RetryLater
from clearance.ledger import chunks, group_work, submissions
from clearance.ledger.chunks import Added, NewChunk
from clearance.ledger.engine import Ledger
from clearance.ledger.group_facts import Group, GroupState
from clearance.ledger.group_work import ClaimedGroup, Fetched
from clearance.ledger.obligations import ClaimRequest, Finish, finish_many
from clearance.obligations import Claimed, MissedReason
from clearance.optimove.customer_stream import MalformedRow
from clearance.schedule import Schedule
from tasks.base import ObligationTask, Services
from tasks.calling import Calling
from tasks.customer_rows import CustomerRows, FetchesCustomers, Row

log = structlog.get_logger()

# Of rows that cannot be read so many are logged one by one; all are counted.
_LOGGED_ROWS = 10
# In the first part of the time that its group has, a fetch rests for as long as it has computed, and reads no more
# customers a second than these: a million in two minutes. Where they are more than that part is enough for, it hurries.
_UNHURRIED = 1 / 4
_UNHURRIED_PER_S = 8_000
_SHORTEST_REST_S = 0.005
# Customers wait so long for others to make their chunk full, as soon as the next one comes.
_GATHER = timedelta(seconds=1)


class AttributesOf(Protocol):
    """Which attributes the rules in force use for a campaign."""

    def __call__(self, campaign: Campaign) -> Sequence[str]:
        """Their names, as declared."""


class Plans(Protocol):
    """When a group's approvals must leave: `clearance.schedule` with the speed that was measured."""

    def __call__(self, deadline_at: datetime, customers: int | None) -> Schedule:
        """The schedule for so many customers."""


class StoredByAnother(RetryLater):
    """Another worker stores the same customers: what it has is looked up before going on."""


@dataclass(slots=True)
class FetchAttempt:
    """One run: the obligation and its group, and how many were stored and seen malformed.

    `is_complete`: every customer is stored, and nobody has taken the group back.
    """

    held: ClaimedGroup
    stored: int = field(default=0, init=False)
    malformed: int = field(default=0, init=False)
    is_complete: bool = field(default=False, init=False)
    is_unconfirmed: bool = field(default=False, init=False)

    @property
    def claimed(self) -> Claimed:
        """See `tasks.base.Attempt`."""
        return self.held.claimed


@dataclass(frozen=True, slots=True, kw_only=True)
class FetchServices(Services):
    """What this task needs besides: the vendor, which attributes the rules want, and when to submit how many.

    Attributes:
        computed_s: Seconds of a processor that this thread has had.
    """

    ledger: Ledger
    vendor: FetchesCustomers
    calling: Calling
    attributes_of: AttributesOf
    plan: Plans
    chunk_customers: int
    hedge_after: timedelta
    computed_s: Callable[[], float]


class FetchGroup(ObligationTask[FetchAttempt, FetchServices]):
    """Store every customer of one generation."""

    name = "clearance.groups.fetch"
    lane: ClassVar[str] = "submit"

    def claim(self, requests: Sequence[ClaimRequest]) -> list[FetchAttempt | None]:
        """The obligations with their groups."""
        asked = [self.services.commits.submit(group_work.claim_many, request) for request in requests]
        found = [future.result() for future in asked]
        return [FetchAttempt(held) if held else None for held in found]

    def finish(self, ends: Sequence[tuple[FetchAttempt, Finish]]) -> list[bool]:
        """The outcome; when all is stored, the group is known to be complete and its schedule is made anew."""
        asked = [self._finish(attempt, finish) for attempt, finish in ends]
        return [future.result() for future in asked]

    def _finish(self, attempt: FetchAttempt, finish: Finish) -> "Future[bool]":
        services, group = self.services, attempt.held.group
        if not attempt.is_complete:
            return services.commits.submit(finish_many, finish)
        planned = services.plan(group.deadline_at, attempt.stored)
        fetched = Fetched(
            finish=finish,
            group_id=group.group_id,
            generation=attempt.held.number,
            margin=group.deadline_at - planned.submit_at,
            eta_window=services.eta_window,
        )
        return services.commits.submit(group_work.fetched_many, fetched)

    def last_moment(self, deadline_at: datetime) -> datetime:
        """A customer who comes after the hard stop is not answered any more."""
        return deadline_at

    def work(self, held: FetchAttempt) -> None:
        """Read the stream to its end."""
        try:
            held.is_complete = self._fetch(held)
        finally:
            # Its deadline may have moved meanwhile: by the new one it is seen whether there is time to repeat this.
            self._look_again(held)
        if held.is_complete:
            self._tell(held.held.group, held)
        elif self.services.clock() >= held.claimed.deadline_at:
            raise _too_late(held, self.services.clock())
        else:
            log.info("group.fetch_not_wanted", group=held.held.group.group_id, generation=held.held.number)

    def _fetch(self, held: FetchAttempt) -> bool:
        """Whether every customer is stored; not if nobody wants the generation any more."""
        services, group = self.services, held.held.group
        if group.state is not GroupState.OPEN or group.generation != held.held.number:
            return False
        with services.ledger.read() as connection:
            known = chunks.stored(connection, group.group_id, group.generation)
        held.stored, number = known.customers, known.last_number
        fresh = self._fresh(held, known.seen, self._rows(group))
        before: Future[Added] | None = None
        rest = self._resting(group)
        for portion in _portions(fresh, services.chunk_customers, services.clock):
            number += 1
            # One chunk is committed while the next one is read.
            if before is not None and not _is_wanted(before):
                return False
            before = self._store(group, number, portion)
            held.stored += len(portion)
            rest(len(portion))
        return before is None or _is_wanted(before)

    def _resting(self, group: Group) -> Callable[[int], None]:
        """What to call with the size of each portion: it rests, if the group's time allows."""
        services = self.services
        began, rested_at_s, customers = services.clock(), services.computed_s(), 0
        to_spare = (group.hard_stop_at - began) * _UNHURRIED
        is_enough = (group.expected_customers or 0) <= to_spare.total_seconds() * _UNHURRIED_PER_S
        until = began + to_spare if is_enough else began

        def rest(more: int) -> None:
            nonlocal rested_at_s, customers
            now, customers = services.clock(), customers + more
            ahead_s = customers / _UNHURRIED_PER_S - (now - began).total_seconds()
            rest_s = max(services.computed_s() - rested_at_s, ahead_s)
            if rest_s >= _SHORTEST_REST_S and now < until:
                services.pause(rest_s)
                rested_at_s = services.computed_s()

        return rest

    def _look_again(self, held: FetchAttempt) -> None:
        group = held.held.group
        try:
            with self.services.ledger.read() as connection:
                now = submissions.progress(connection, group.group_id)
        except LedgerUnavailable:
            return
        if now is not None and now.group.generation == held.held.number:
            claimed = replace(held.claimed, deadline_at=now.group.hard_stop_at)
            held.held = replace(held.held, claimed=claimed, group=now.group)

    def _rows(self, group: Group) -> Iterator[Row]:
        services = self.services
        rows = CustomerRows(
            vendor=services.vendor,
            calling=services.calling,
            clock=services.clock,
            pause=services.pause,
            jitter=services.jitter,
        )
        return rows.of(group, services.attributes_of(group.campaign))

    def _fresh(self, held: FetchAttempt, seen: set[int], rows: Iterable[Row]) -> Iterator[Customer]:
        for row in rows:
            if isinstance(row, MalformedRow):
                held.malformed += 1
                if held.malformed <= _LOGGED_ROWS:
                    log.error("group.row_malformed", position=row.position, problem=row.problem)
                continue
            key = chunks.seen_key(row.customer_id)
            if key not in seen:
                seen.add(key)
                yield row

    def _store(self, group: Group, number: int, customers: Sequence[Customer]) -> "Future[Added]":
        services = self.services
        chunk = NewChunk(
            group_id=group.group_id,
            generation=group.generation,
            number=number,
            customers=customers,
            now=services.clock(),
            hedge_after=services.hedge_after,
            trace_id=group.trace_id,
        )
        return services.commits.submit(chunks.add_many, chunk)

    def _tell(self, group: Group, held: FetchAttempt) -> None:
        if held.malformed:
            # Here, not row by row: a fetch that is repeated sees them again.
            self.services.metrics.count("group_rows_malformed_total", held.malformed)
        told = group.expected_customers
        found = held.stored + held.malformed
        log.info("group.fetched", group=group.group_id, customers=held.stored, malformed=held.malformed)
        if told is not None and told != found:
            self.services.metrics.count("group_counts_differ_total", api=group.api)
            log.error("group.count_differs", group=group.group_id, told=told, fetched=found)


def _is_wanted(stored: "Future[Added]") -> bool:
    """Whether the group still wants its chunks, now that this one is committed."""
    added = stored.result()
    if added.is_wanted and not added.is_new:
        raise StoredByAnother("another worker has stored a chunk of this number")
    return added.is_wanted


def _too_late(held: FetchAttempt, now: datetime) -> DeadlinePassed:
    margin_s = (held.claimed.deadline_at - now).total_seconds()
    return DeadlinePassed(MissedReason.NO_TIME_LEFT, margin_s=margin_s)


def _portions(customers: Iterable[Customer], size: int, clock: Clock) -> Iterator[list[Customer]]:
    """As many as a chunk has, or what came within a second, or before the stream broke off."""
    portion: list[Customer] = []
    gathered_at = clock()
    broken: ClearanceError | None = None
    try:
        for customer in customers:
            if not portion:
                gathered_at = clock() + _GATHER
            portion.append(customer)
            if len(portion) == size or clock() >= gathered_at:
                yield portion
                portion = []
    except ClearanceError as error:
        broken = error
    if portion:
        yield portion
    if broken is not None:
        raise broken
