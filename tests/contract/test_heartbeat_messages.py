"""A heartbeat goes through a lane's queue like any message: Celery's own worker takes it, and the ledger has it."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import datetime, timedelta
from pathlib import Path
from threading import Barrier, BrokenBarrierError

import pytest
import redis
from celery import Celery
from celery.contrib.testing.worker import start_worker

from clearance.clock import utc_now
from clearance.errors import BrokerUnavailable, LedgerUnavailable
from clearance.ledger import heartbeats
from clearance.ledger.engine import Ledger, open_ledger
from clearance.ledger.heartbeats import GUARDIAN, LaneBeat
from config.celery_options import celery_options
from config.settings import Settings
from tasks import heartbeat
from tasks.heartbeat import Heartbeat
from tests.fakes.clock import START, ManualClock
from tests.fakes.ledgers import new_ledger
from tests.system.processes import until
from workers import wiring
from workers.heartbeats import Heartbeats

_EVERY = timedelta(seconds=10)
_SOON_S = 20
_LANES = {"triggered", "review", "submit", "mail", "track"}


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    made = new_ledger(tmp_path)
    yield made
    made.close()


@pytest.fixture(params=["memory", pytest.param("redis", marks=pytest.mark.services)])
def settings(request: pytest.FixtureRequest) -> Settings:
    if request.param == "memory":
        return Settings(broker_url="memory://")
    url = request.getfixturevalue("redis_url")
    with redis.Redis.from_url(url) as client:
        client.flushdb()
    return Settings(broker_url=url)


@pytest.fixture
def app(settings: Settings) -> Iterator[Celery]:
    made = wiring.celery_app(settings)
    with made.connection_for_write() as connection:
        for lane in _LANES:
            connection.default_channel.queue_declare(f"clearance.{lane}", durable=True)
            connection.default_channel.queue_purge(f"clearance.{lane}")
    yield made
    made.close()


def known(ledger: Ledger) -> dict[str, LaneBeat]:
    with ledger.read() as connection:
        return heartbeats.known(connection)


def beats_of(
    ledger: Ledger, app: Celery, clock: ManualClock, looked: list[datetime] | None = None
) -> Heartbeats:
    return Heartbeats(
        ledger=ledger,
        app=app,
        every=_EVERY,
        looked_at=lambda: looked[-1] if looked else None,
        clock=clock,
        process="guardian@host",
    )


def test_a_worker_writes_down_what_came_out_of_its_queue(
    settings: Settings, app: Celery, ledger: Ledger
) -> None:
    now = utc_now()
    worked = Celery("beats", set_as_current=False)
    worked.conf.update(celery_options(settings, "mail"))
    worked.register_task(Heartbeat("mail", lambda: ledger, utc_now))
    with start_worker(
        worked,
        pool="threads",
        concurrency=1,
        queues=["clearance.mail"],
        perform_ping_check=False,
        shutdown_timeout=_SOON_S,
        loglevel="CRITICAL",
    ):
        heartbeat.send(app, ["mail", "track"], now)
        until(lambda: "mail" in known(ledger), "the heartbeat is written down", timeout_s=_SOON_S)
    worked.close()

    (beat,) = known(ledger).values()
    assert beat.heard is not None
    assert (beat.lane, beat.unanswered) == ("mail", 0)
    assert abs(beat.heard.sent_at - now) < timedelta(milliseconds=1)
    assert beat.heard.process


def test_a_guardian_asks_every_lane_and_another_one_asks_none_of_them_again(
    app: Celery, ledger: Ledger, clock: ManualClock
) -> None:
    looked = [START]
    one, other = beats_of(ledger, app, clock, looked), beats_of(ledger, app, clock)
    one.turn()
    clock.advance(1)
    other.turn()

    beats = known(ledger)
    assert set(beats) == {*_LANES, GUARDIAN}
    assert {beats[lane].asked_at for lane in _LANES} == {START}
    assert beats[GUARDIAN].heard is not None
    with app.connection_for_read() as connection:
        counts = [
            connection.default_channel.queue_declare(f"clearance.{lane}", passive=True).message_count
            for lane in sorted(_LANES)
        ]
    assert counts == [1] * len(_LANES)


def test_a_guardian_that_hangs_says_nothing_in_place_of_one_that_looks(
    app: Celery, ledger: Ledger, clock: ManualClock
) -> None:
    hung, looks = [START], [START]
    one, other = beats_of(ledger, app, clock, hung), beats_of(ledger, app, clock, looks)
    one.turn()
    looks.append(clock.advance(5))
    other.turn()
    one.turn()

    heard = known(ledger)[GUARDIAN].heard
    assert heard is not None
    assert heard.received_at == START + timedelta(seconds=5)


def test_while_the_broker_is_away_no_lane_counts_as_one_that_does_not_answer(
    ledger: Ledger, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone = wiring.celery_app(Settings(broker_url="redis://127.0.0.1:1/0", broker_socket_timeout_s=0.2))
    with pytest.raises(BrokerUnavailable) as raised:
        heartbeat.send(gone, ["mail"], START)
    assert "127.0.0.1" not in str(raised.value)

    def away(*_: object) -> None:
        raise BrokerUnavailable("broker: gone")

    monkeypatch.setattr(heartbeat, "send", away)
    beats_of(ledger, gone, clock, [START]).turn()

    assert set(known(ledger)) == {GUARDIAN}


def test_a_heartbeat_that_finds_no_ledger_is_let_go(tmp_path: Path) -> None:
    task = Heartbeat("mail", lambda: open_ledger(f"sqlite:///{tmp_path / 'empty.db'}", timeout_s=1), utc_now)
    app = Celery("beats", set_as_current=False)
    app.register_task(task)

    assert task.run(version=2, sent_ms=0, new_in_version_2=True) == "not written down: the ledger is away"
    assert task._ledger is not None
    with pytest.raises(LedgerUnavailable), task._ledger.read() as connection:
        heartbeats.known(connection)
    task._ledger.close()
    app.close()


def test_threads_that_begin_with_a_heartbeat_each_open_one_ledger_between_them(ledger: Ledger) -> None:
    opened: list[Ledger] = []
    both_are_opening = Barrier(2)

    def open_slowly() -> Ledger:
        opened.append(ledger)
        with suppress(BrokenBarrierError):
            both_are_opening.wait(timeout=0.2)
        return ledger

    task = Heartbeat("mail", open_slowly, utc_now)
    app = Celery("beats", set_as_current=False)
    app.register_task(task)
    with ThreadPoolExecutor(2) as pool:
        told = [pool.submit(task.run, version=1, sent_ms=0) for _ in range(2)]

    assert [each.result() for each in told] == ["heard, in version 1"] * 2
    assert len(opened) == 1
    app.close()


@pytest.mark.parametrize("lane", sorted(_LANES))
def test_the_worker_of_every_lane_takes_heartbeats_and_flower_is_not_told_of_them(lane: str) -> None:
    app = wiring.celery_app(Settings(broker_url="memory://"), lane, lambda: pytest.fail("no rules"))

    task = app.tasks[heartbeat.NAME]

    assert (task.name, task.send_events) == ("clearance.heartbeat", False)
    app.close()
