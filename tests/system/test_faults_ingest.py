"""Ingest dies: whatever it had acknowledged is answered."""

import pytest

from tests.system.fleet import Fleet
from tests.system.verdict import judge

pytestmark = pytest.mark.timeout(90)


def test_what_a_killed_ingest_had_acknowledged_is_answered(fleet: Fleet) -> None:
    run = fleet.play(90, 30)
    fleet.wait_sent(run, 45)
    fleet.kill("ingest")
    fleet.restart("ingest")
    fleet.wait_sent(run)
    fleet.wait_sent(fleet.play(30, 30))
    verdict = judge(fleet)
    acknowledged = fleet.report()["acknowledged"]
    fleet.note(f"acknowledged: {acknowledged}")
    assert verdict.all_answered
    # Both sides of the gap were seen, and the gap.
    assert verdict.accepted >= 40 + 30
    assert acknowledged["failed"] > 0


def test_what_was_acknowledged_just_before_ingest_was_killed_needs_no_message_to_be_answered(
    fleet: Fleet,
) -> None:
    """The guardian finds what was committed, and not yet published, in the ledger."""
    fleet["broker"].freeze()
    try:
        fleet.wait_sent(fleet.play(20, 200, window_ms=12_000))
        fleet.kill("ingest")
    finally:
        fleet["broker"].thaw()
    verdict = judge(fleet)
    assert verdict.accepted == 20
    fleet.restart("ingest")
    fleet.wait_every_worker_works()
    judge(fleet)
