"""Whoever writes several obligations locks them in the order of their ids: two who want the same wait in turn.

Only PostgreSQL locks rows; where a statement looks for them decides in which order.
"""

import threading
from collections.abc import Callable

import pytest
from sqlalchemy import Connection, func, select, text

from clearance.ledger import due, group_obligations, obligations
from clearance.ledger.engine import Ledger
from clearance.ledger.obligations import ClaimRequest, Finish
from clearance.ledger.tables import obligations as table
from clearance.obligations import Claimed, Done, ObligationId
from tests.fakes.clock import START
from tests.fakes.owed import LEASE, claim, obligation, owe

pytestmark = pytest.mark.parametrize(
    "ledger_url", [pytest.param("postgresql", marks=pytest.mark.services)], indirect=True
)

_IS_WAITED_FOR = text(
    "SELECT count(*) FROM pg_locks WHERE NOT granted AND :holder = ANY(pg_blocking_pids(pid))"
)
_MOST_LOOKS = 20_000

Writes = Callable[[Connection, list[Claimed]], object]


def _claims(connection: Connection, held: list[Claimed]) -> object:
    now = START + LEASE  # the leases have run out: claimed again
    return obligations.claim_many(
        connection,
        [ClaimRequest(obligation_id=each.obligation_id, now=now, lease_until=now + LEASE) for each in held],
    )


def _renews(connection: Connection, held: list[Claimed]) -> object:
    return obligations.renew_many(connection, [(each, START + 2 * LEASE) for each in held])


def _finishes(connection: Connection, held: list[Claimed]) -> object:
    ends = [Finish(claimed=each, outcome=Done(), now=START) for each in held]
    return obligations.finish_many(connection, ends)


def _puts_back(connection: Connection, held: list[Claimed]) -> object:
    return due.put_back(connection, [each.obligation_id for each in held], START + LEASE)


def _cancels(connection: Connection, held: list[Claimed]) -> object:
    return group_obligations.cancel(connection, [each.obligation_id for each in held], START)


@pytest.mark.parametrize("count", [3, 200])
@pytest.mark.parametrize("others", [0, 3000])
@pytest.mark.parametrize("writes", [_claims, _renews, _finishes, _puts_back, _cancels])
def test_rows_are_locked_in_the_order_of_their_ids(
    ledger: Ledger, writes: Writes, others: int, count: int
) -> None:
    names = [f"o{number:04}" for number in range(count)]
    # The table has them the other way round, between others, and its statistics are up to date.
    owe(ledger, *(obligation(f"p{number:04}") for number in range(others)))
    owe(ledger, *(obligation(name) for name in reversed(names)))
    held = [each for each in claim(ledger, *reversed(names)) if each is not None]
    with ledger.write() as connection:
        connection.execute(text("ANALYZE obligations"))

    middle = ObligationId(names[count // 2])

    assert _free_while_waiting_for(ledger, middle, lambda each: writes(each, held)) == names[count // 2 + 1 :]


def _free_while_waiting_for(
    ledger: Ledger, middle: ObligationId, writes: Callable[[Connection], object]
) -> list[str]:
    """Which rows nobody has locked while somebody writes them all and waits for this one."""

    def write() -> None:
        with ledger.write() as connection:
            writes(connection)

    waiting = threading.Thread(target=write)
    with ledger.write() as holder:
        holder.execute(select(table.c.id).where(table.c.id == middle).with_for_update())
        waiting.start()
        _wait_until_waited_for(ledger, holder)
        with ledger.write() as looker:
            free = select(table.c.id).where(table.c.id.startswith("o")).with_for_update(skip_locked=True)
            found = sorted(looker.execute(free).scalars())
    waiting.join()
    return found


def _wait_until_waited_for(ledger: Ledger, holder: Connection) -> None:
    pid = holder.execute(select(func.pg_backend_pid())).scalar_one()
    with ledger.read() as connection:
        for _ in range(_MOST_LOOKS):
            if connection.execute(_IS_WAITED_FOR, {"holder": pid}).scalar_one():
                return
    raise AssertionError("nobody waits for the row")
