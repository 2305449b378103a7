"""A customer who asks for it is in no cell of the ledger any more; others are not touched; what is owed is named."""

from collections.abc import Sequence
from datetime import timedelta

from sqlalchemy import select, update

from clearance.bloomreach.commands import Command, CommandName, CommandState
from clearance.decisions.decision import Decision
from clearance.ledger import (
    address_suppressions,
    notification_retention,
    operator_actions,
    suppressions,
    track_outbox,
)
from clearance.ledger.address_suppressions import AddressSuppression, customer_keys
from clearance.ledger.chunk_bodies import load_customer_ids
from clearance.ledger.customer_traces import Traces, find
from clearance.ledger.decisions import NewDecision, stand_many
from clearance.ledger.engine import Ledger
from clearance.ledger.forget import digest, forget
from clearance.ledger.mail_ends import Answered, Posted
from clearance.ledger.mail_tables import mail_keys, mail_recipients, track_commands
from clearance.ledger.operator_actions import OperatorAction
from clearance.ledger.suppressions import Suppression
from clearance.ledger.tables import chunks as chunk_table
from clearance.ledger.tables import metadata, notifications
from clearance.obligations import Done, Parked
from tests.contract.test_ledger_plans import (
    Statements,
    watched,  # noqa: F401  # a fixture
    whole_tables_read,
)
from tests.fakes.clock import START
from tests.fakes.mail_owed import begun, letter, request, settle, take
from tests.fakes.owed import BUDGET, accept, claimed, finish, notification
from tests.fakes.told_groups import APPROVED, Work, hear, submitted_group

WHO = "anna@example.com"
OTHER = "banna@example.com"
KINDS = ("registered", "cookie")
YES = Decision(approved=True, reasons=(), rules_version="v1")


def _found(ledger: Ledger, customer: str = WHO) -> Traces:
    return find(ledger, customer, kinds=KINDS)


def _forget(ledger: Ledger, customer: str = WHO, *, with_suppressions: bool = True) -> None:
    forget(ledger, customer, _found(ledger, customer), with_suppressions=with_suppressions)


def _cells(ledger: Ledger) -> list[str]:
    """Every value of every row, with what is compressed laid open."""
    cells = []
    with ledger.read() as connection:
        for table in metadata.sorted_tables:
            for row in connection.execute(select(table)):
                for name, value in row._mapping.items():
                    if table is chunk_table and name in ("body", "answers") and value is not None:
                        cells += [f"chunks.{name}: {each}" for each in load_customer_ids(value)]
                    elif value is not None:
                        text = value.decode() if isinstance(value, bytes) else str(value)
                        cells.append(f"{table.name}.{name}: {text}")
    return cells


def _naming(ledger: Ledger, customer: str = WHO) -> list[str]:
    """The cells that hold the id: the other one ends alike, and is not meant."""
    without = OTHER if customer == WHO else "\0"
    return [cell for cell in _cells(ledger) if customer in cell.replace(without, "")]


def _notified(ledger: Ledger, name: str, *, is_done: bool = True) -> None:
    accept(ledger, notification(name, body=f'{{"customer":"{WHO}"}}'.encode()))
    with ledger.write() as connection:
        connection.execute(
            update(notifications).where(notifications.c.id == f"n-{name}").values(customer_id=WHO)
        )
        stand_many(connection, [_decision(f"n-{name}", WHO), _decision(f"n-{name}", OTHER)])
    if is_done:
        assert finish(ledger, claimed(ledger, name), Done())


def _decision(subject: str, customer: str) -> NewDecision:
    return NewDecision(
        subject=subject,
        customer_id=customer,
        decision=YES,
        inputs_digest="d",
        decided_at=START,
        inputs=f'{{"email":"{customer}"}}'.encode(),
    )


def _letters(ledger: Ledger, *customers: str, are_posted: bool = True) -> None:
    ids = [f"{customer.partition('@')[0]}-{number}" for number, customer in enumerate(customers)]
    letters = [
        letter(the_id, address=f"street of {customer}", customer_ids={"registered": customer})
        for the_id, customer in zip(ids, customers, strict=True)
    ]
    take(ledger, request(*letters))
    if are_posted:
        batch = begun(ledger, now=START + timedelta(minutes=1))
        assert settle(
            ledger,
            batch,
            Answered(results=tuple(Posted(vendor_id=f"o-{the_id}") for the_id in ids), status=200),
        )


def _tell(ledger: Ledger, *customers: str, state: CommandState) -> None:
    commands = [
        Command(
            name=CommandName.EVENT,
            data={"customer_ids": {"cookie": each}, "properties": {"id": f"{each}"}},
            about="d1",
        )
        for each in customers
    ]
    with ledger.write() as connection:
        track_outbox.add(connection, commands, now=START, trace_id="t")
        connection.execute(update(track_commands).values(state=state.value))


def _suppress(ledger: Ledger, *customers: str) -> None:
    with ledger.write() as connection:
        suppressions.add_many(
            connection,
            [
                Suppression(list_name="no", customer_id=each, added_at=START, added_by="p")
                for each in customers
            ],
        )
        address_suppressions.add_many(
            connection,
            [
                AddressSuppression(
                    customer_key=customer_keys({"registered": each})[0],
                    address_key="a1",
                    reason="R",
                    added_at=START,
                    added_by="p",
                    recipient_id=None,
                )
                for each in customers
            ],
        )


def _acted(ledger: Ledger, *customers: str) -> None:
    with ledger.write() as connection:
        for number, customer in enumerate(customers):
            action = OperatorAction(
                action_id=f"a{number}", at=START, who="p", action="x", subject=f"registered:{customer}"
            )
            operator_actions.record(connection, action)


