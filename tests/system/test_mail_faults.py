"""Letters while one thing after the other goes wrong: none is lost, none is printed twice, nobody waits for long."""

import random
import subprocess
import time
import zlib
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.system.mail_fleet import MOST_IN_FLIGHT, TIMEOUT_S, WORKERS, MailFleet, mail_running
from tests.system.mail_ledger import BatchRow
from tests.system.mail_letters import Order, Recipient, people
from tests.system.mail_verdict import judge_mail
from tests.system.processes import until

pytestmark = pytest.mark.timeout(120)

_WAIT_S = 30.0


@pytest.fixture(scope="module")
def _fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MailFleet]:
    with mail_running(tmp_path_factory.mktemp("mail-faults")) as here:
        yield here


@pytest.fixture
def here(_fleet: MailFleet, request: pytest.FixtureRequest) -> MailFleet:
    """Healthy, with automations of the test's own. The test's name seeds it."""
    _fleet.begin(zlib.crc32(request.node.name.encode()) % 10_000)
    return _fleet


def _order(recipients: Sequence[Recipient]) -> Order:
    return Order(at_s=0, automation_id=recipients[0].automation_id, recipients=tuple(recipients))


def _batches(here: MailFleet, automation_id: str) -> list[BatchRow]:
    return here.mail.batches([automation_id])


def test_a_request_repeated_because_ingest_died_over_it_is_printed_once(here: MailFleet) -> None:
    chosen = random.Random(here.fleet.seed)
    made = [_order(people(f"repeated-{number}", here.automations[0], 60)) for number in range(12)]

    with here.handing_over(made * 2) as handed:
        for _ in range(3):
            began = time.monotonic()
            pause_s = chosen.uniform(0, 0.1)
            until(lambda: time.monotonic() - began >= pause_s, "the moment", timeout_s=5)  # noqa: B023 - called at once
            here.kill("ingest")
            here.fleet.wait_ready("ingest")
    answered = [each.result() for each in handed]

    verdict = judge_mail(here, answered)
    assert verdict.states == {"posted": 720}
    assert max(each.times for each in answered) > 1, "nothing was shown: no request was repeated"


def test_letters_leave_when_a_guardian_is_back(here: MailFleet) -> None:
    here.fleet.kill("guardian1")
    here.fleet.kill("guardian2")
    answered = [here.hand_over(_order(people("unguarded", each, 5))) for each in here.automations]

    here.fleet.restart("guardian2")

    assert judge_mail(here, answered).states == {"posted": 20}


def test_a_vendor_that_is_away_costs_time_and_holds_nothing(here: MailFleet) -> None:
    here.line.take_away()
    answered = [here.hand_over(_order(people("away", each, 150))) for each in here.automations]
    until(
        lambda: any("no connection" in here.fleet[name].all_output() for name in WORKERS),
        "somebody has tried",
        timeout_s=_WAIT_S,
    )

    here.line.restore()

    assert judge_mail(here, answered).states == {"posted": 600}


def test_workers_that_are_stopped_hold_nothing(here: MailFleet) -> None:
    here.put_faults(latency_ms=300)
    answered = [here.hand_over(_order(people("stopped", here.automations[0], 1_000)))]
    until(lambda: here.seen()["in_flight"] == 2, "two requests are in flight", timeout_s=_WAIT_S)

    with ThreadPoolExecutor() as pool:
        list(pool.map(lambda name: here.fleet[name].stop(), WORKERS))
    assert here.mail.unfinished(here.automations), "nothing was shown: everything was posted already"
    here.fleet.start_dead()

    assert judge_mail(here, answered).states == {"posted": 1_000}


def test_a_batch_leaves_when_it_is_full_and_the_rest_when_it_has_waited(here: MailFleet) -> None:
    answered = here.hand_over(_order(people("full", here.automations[0], 105)))

    assert judge_mail(here, [answered]).states == {"posted": 105}
    rest, full = sorted(_batches(here, here.automations[0]), key=lambda each: each.recipients)
    assert (full.recipients, rest.recipients) == (100, 5)
    assert full.sent_at
    assert rest.sent_at
    here.fleet.note(
        f"the full one left after {full.sent_at - full.due_at}, the rest {rest.sent_at - rest.due_at} late"
    )
    assert full.sent_at < rest.due_at <= rest.sent_at
    assert (rest.sent_at - rest.due_at).total_seconds() < 1.5


def test_an_automation_that_starts_late_does_not_wait_for_a_big_one(here: MailFleet) -> None:
    big, small = here.automations[:2]
    here.put_faults(latency_ms=300)
    answered = [here.hand_over(_order(people(f"big-{number}", big, 1_000))) for number in range(2)]
    answered.append(here.hand_over(_order(people("small", small, 5))))

    assert judge_mail(here, answered).states == {"posted": 2_005}
    (late,) = _batches(here, small)
    sent_at = [each.sent_at for each in _batches(here, big) if each.sent_at]
    assert late.sent_at
    waited_s = (late.sent_at - late.due_at).total_seconds()
    after = sum(each > late.sent_at for each in sent_at)
    here.fleet.note(
        f"the small one waited {waited_s:.3f} s, {after} of {len(sent_at)} batches of the big one came after"
    )
    # One request, and a little; the big one goes on for seconds.
    assert waited_s < 1.0
    assert after >= 5


