"""The ledger goes away and comes back: nothing is acknowledged without it, and nothing acknowledged is lost."""

import time
import zlib
from collections.abc import Iterator

import pytest

from tests.integration.private_postgres import PrivatePostgres, private_postgres
from tests.system.fleet import SECRET, Fleet, FleetPlan, running
from tests.system.processes import until
from tests.system.signed import as_json, notification, signed
from tests.system.verdict import judge

pytestmark = pytest.mark.timeout(120)


@pytest.fixture(scope="module")
def postgres() -> Iterator[PrivatePostgres]:
    with private_postgres() as server:
        yield server


@pytest.fixture(scope="module")
def _fleet(postgres: PrivatePostgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    with running(tmp_path_factory.mktemp("fleet"), FleetPlan(ledger_url=postgres.url)) as fleet:
        yield fleet


@pytest.fixture
def fleet(_fleet: Fleet, request: pytest.FixtureRequest) -> Fleet:
    _fleet.begin(zlib.crc32(request.node.name.encode()) % 10_000)
    return _fleet


def test_a_ledger_that_is_down_for_two_seconds_costs_refusals_and_no_acknowledged_notification(
    fleet: Fleet, postgres: PrivatePostgres
) -> None:
    fleet.put_faults(latency_ms=200, latency_jitter_ms=600)
    run = fleet.play(180, 30, window_ms=10_000)
    fleet.wait_sent(run, 60)
    postgres.stop()
    fleet.disturbed.add("ledger")
    answers, stopped = [], time.monotonic()
    until(
        lambda: answers.append(_posted(fleet)) or time.monotonic() - stopped > 2,
        "two seconds",
        timeout_s=10,
        every_s=0.2,
    )
    ready = fleet.get("/readyz").status
    postgres.start()
    again_s = until(lambda: _posted(fleet)[0] == 202, "it is acknowledged again", timeout_s=5)
    fleet.note(
        f"down for {time.monotonic() - stopped:.2f} s, acknowledged {again_s:.2f} s after the ledger was back"
    )
    fleet.wait_sent(run)
    fleet.wait_sent(fleet.play(30, 30, window_ms=10_000))
    verdict = judge(fleet)
    acknowledged = fleet.report()["acknowledged"]
    fleet.note(f"acknowledged {acknowledged}, while it was down: {sorted(set(answers))}, ready {ready}")
    assert set(answers) == {(503, "1")}
    assert ready == 503
    assert again_s < 1
    assert acknowledged["503"] > 20
    assert acknowledged["202"] >= 50 + 30
    assert acknowledged["failed"] == 0
    assert verdict.all_answered
    assert fleet.get("/readyz").status == 200
    fleet.note(f"every worker works again after {fleet.wait_every_worker_works():.2f} s")
    judge(fleet)


def test_a_ledger_that_comes_back_after_the_deadlines_has_each_of_them_recorded_as_missed_or_answered(
    fleet: Fleet, postgres: PrivatePostgres
) -> None:
    fleet.put_faults(hang=1.0, hang_s=30)
    fleet.wait_sent(fleet.play(30, 60, window_ms=3000))
    until(lambda: fleet.injected("hang") >= 30, "every approval hangs", timeout_s=3)
    postgres.stop()
    fleet.disturbed.add("ledger")
    fleet.clear_faults()
    until(lambda: fleet.report()["pending"] == 0, "all deadlines are over", timeout_s=8)
    postgres.start()
    verdict = judge(fleet)
    assert verdict.accepted == 30
    fleet.wait_every_worker_works()
    judge(fleet)


def _posted(fleet: Fleet) -> tuple[int, str | None]:
    body = as_json(notification())
    answer = fleet.post(body, signed(body, SECRET))
    return answer.status, answer.headers.get("Retry-After")
