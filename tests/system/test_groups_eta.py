"""Submissions begin when they are due, to the second, whatever waits in the ledger and whatever the broker forgets."""

import time
from datetime import UTC, datetime, timedelta

import pytest

from tests.system.groups_fleet import V2, GroupsFleet, Told
from tests.system.groups_verdict import judge_groups
from tests.system.processes import until

pytestmark = [pytest.mark.timeout(120), pytest.mark.alone]

_GROUPS = 200
_WAITING = 10_000
_MARGIN_S = 4.0
_FIRST_WINDOW_S = 12.0
_SPREAD_S = 20.0
_MOST_LATE_S = 1.0


def test_submissions_begin_within_a_second_of_their_time_though_the_broker_restarts(
    here: GroupsFleet,
) -> None:
    for group in ("scheduled-customers", "scheduled-approvals"):
        limit = {"group": group, "requests": 100_000, "window_s": 10}
        here.fleet.call("PUT", "/sandbox/limits", limit)
    here.groups.owe([_waiting(number) for number in range(_WAITING)])
    started = time.monotonic()
    told = [_tell(here, number, time.monotonic() - started) for number in range(_GROUPS)]
    here.fleet.note(f"{_GROUPS} groups told of in {time.monotonic() - started:.1f} s")
    restart_at_s = _FIRST_WINDOW_S - _MARGIN_S + _SPREAD_S / 2
    until(lambda: time.monotonic() - started > restart_at_s, "the middle", timeout_s=40)
    here.fleet.kill("broker")
    here.fleet.restart("broker")
    verdicts = judge_groups(here, told)
    assert all(verdict.all_answered for verdict in verdicts)
    late_by_id = here.groups.first_call_late_s(V2)
    late_s = sorted(late_by_id[each.vendor_id] for each in told)
    assert len(late_s) == _GROUPS
    p50_s, p99_s = late_s[_GROUPS // 2], late_s[int(_GROUPS * 0.99) - 1]
    here.fleet.note(f"begun after submit_at: p50 {p50_s:.3f} s, p99 {p99_s:.3f} s, most {late_s[-1]:.3f} s")
    assert late_s[0] >= 0
    assert p99_s <= _MOST_LATE_S


def _tell(here: GroupsFleet, number: int, passed_s: float) -> Told:
    return here.tell(5, _FIRST_WINDOW_S + _SPREAD_S * number / _GROUPS - passed_s)


def _waiting(number: int) -> dict[str, object]:
    """An obligation of a day that is not near: to submit a group, which nobody needs to look up before."""
    now = datetime.now(UTC)
    run_at = now + timedelta(days=1 + number / _WAITING)
    return {
        "id": f"groups.submit:{number:032x}:1",
        "lane": "submit",
        "task": "clearance.groups.submit",
        "subject": f"{number:032x}:1",
        "state": "open",
        "created_at": now,
        "run_at": run_at,
        "deadline_at": run_at + timedelta(minutes=1),
        "publish_at": run_at - timedelta(seconds=5),
        "trace_id": "waiting",
    }
