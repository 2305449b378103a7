"""Was everything right in the end? What the vendor saw and what the ledger says, held against each other."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Row, select

from clearance.ledger import tables
from tests.fakes.world_fleet import Fleet
from tests.fakes.world_vendor import SeenCall
from tests.unit.simulation.plots import Plot

_GATHER = timedelta(seconds=1)
_FINISHED = {"done", "missed", "parked", "cancelled"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """The latest word of the vendor about a group. No deadline: it has taken it back."""

    told_at: datetime
    deadline_at: datetime | None


def problems_of(fleet: Fleet, plot: Plot, known_by_id: dict[str, Known]) -> list[str]:
    """Everything that is not as it must be at the end of time."""
    with fleet.ledger.look() as connection:
        ledger = _Written(connection)
    return [
        *_unfinished(ledger),
        *_revisions(ledger, known_by_id),
        *_unrecorded(ledger, fleet.vendor.calls),
        *_twice(ledger, fleet.vendor.calls),
        *_forgotten(ledger, plot, fleet.vendor.calls),
        *_lost(ledger, plot, fleet.vendor.given),
    ]


class _Written:
    """The ledger as it was left."""

    def __init__(self, connection: Connection) -> None:
        def rows(table: Any) -> list[Row[Any]]:
            return list(connection.execute(select(table)))

        self.groups = rows(tables.groups)
        self.revisions = rows(tables.group_revisions)
        self.chunks = rows(tables.chunks)
        self.decisions = rows(tables.decisions)
        self.obligations = rows(tables.obligations)
        self.dead_letters = rows(tables.dead_letters)
        self.outcomes: dict[tuple[str, int | None, datetime], str] = {
            (row.subject, row.revision, row.sent_at): row.outcome for row in rows(tables.approvals)
        }


def _unfinished(ledger: _Written) -> Iterator[str]:
    for row in ledger.obligations:
        if row.state not in _FINISHED:
            yield f"{row.id} is {row.state} at the end of time"
    for row in ledger.dead_letters:
        if row.reason in ("BUG", "STORED_INPUT_REFUSED"):
            yield f"{row.obligation_id} is parked: {row.reason} {row.detail}"


def _revisions(ledger: _Written, known_by_id: dict[str, Known]) -> Iterator[str]:
    for group in ledger.groups:
        known = known_by_id[group.vendor_id]
        if (group.state == "cancelled") is not (known.deadline_at is None):
            yield f"{group.vendor_id} is {group.state}, and the vendor's last word was {known}"
        if known.deadline_at is not None and group.deadline_at != known.deadline_at:
            yield f"{group.vendor_id} is due at {group.deadline_at}, and the vendor's last word was {known}"
        ended = [row for row in ledger.revisions if row.group_id == group.id]
        if [row.revision for row in ended] != list(range(1, group.revision + 1)):
            yield f"{group.vendor_id} has revisions {[row.revision for row in ended]}, at {group.revision}"
        yield from (
            f"{group.vendor_id} revision {row.revision} has not ended"
            for row in ended
            if row.ended_as is None
        )
        # A group that is taken back after its end keeps how it ended.
        if group.state not in ("cancelled", ended[-1].ended_as):
            yield f"{group.vendor_id} is {group.state}, and its last revision {ended[-1].ended_as}"


def _unrecorded(ledger: _Written, calls: list[SeenCall]) -> Iterator[str]:
    """Whatever the vendor saw is on record, also if its worker died in it; what it was heard to take, as taken."""
    for call in calls:
        if _key(call) not in ledger.outcomes:
            yield f"{call.run.name}: the call at {call.begun_at:%H:%M:%S.%f} is not on record"
        elif call.is_answered and not call.run.is_dead and ledger.outcomes[_key(call)] != "taken":
            yield f"{call.run.name}: the vendor took what is on record as {ledger.outcomes[_key(call)]}"


def _key(call: SeenCall) -> tuple[str, int | None, datetime]:
    _task, group_id, revision = call.run.name.split(":")
    return group_id, int(revision), call.begun_at


def _twice(ledger: _Written, calls: list[SeenCall]) -> Iterator[str]:
    """Within a revision a customer may be given again only if we did not hear that the vendor took him."""
    seen: dict[tuple[str, str], SeenCall] = {}
    for call in calls:
        if not call.is_taken:
            continue
        for customer_id in call.answers:
            before = seen.get((call.run.name, customer_id))
            if before is not None and _was_heard(ledger, before):
                yield f"{call.run.name}: {customer_id} is given twice, first at {before.begun_at:%H:%M:%S.%f}"
            seen[call.run.name, customer_id] = call


def _was_heard(ledger: _Written, call: SeenCall) -> bool:
    """Whether our side knew that it was taken: the worker did and lived, or had written it down before it died."""
    is_written = ledger.outcomes.get(_key(call)) == "taken"
    return is_written or (call.is_answered and not call.run.is_dead)


def _forgotten(ledger: _Written, plot: Plot, calls: list[SeenCall]) -> Iterator[str]:
    """Everybody of the current generation is answered as was decided, or listed with a reason."""
    for group in ledger.groups:
        chunks = [
            row for row in ledger.chunks if row.group_id == group.id and row.generation == group.generation
        ]
        if group.state == "cancelled":
            continue
        decisions = [row for row in ledger.decisions if row.subject == f"{group.id}:{group.generation}"]
        decided_by_chunk: dict[int, list[Row[Any]]] = {}
        for row in decisions:
            decided_by_chunk.setdefault(row.chunk, []).append(row)
        told = {
            (call.vendor_id, customer_id): approved
            for call in calls
            if call.is_taken and call.vendor_id == group.vendor_id
            for customer_id, approved in call.answers.items()
        }
        everybody = {customer.customer_id for customer in plot.customers_by_id[group.vendor_id]}
        listed = {row.customer_id for row in decisions}
        if group.fetched_at is not None and listed != everybody:
            yield f"{group.vendor_id}: nothing is said of {sorted(everybody - listed)}"
        if group.fetched_at is None and group.state != "missed":
            yield f"{group.vendor_id}: not fetched, and {group.state}"
        if group.fetched != sum(chunk.customers for chunk in chunks):
            yield f"{group.vendor_id}: {group.fetched} fetched, other than its chunks say"
        for chunk in chunks:
            decided = decided_by_chunk.get(chunk.number, [])
            if len(decided) != chunk.customers:
                yield f"{group.vendor_id} chunk {chunk.number}: {len(decided)} of {chunk.customers} decided"
            if chunk.state == "submitted":
                yield from _unanswered(group, chunk, decided, told)
            elif chunk.state != "missed":
                yield f"{group.vendor_id} chunk {chunk.number} is {chunk.state} at the end of time"
        states = Counter(chunk.state for chunk in chunks)
        if group.state == "submitted" and states.keys() - {"submitted"}:
            yield f"{group.vendor_id} is submitted, with chunks {dict(states)}"


def _lost(ledger: _Written, plot: Plot, given: list[tuple[str, str, datetime]]) -> Iterator[str]:
    """Whoever came before the deadline is listed, however the stream went on, where nothing kept us from storing."""
    if plot.ledger_away or plot.ledger_busy or plot.unconfirmed or plot.kill_chance:
        return
    for group in ledger.groups:
        if group.revision > 1 or group.state == "cancelled":
            continue
        # Who came is stored at the latest with the next one.
        until = group.deadline_at - timedelta(seconds=plot.manners.row_s) - _GATHER
        came = {customer for vendor_id, customer, at in given if vendor_id == group.vendor_id and at < until}
        listed = {row.customer_id for row in ledger.decisions if row.subject == f"{group.id}:1"}
        if came - listed:
            yield f"{group.vendor_id}: {sorted(came - listed)} came in time, and nothing is said of them"


def _unanswered(
    group: Row[Any], chunk: Row[Any], decided: list[Row[Any]], told: dict[tuple[str, str], bool]
) -> Iterator[str]:
    for row in decided:
        answer = told.get((group.vendor_id, row.customer_id))
        # V1 counts whom it never heard of as not approved.
        if (bool(answer) if group.api == "v1" else answer) is not bool(row.approved):
            yield (
                f"{group.vendor_id} chunk {chunk.number}: {row.customer_id} is submitted as {row.approved}, "
                f"and the vendor took {answer}"
            )
