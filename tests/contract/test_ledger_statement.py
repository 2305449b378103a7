"""A statement that goes straight to the driver says and gives what it would by way of SQLAlchemy."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from sqlalchemy import Connection, bindparam, delete, select, update
from sqlalchemy import exc as sql

from clearance.errors import LedgerUnavailable
from clearance.ledger.engine import Ledger
from clearance.ledger.insert_new import insert_new
from clearance.ledger.statement import Statement, run_together
from clearance.ledger.tables import notifications
from tests.fakes.clock import START

_INSERT = Statement(insert_new(notifications))
_COLUMNS = (
    notifications.c.id,
    notifications.c.received_at,
    notifications.c.signed_at,
    notifications.c.body,
    notifications.c.customer_id,
)
_READ = Statement(select(*_COLUMNS).where(notifications.c.id == bindparam("the_id")), returns=_COLUMNS)
# Whatever would have a meaning in a statement, a list or a pattern.
_IDS = (
    "plain",
    "it's",
    'a "quoted" one',
    "{braces,}",
    "100%",
    "%(ids)s",
    ":ids",
    "back\\slash",
    "ümläut",
    "",
)


def _row(name: str, **other: object) -> dict[str, object]:
    row: dict[str, object] = dict.fromkeys(column.name for column in notifications.columns)
    return (
        row
        | {"id": name, "kind": "triggered", "vendor_id": f"v-{name}", "received_at": START}
        | {"deadline_at": START + timedelta(seconds=5)}
        | other
    )


def test_what_is_written_comes_back_in_our_types(ledger: Ledger) -> None:
    elsewhere = datetime(2026, 3, 1, 23, 30, 0, 123_456, tzinfo=timezone(timedelta(hours=-5)))
    row = _row("a", received_at=elsewhere, body=bytes(range(256)), customer_id="C'1%")

    with ledger.write() as connection:
        assert _INSERT.write(connection, [row]) == 1
        (found,) = _READ.rows(connection, [{"the_id": "a"}])
        (by_sqlalchemy,) = connection.execute(select(*_COLUMNS)).all()

    assert found == (
        "a",
        datetime(2026, 3, 2, 4, 30, 0, 123_456, tzinfo=UTC),
        None,
        bytes(range(256)),
        "C'1%",
    )
    assert tuple(found) == tuple(by_sqlalchemy)
    assert found.received_at.tzinfo is UTC


@pytest.mark.parametrize("asked", [_IDS[:1], _IDS, ("nobody", "it's"), ("plain", "plain")])
def test_each_run_brings_its_own_in_their_order(ledger: Ledger, asked: tuple[str, ...]) -> None:
    with ledger.write() as connection:
        assert _INSERT.write(connection, [_row(name) for name in _IDS]) == len(_IDS)

        found = _READ.rows(connection, [{"the_id": each} for each in asked])

    assert [row.id for row in found] == [each for each in asked if each in _IDS]


def test_what_was_there_already_is_not_counted(ledger: Ledger) -> None:
    with ledger.write() as connection:
        assert _INSERT.write(connection, [_row("a"), _row("b")]) == 2
        assert _INSERT.write(connection, [_row("b"), _row("c"), _row("a")]) == 1
        assert _INSERT.write(connection, [_row("c")]) == 0


def test_what_the_statement_says_itself_needs_no_value(ledger: Ledger) -> None:
    forget = Statement(
        update(notifications)
        .where(notifications.c.id == bindparam("the_id"), notifications.c.kind == "triggered")
        .values(body=None, customer_id=bindparam("customer"))
    )
    with ledger.write() as connection:
        _INSERT.write(connection, [_row("a", body=b"personal"), _row("b", body=b"other")])

        assert forget.write(connection, [{"the_id": "a", "customer": "C1"}]) == 1

        found = _READ.rows(connection, [{"the_id": "a"}, {"the_id": "b"}])
    assert [(row.body, row.customer_id) for row in found] == [(None, "C1"), (b"other", None)]


def test_what_one_wrote_the_next_one_finds(ledger: Ledger) -> None:
    forget = Statement(
        update(notifications).where(notifications.c.id == bindparam("the_id")).values(body=None)
    )
    with ledger.write() as connection:
        inserted, nothing, forgotten, found, nobody = run_together(
            connection,
            (_INSERT, [_row("a", body=b"1"), _row("b", body=b"2"), _row("a", body=b"3")]),
            (_INSERT, []),
            (forget, [{"the_id": "b"}, {"the_id": "c"}]),
            (_READ, [{"the_id": "b"}, {"the_id": "c"}, {"the_id": "a"}]),
            (_READ, []),
        )

    assert (inserted.written, forgotten.written) == (2, 1)
    assert (nothing.written, list(nothing.rows)) == (0, [])
    assert [(row.id, row.body) for row in found.rows] == [("b", None), ("a", b"1")]
    assert list(nobody.rows) == []


def test_nothing_at_all_may_be_asked(ledger: Ledger) -> None:
    with ledger.write() as connection:
        assert run_together(connection) == []
        assert _INSERT.write(connection, []) == 0
        assert list(_READ.rows(connection, [])) == []


def test_of_those_together_an_error_of_one_undoes_all_and_the_ledger_goes_on(ledger: Ledger) -> None:
    doubled = Statement(notifications.insert(), sets=[column.name for column in notifications.columns])
    with pytest.raises(sql.IntegrityError), ledger.write() as connection:
        run_together(
            connection,
            (_INSERT, [_row("a")]),
            (doubled, [_row("a", customer_id="secret-customer")]),
            (_INSERT, [_row("b"), _row("c")]),
            (_READ, [{"the_id": "a"}, {"the_id": "b"}]),
        )

    with ledger.write() as connection:
        assert _INSERT.write(connection, [_row("d")]) == 1
    with ledger.read() as connection:
        assert [row.id for row in _READ.rows(connection, [{"the_id": each} for each in "abcd"])] == ["d"]


def test_a_naive_time_and_a_missing_value_are_refused(ledger: Ledger) -> None:
    naive = START.replace(tzinfo=None)
    with pytest.raises(ValueError, match="naive datetime"), ledger.write() as connection:
        _INSERT.write(connection, [_row("a", received_at=naive)])
    with pytest.raises(sql.ProgrammingError), ledger.write() as connection:
        _READ.rows(connection, [{}])


def test_an_error_is_sqlalchemys_and_tells_no_values(ledger: Ledger) -> None:
    def write_twice(connection: Connection) -> None:
        doubled = Statement(notifications.insert(), sets=[column.name for column in notifications.columns])
        for _ in range(2):
            doubled.write(connection, [_row("a", customer_id="secret-customer", body=b"secret-body")])

    with pytest.raises(sql.IntegrityError) as caught, ledger.write() as connection:
        write_twice(connection)

    assert "secret" not in str(caught.value)
    with ledger.read() as connection:
        assert _READ.rows(connection, [{"the_id": "a"}]) == []


def test_a_schema_that_is_not_there_yet_is_a_ledger_that_is_away(ledger: Ledger) -> None:
    gone = Statement(delete(notifications).where(notifications.c.id == bindparam("the_id")))
    with ledger.write() as connection:
        connection.exec_driver_sql("DROP TABLE notifications")
    with pytest.raises(LedgerUnavailable), ledger.write() as connection:
        gone.write(connection, [{"the_id": "a"}])