def test_of_a_customer_nothing_is_left_in_any_cell_and_others_keep_everything(ledger: Ledger) -> None:
    _notified(ledger, "one")
    _letters(ledger, WHO, OTHER)
    _tell(ledger, WHO, OTHER, state=CommandState.PARKED)
    _suppress(ledger, WHO, OTHER)
    _acted(ledger, OTHER, WHO)
    others = _naming(ledger, OTHER)
    assert {cell.partition(":")[0] for cell in _naming(ledger)} == {
        "notifications.customer_id", "notifications.body", "decisions.customer_id", "decision_inputs.customer_id",
        "decision_inputs.inputs", "mail_recipients.customer_ids", "mail_recipients.address_key",
        "track_commands.data", "suppressions.customer_id", "address_suppressions.customer_key",
        "operator_actions.subject",
    }  # fmt: skip

    assert _found(ledger).owed == ()
    _forget(ledger)

    assert _naming(ledger) == []
    assert _naming(ledger, OTHER) == others
    assert [action.subject for action in _actions(ledger)] == [f"registered:{OTHER}", digest(WHO)]
    gone = _found(ledger)
    assert (gone.letters, gone.decisions, gone.commands, gone.suppressions, gone.owed) == ((), (), (), (), ())


def _actions(ledger: Ledger) -> Sequence[OperatorAction]:
    with ledger.read() as connection:
        return sorted(operator_actions.listed(connection), key=lambda action: action.subject, reverse=True)


def test_of_a_letter_it_stays_that_it_was_posted_and_the_same_one_is_new_again(ledger: Ledger) -> None:
    _letters(ledger, WHO)

    _forget(ledger)

    with ledger.read() as connection:
        (row,) = connection.execute(select(mail_recipients)).all()
        assert (row.state, row.automation_id) == ("posted", "automation-1")
        assert (row.payload, row.vendor_id, row.dedupe_key, row.address_key) == (None,) * 4
        assert connection.execute(select(mail_keys)).all() == []


def test_suppressions_stay_unless_they_are_to_go(ledger: Ledger) -> None:
    _suppress(ledger, WHO)

    _forget(ledger, with_suppressions=False)

    kept = _found(ledger)
    assert (kept.suppressions, kept.addresses) == (("no",), (("a1", f"registered:{WHO}"),))


def test_a_customer_may_be_named_with_the_kind_of_the_id(ledger: Ledger) -> None:
    _letters(ledger, WHO)

    assert _found(ledger, f"cookie:{WHO}").letters == ()
    assert len(_found(ledger, f"registered:{WHO}").letters) == 1


def test_what_is_owed_is_named_and_keeps_its_data(ledger: Ledger) -> None:
    _notified(ledger, "open", is_done=False)
    _letters(ledger, WHO, are_posted=False)
    _tell(ledger, WHO, state=CommandState.OPEN)
    hear(ledger, "undecided", vendor_id="1")
    Work(ledger=ledger, group_id="undecided").fetch([WHO, "C2"])
    hear(ledger, "decided", vendor_id="2")
    decided = Work(ledger=ledger, group_id="decided")
    decided.fetch([WHO])
    decided.decide(1, (WHO, APPROVED))
    hear(ledger, "of-others", vendor_id="3")
    Work(ledger=ledger, group_id="of-others").fetch([OTHER])
    before = _naming(ledger)

    found = _found(ledger)
    assert [each.rpartition(" ")[0] for each in found.owed] == [
        "notification", "group", "group", "letter", "track command",
    ]  # fmt: skip
    assert found.owed[:3] == ("notification n-open", "group decided", "group undecided")
    _forget(ledger)

    assert _naming(ledger) == before


def test_a_held_letter_waits_for_a_person_first(ledger: Ledger) -> None:
    _letters(ledger, WHO, are_posted=False)
    with ledger.write() as connection:
        connection.execute(update(mail_recipients).values(state="held"))

    assert _found(ledger).owed == ("letter anna-0",)


def test_a_group_that_has_ended_gives_its_customers_up(ledger: Ledger) -> None:
    submitted_group(ledger)
    assert _found(ledger, "C1").decisions == (("g1:1", 1, "C1"),)

    _forget(ledger, "C1")

    assert [cell for cell in _cells(ledger) if cell.endswith(": C1")] == []
    assert len([cell for cell in _cells(ledger) if cell.startswith("decisions.customer_id")]) == 3


def test_more_letters_than_a_page_holds_are_all_looked_through(ledger: Ledger, monkeypatch) -> None:
    monkeypatch.setattr("clearance.ledger.customer_traces._PAGE", 2)
    monkeypatch.setattr("clearance.ledger.forget._PORTION", 2)
    _letters(ledger, OTHER, WHO, OTHER)

    _forget(ledger)

    assert _naming(ledger) == []


def test_what_nobody_can_answer_any_more_is_emptied_a_portion_at_a_time(ledger: Ledger) -> None:
    for name in "abc":
        accept(ledger, notification(name))
        assert finish(ledger, claimed(ledger, name), Parked(reason="BUG", error="ValueError"))
    ends, after = START + BUDGET, START + 2 * BUDGET

    with ledger.write() as connection:
        assert [notification_retention.count_over(connection, each) for each in (ends, after)] == [0, 3]
        assert [notification_retention.purge(connection, after, portion=2) for _ in range(3)] == [2, 1, 0]
        assert connection.execute(select(notifications.c.body)).scalars().all() == [None] * 3


def test_to_find_what_nobody_can_answer_no_whole_table_is_read(
    watched: tuple[Ledger, Statements],  # noqa: F811  # the fixture
) -> None:
    ledger, statements = watched
    with ledger.write() as connection:
        notification_retention.count_over(connection, START)
        notification_retention.purge(connection, START)

    assert len(statements) > 1
    assert whole_tables_read(ledger, statements) == {}
