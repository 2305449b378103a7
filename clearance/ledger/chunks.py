"""A group's customers on their way: stored in chunks as they are fetched, decided chunk by chunk, and submitted.

Each function is safe to repeat, and of two that want the same chunk one wins. The chunk is the unit of everything: it
is reviewed by one obligation, its decisions are written in one transaction, and it is submitted as a whole.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Row, bindparam, select, update

from clearance.decisions.decision import Campaign, Customer
from clearance.ledger import group_obligations as owed
from clearance.ledger import obligations
from clearance.ledger.chunk_bodies import dump_customers, load_customer_ids, load_customers
from clearance.ledger.chunk_decisions import decide
from clearance.ledger.decisions import NewDecision
from clearance.ledger.group_facts import ChunkState, GroupState, load_campaign
from clearance.ledger.insert_new import insert_new
from clearance.ledger.tables import chunks, groups
from clearance.obligations import Claimed, Done, Obligation


@dataclass(frozen=True, slots=True, kw_only=True)
class NewChunk:
    """Customers that were fetched. `number` counts from 1 within the generation.

    Attributes:
        hedge_after: When the guardian first looks whether a worker reviews it.
        body: The customers as they are stored: made here, so that no transaction waits for it.
    """

    group_id: str
    generation: int
    number: int
    customers: Sequence[Customer]
    now: datetime
    hedge_after: timedelta
    trace_id: str
    body: bytes = field(init=False, repr=False)

    def __post_init__(self) -> None:
        """Write the body."""
        object.__setattr__(self, "body", dump_customers(self.customers))


@dataclass(frozen=True, slots=True, kw_only=True)
class Added:
    """What became of a chunk that was fetched.

    Attributes:
        is_wanted: False when the group is not open in this generation any more: nothing was stored.
        is_new: False when it was stored before.
        review: The obligation that was created with it, for the caller to publish; None when it is not new.
    """

    is_wanted: bool
    is_new: bool = False
    review: Obligation | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ClaimedChunk:
    """An obligation to review a chunk, with what is to be decided.

    Attributes:
        body: The customers as stored (`chunk_bodies.load_customers`); None when nothing is left to decide.
    """

    claimed: Claimed
    group_id: str
    generation: int
    number: int
    campaign: Campaign
    body: bytes | None

    @property
    def decision_subject(self) -> str:
        """What decisions about its customers are about."""
        return owed.subject_of(self.group_id, self.generation)

    def customers(self) -> list[Customer]:
        """Who is to be decided about; nobody when that was done."""
        return load_customers(self.body) if self.body is not None else []


@dataclass(frozen=True, slots=True, kw_only=True)
class DecidedChunk:
    """How a review ended. `decisions` are those about every customer of the chunk, in its order, if it is done."""

    finish: obligations.Finish
    group_id: str
    generation: int
    number: int
    decisions: Sequence[NewDecision] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """What is stored of a generation: a `seen_key` for each customer, the last chunk's number, and how many."""

    seen: set[int]
    last_number: int
    customers: int


_Key = tuple[str, int, int]
_STORED_AT_ONCE = 20
_SIXTY_BITS = (1 << 60) - 1


def add_many(connection: Connection, items: Sequence[NewChunk]) -> list[Added]:
    """Store chunks, each with the obligation to review it. A repeat changes nothing and says so."""
    return [_add(connection, item) for item in items]


def claim_many(
    connection: Connection, requests: Sequence[obligations.ClaimRequest]
) -> list[ClaimedChunk | None]:
    """As `obligations.claim_many`, with the customers and their campaign."""
    claims = obligations.claim_many(connection, requests)
    keys = {claimed.subject: _key_of(claimed.subject) for claimed in claims if claimed}
    row_by_key = _read(connection, list(keys.values()))
    return [
        _claimed(claimed, keys[claimed.subject], row_by_key[keys[claimed.subject]]) if claimed else None
        for claimed in claims
    ]


def decided_many(connection: Connection, items: Sequence[DecidedChunk]) -> list[bool]:
    """As `obligations.finish_many`; decisions are written whoever holds the obligation now, the first ones stand.

    The body of a chunk that is decided is dropped with it: nothing will read it again.
    """
    for item in sorted(items, key=_key):
        if isinstance(item.finish.outcome, Done) and item.decisions:
            decide(connection, *_key(item), item.decisions, now=item.finish.now)
    return obligations.finish_many(connection, [item.finish for item in items])