def test_requests_that_go_on_at_the_vendor_are_waited_for_though_redis_has_forgotten_them(
    here: MailFleet,
) -> None:
    # Nobody waits for so long: both are held before the vendor is done with them.
    here.put_faults(latency_ms=1000 * TIMEOUT_S + 2000)
    answered = [here.hand_over(_order(people("forgotten", here.automations[0], 400)))]
    until(
        lambda: [each.state for each in _batches(here, here.automations[0])].count("held") == MOST_IN_FLIGHT,
        "both are held",
        timeout_s=_WAIT_S,
    )
    here.put_faults(latency_ms=100)
    assert here.seen()["in_flight"] == MOST_IN_FLIGHT

    here.wipe()
    # Full batches are published at once, so that somebody asks for a slot.
    answered += [here.hand_over(_order(people("new", each, 100))) for each in here.automations[1:]]

    assert judge_mail(here, answered).states == {"held": 200, "posted": 500}


def test_a_dry_run_posts_nothing_and_is_no_duplicate_of_the_letter(here: MailFleet) -> None:
    order = _order(people("rehearsed", here.automations[0], 150))

    rehearsed = here.post(order, headers={"X-Clearance-Dry-Run": "1"}).json()
    here.wait_ended(timeout_s=_WAIT_S)

    assert (rehearsed["dryRun"], rehearsed["queued"]) == (True, 150)
    assert here.seen()["requests"] == 0
    assert Counter(row.state for row in here.mail.letters(here.automations)) == {"rehearsed": 150}

    told = here.hand_over(order)
    here.wait_ended(timeout_s=_WAIT_S)

    assert not any(result.get("duplicate") for result in told.results)
    assert (here.seen()["printed"], here.seen()["printed_twice"]) == (150, 0)


def test_letters_that_wait_are_not_posted_by_a_worker_that_posts_nothing(here: MailFleet) -> None:
    for name in WORKERS:
        here.fleet[name].stop()
    here.hand_over(_order(people("waits", here.automations[0], 100)))
    with here.another_worker(CLEARANCE_MAIL_DRY_RUN="true"):
        rehearsed = _order(people("rehearsed-first", here.automations[1], 100))
        here.post(rehearsed, headers={"X-Clearance-Dry-Run": "1"})
        until(
            lambda: [each.state for each in _batches(here, here.automations[1])] == ["rehearsed"],
            "the rehearsal is over",
            timeout_s=_WAIT_S,
        )
    assert here.seen()["requests"] == 0

    here.fleet.start_dead()
    here.wait_ended(timeout_s=_WAIT_S)

    assert Counter(row.state for row in here.mail.letters(here.automations)) == {
        "posted": 100,
        "rehearsed": 100,
    }
    assert (here.seen()["printed"], here.seen()["printed_twice"]) == (100, 0)


def test_a_wrong_key_pauses_the_lane_and_nothing_is_lost(here: MailFleet) -> None:
    here.put_faults(latency_ms=100)
    for name in WORKERS:
        here.fleet[name].stop()
    answered = [here.hand_over(_order(people("wrong", each, 250))) for each in here.automations]
    with here.another_worker(CLEARANCE_OPTILYZ_API_KEY="another-key") as wrong:
        until(lambda: "lane.paused" in wrong.all_output(), "the lane is paused", timeout_s=_WAIT_S)
    refused = here.seen()["requests"]
    assert refused == here.seen()["unauthorized"] <= 2
    # The key is right again, and still nobody posts before a person says so.
    here.fleet.start_dead()
    answered.append(here.hand_over(_order(people("later", here.automations[0], 100))))
    assert "PAUSED" in here.fleet.command("mail", "status")
    assert here.seen()["requests"] == refused

    here.fleet.command("lanes", "resume", "mail", "--why", "the key is right again")

    assert judge_mail(here, answered).states == {"posted": 1_100}


def test_of_two_operators_one_decides_and_the_letters_are_printed_once(here: MailFleet) -> None:
    # Cut before the vendor has taken it: to post it again is right.
    here.put_faults(reset=1.0, times=1)
    here.hand_over(_order(people("held", here.automations[0], 100)))
    here.wait_ended(timeout_s=_WAIT_S)
    ((batch_id, state),) = [(each.batch_id, each.state) for each in _batches(here, here.automations[0])]
    assert (state, here.seen()["printed"]) == ("held", 0)

    with ThreadPoolExecutor(3) as pool:
        done = list(pool.map(lambda _: _resolve(here, batch_id), range(3)))

    assert sorted(each.returncode for each in done) == [0, 1, 1], [each.stderr for each in done]
    here.wait_ended(timeout_s=_WAIT_S)
    assert Counter(row.state for row in here.mail.letters(here.automations)) == {"posted": 100}
    assert (here.seen()["printed"], here.seen()["printed_twice"]) == (100, 0)
    assert len(here.mail.actions(batch_id)) == 1


def _resolve(here: MailFleet, batch_id: str) -> subprocess.CompletedProcess[str]:
    return here.command("mail", "held", "resolve", batch_id, "--repost", "--why", "none is there", "--yes")
