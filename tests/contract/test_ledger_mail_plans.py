"""No statement of a letter's life may read a whole table, and whose turn it is costs the same however much waits."""

from datetime import timedelta

from clearance.bloomreach.feedback import Feedback
from clearance.ledger import (
    address_suppressions,
    mail_held,
    mail_posting,
    mail_reads,
    mail_retention,
    operator_actions,
)
from clearance.ledger.engine import Ledger
from clearance.ledger.mail_ends import Answered, Failed, Held, NotSent, Posted, Split
from clearance.mail_states import BatchState, HeldReason, RecipientState, Resolution
from clearance.obligations import Retry
from tests.contract.test_ledger_plans import (
    Statements,
    plan_of,
    watched,  # noqa: F401  # a fixture
    whole_tables_read,
)
from tests.fakes.clock import START
from tests.fakes.mail_owed import begun, letter, next_due, refused, request, settle, take, take_letters

LATER = START + timedelta(days=1)
HELD = Held(reason=HeldReason.MAY_HAVE_ARRIVED, error="timed out")
# Small: one row for each automation.
_READ_WHOLE = "SCAN mail_turns"


def test_no_statement_in_the_life_of_a_letter_reads_a_whole_table(
    watched: tuple[Ledger, Statements],  # noqa: F811  # the fixture
) -> None:
    ledger, statements = watched
    _live_through_everything(ledger)
    assert len(statements) > 60

    read = whole_tables_read(ledger, statements)
    assert {step for step in read.values() if step != _READ_WHOLE} == set()
    assert len(read) == 1, "only who is next reads all turns"


def _live_through_everything(ledger: Ledger) -> None:
    """Taken, twice; filled; retried; answered; split; held and resolved; refused and suppressed."""
    feedback = Feedback(address_property="is_valid", consent_category="mail")
    take(ledger, request(*map(letter, "abcd"), refused("r"), feedback=feedback))
    take(ledger, request(letter("a2", same_as="a"), letter("e"), letter("f"), feedback=feedback))
    batch = begun(ledger)
    retry = Retry(run_at=START, reason="VendorUnavailable", error="500")
    assert settle(ledger, batch, NotSent(error="500"), outcome=retry)
    batch = begun(ledger, now=START)
    results = (Posted(vendor_id="v1"), Failed(message="no"), Posted(vendor_id="v2"))
    assert settle(ledger, batch, Answered(results=results, status=200), feedback=feedback)
    batch = begun(ledger)
    assert settle(ledger, batch, Split(error="HTTP 422", status=422))
    batch = begun(ledger)
    assert settle(ledger, batch, HELD)
    with ledger.write() as connection:
        resolved = mail_held.resolve(
            connection,
            batch.batch_id,
            how=Resolution.DROP,
            who="ada",
            why=None,
            now=START,
            feedback=feedback,
        )
        assert resolved.is_resolved
        assert mail_posting.posting_until(connection, START, timedelta(seconds=60)) is None
        assert mail_reads.oldest_waiting_at(connection) == START
    take(ledger, request(letter("b2", same_as="b"), letter("e2", same_as="e"), feedback=feedback))


def test_neither_does_what_operators_read(
    watched: tuple[Ledger, Statements],  # noqa: F811  # the fixture
) -> None:
    ledger, statements = watched
    take_letters(ledger, *"abc")
    statements.clear()
    with ledger.write() as connection:
        mail_reads.recipients(connection, automation_id="x", state=RecipientState.FAILED, before_id="x")
        mail_reads.recipients(connection, state=RecipientState.FAILED)
        mail_reads.recipient(connection, "a")
        mail_reads.batches(connection, automation_id="x", before_id="x")
        mail_reads.batches(connection, state=BatchState.READY)
        mail_reads.letters(connection, "x")
        mail_reads.held(connection)
        mail_reads.failed(connection, automation_id="x", since=START)
        address_suppressions.listed(connection, customer_key="x", limit=10)
        address_suppressions.remove(connection, customer_key="x", recipient_id="a")
        operator_actions.listed(connection, subject="x")
        mail_retention.count_older(connection, LATER)
        mail_retention.purge(connection, LATER)
        mail_retention.purge_keys(connection, LATER)
    assert len(statements) > 15

    assert whole_tables_read(ledger, statements) == {}


def test_whose_turn_it_is_is_found_among_what_waits_and_not_sorted(
    watched: tuple[Ledger, Statements],  # noqa: F811  # the fixture
) -> None:
    ledger, statements = watched
    take_letters(ledger, *"abc")
    statements.clear()

    assert next_due(ledger, START) is not None
    steps = plan_of(ledger, statements, "SELECT")

    assert any("ix_mail_batches_waiting" in step for step in steps)
    assert any("ix_mail_batches_state" in step for step in steps)
    assert any("ix_obligations_subject" in step for step in steps)
    assert not any("USE TEMP B-TREE" in step for step in steps)