def stored(connection: Connection, group_id: str, generation: int) -> Stored:
    """Whom a fetch that is repeated need not store again."""
    seen: set[int] = set()
    last_number = customers = 0
    while True:
        asked = {"the_group": group_id, "of_generation": generation, "after": last_number}
        rows = connection.execute(_SELECT_STORED, asked).all()
        if not rows:
            return Stored(seen=seen, last_number=last_number, customers=customers)
        last_number = rows[-1].number
        for row in rows:
            customers += row.customers
            written = row.body or row.answers
            seen.update(map(seen_key, load_customer_ids(written) if written else ()))


def seen_key(customer_id: str) -> int:
    """A number that stands for the customer within this process: a million of them fit into memory.

    Of 60 bits: with one more, each would take 48 bytes instead of 32.
    """
    return hash(customer_id) & _SIXTY_BITS


def _add(connection: Connection, item: NewChunk) -> Added:
    group_key = {"the_group": item.group_id, "of_generation": item.generation}
    until = connection.execute(_LOCK_GROUP, group_key).scalar()
    if until is None:
        return Added(is_wanted=False)
    row = dict.fromkeys(chunks.c.keys()) | {
        "group_id": item.group_id,
        "generation": item.generation,
        "number": item.number,
        "customers": len(item.customers),
        "state": ChunkState.FETCHED,
        "body": item.body,
    }
    if connection.execute(_INSERT, row).rowcount == 0:
        return Added(is_wanted=True)
    connection.execute(_COUNT, {"the_group": item.group_id, "more": len(item.customers)})
    review = owed.review(
        item.group_id,
        item.generation,
        item.number,
        now=item.now,
        until=until,
        hedge_after=item.hedge_after,
        trace_id=item.trace_id,
    )
    owed.owe_new(connection, [review])
    return Added(is_wanted=True, is_new=True, review=review)


def _key(item: DecidedChunk) -> _Key:
    return item.group_id, item.generation, item.number


def _key_of(subject: str) -> _Key:
    group_id, (generation, number) = owed.numbers_of(subject)
    return group_id, generation, number


def _read(connection: Connection, keys: Sequence[_Key]) -> dict[_Key, Row[Any]]:
    found: dict[_Key, Row[Any]] = {}
    for group_id, generation, number in keys:
        asked = {"the_group": group_id, "of_generation": generation, "the_number": number}
        found[group_id, generation, number] = connection.execute(_SELECT, asked).one()
    return found


def _claimed(claimed: Claimed, key: _Key, row: Row[Any]) -> ClaimedChunk:
    return ClaimedChunk(
        claimed=claimed,
        group_id=key[0],
        generation=key[1],
        number=key[2],
        campaign=load_campaign(row.campaign),
        body=row.body,
    )


_OF_GENERATION = (
    chunks.c.group_id == bindparam("the_group"),
    chunks.c.generation == bindparam("of_generation"),
)
_LOCK_GROUP = (
    select(groups.c.hard_stop_at)
    .where(
        groups.c.id == bindparam("the_group"),
        groups.c.generation == bindparam("of_generation"),
        groups.c.state == GroupState.OPEN.value,
    )
    .with_for_update()
)
_INSERT = insert_new(chunks)
_COUNT = (
    update(groups)
    .where(groups.c.id == bindparam("the_group"))
    .values(fetched=groups.c.fetched + bindparam("more"), chunk_count=groups.c.chunk_count + 1)
)
_SELECT = (
    select(chunks.c.body, groups.c.campaign)
    .join(groups, groups.c.id == chunks.c.group_id)
    .where(*_OF_GENERATION, chunks.c.number == bindparam("the_number"))
)
_SELECT_STORED = (
    select(chunks.c.number, chunks.c.customers, chunks.c.body, chunks.c.answers)
    .where(*_OF_GENERATION, chunks.c.number > bindparam("after"))
    .order_by(chunks.c.number)
    .limit(_STORED_AT_ONCE)
)
