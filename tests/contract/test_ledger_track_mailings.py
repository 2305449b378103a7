"""Mailing states in the ledger: one command a recipient, however many processes hear the same at once."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

from sqlalchemy import func, insert, select

from clearance.bloomreach.mailing_feedback import MailedCustomer
from clearance.ledger.engine import Ledger
from clearance.ledger.mail_tables import mail_recipients, track_commands
from clearance.ledger.tables import obligations
from clearance.ledger.track_mailings import HeardMailingState, NewMailingState, hear_many
from clearance.optilyz.mailing_states import Mailing
from tests.fakes.clock import START

_MAILING = Mailing(mailing_id="m1", name=None, state="live", automation_id="a1")


def _new(*customers: MailedCustomer) -> NewMailingState:
    return NewMailingState(
        delivery_id="d1", mailing=_MAILING, customers=customers, campaign_name=None, received_at=START
    )


def _customer(number: int, **ids: str) -> MailedCustomer:
    return MailedCustomer(vendor_id=f"v{number}", customer_ids=ids, campaign=None)


def _hear(ledger: Ledger, *items: NewMailingState) -> list[HeardMailingState]:
    with ledger.write() as connection:
        return hear_many(connection, items)


def _count(ledger: Ledger, table: Any) -> int:
    with ledger.read() as connection:
        return int(connection.execute(select(func.count()).select_from(table)).scalar_one())


def test_what_is_heard_by_many_at_once_is_owed_once(ledger: Ledger) -> None:
    customers = [_customer(number, registered=f"c{number}") for number in range(300)]

    def hear(turn: int) -> HeardMailingState:
        (heard,) = _hear(ledger, _new(*(customers if turn % 2 else reversed(customers))))
        return heard

    with ThreadPoolExecutor(6) as pool:
        heard = list(pool.map(hear, range(6)))

    assert _count(ledger, track_commands) == 300
    assert {each.with_id for each in heard} == {300}
    assert sum(each.is_new for each in heard) >= 1
    assert _hear(ledger, _new(*customers)) == [HeardMailingState(with_id=300, is_new=False)]
    assert _count(ledger, obligations) <= 6 * 6


def test_a_letter_of_ours_gives_its_ids_where_the_delivery_has_none(ledger: Ledger) -> None:
    with ledger.write() as connection:
        connection.execute(insert(mail_recipients), [_letter("r1", "v1"), _letter("r2", "v2")])

    told = _new(_customer(1), _customer(2, registered="told"), _customer(3), _customer(4, cookie="-"))
    assert _hear(ledger, told) == [HeardMailingState(with_id=2, is_new=True)]

    with ledger.read() as connection:
        found = connection.execute(select(track_commands).order_by(track_commands.c.about)).all()
    assert [(row.about, "kept-r1" in row.data, "told" in row.data) for row in found] == [
        ("r1", True, False),
        ("r2", False, True),
    ]


def test_a_delivery_about_nobody_owes_nothing(ledger: Ledger) -> None:
    assert _hear(ledger, _new()) == [HeardMailingState(with_id=0, is_new=False)]


def _letter(recipient_id: str, vendor_id: str) -> dict[str, object]:
    return {
        "id": recipient_id,
        "automation_id": "a1",
        "state": "posted",
        "is_dry_run": False,
        "received_at": START,
        "customer_ids": f'{{"registered":"kept-{recipient_id}"}}',
        "vendor_id": vendor_id,
        "trace_id": "t1",
    }
