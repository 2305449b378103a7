"""Traffic leaves on schedule, signed, and as mixed as it was ordered."""

import asyncio
import hashlib
import hmac
import json
from collections.abc import Mapping

import pytest
from yarl import URL

from clearance.sandbox.plan import Play, PlaySchema
from clearance.sandbox.record import Kind, Record
from clearance.sandbox.traffic import SIGNATURE_HEADER, Player, Run, RunState
from tests.unit.sandbox.harness import START_MS, ManualTimes

TARGET = URL("http://127.0.0.1:8080/hook")
SECRET = "abcdefg"


class _Receiver:
    def __init__(self, status: int | None = 202) -> None:
        self.status = status
        self.requests: list[tuple[bytes, str | None]] = []
        self.free = asyncio.Event()
        self.free.set()

    async def post(self, url: URL, body: bytes, headers: Mapping[str, str]) -> int | None:
        self.requests.append((body, headers.get(SIGNATURE_HEADER)))
        await self.free.wait()
        return self.status


def _run(secret: str = SECRET, targets: tuple[URL, ...] = (TARGET,), **settings: object) -> Run:
    play = PlaySchema().load({"count": 100, "rate_per_s": 10, **settings})
    assert isinstance(play, Play)
    return Run(play=play, targets=targets, window_ms=5000, secret=secret, record=Record())


def _play(run: Run, receiver: _Receiver, clock: ManualTimes | None = None) -> None:
    asyncio.run(Player(receiver.post, (clock or ManualTimes()).times()).play(run))


def _is_signed(body: bytes, signature: str | None) -> bool:
    return signature == hmac.new(SECRET.encode(), body, hashlib.sha256).hexdigest()


def test_request_i_leaves_i_over_rate_seconds_after_the_start() -> None:
    run = _run(count=30)
    _play(run, _Receiver())
    assert list(run.record.sent_at_s) == pytest.approx([number / 10 for number in range(30)])
    assert max(run.record.behind_ms) == pytest.approx(0, abs=0.001)
    assert run.state is RunState.DONE


def test_a_receiver_that_never_answers_delays_nothing() -> None:
    async def play() -> None:
        receiver = _Receiver()
        receiver.free.clear()
        task = asyncio.create_task(Player(receiver.post, ManualTimes().times()).play(run))
        while run.sent < 30:
            await asyncio.sleep(0)
        assert list(run.record.sent_at_s) == pytest.approx([number / 10 for number in range(30)])
        assert run.state is RunState.RUNNING
        receiver.free.set()
        await task

    run = _run(count=30)
    asyncio.run(play())
    assert run.state is RunState.DONE


def test_what_leaves_late_is_recorded_as_behind_schedule_and_the_schedule_is_caught_up_with() -> None:
    class Stalling(ManualTimes):
        async def sleep(self, wait_s: float) -> None:
            await super().sleep(wait_s + (0.35 if len(self.slept_s) == 4 else 0.0))

    run = _run(count=20)
    _play(run, _Receiver(), Stalling())
    late = [round(behind) for behind in run.record.behind_ms if behind > 1]
    assert late == [350, 250, 150, 50]
    assert run.record.sent_at_s[19] == pytest.approx(1.9)


def test_every_kind_is_sent_as_often_as_ordered_and_only_bad_signatures_are_wrong() -> None:
    run, receiver = (
        _run(mix={"duplicate": 0.1, "bad_signature": 0.1, "malformed": 0.1, "expired": 0.1}),
        _Receiver(),
    )
    _play(run, receiver)
    assert run.record.sent_by_kind == [60, 10, 10, 10, 10]
    wrong = [body for body, signature in receiver.requests if not _is_signed(body, signature)]
    assert len(receiver.requests) == 100
    assert len(wrong) == 10
    assert all(json.loads(body)["request_uid"] for body in wrong)


def test_duplicates_are_the_same_bytes_as_an_earlier_valid_notification() -> None:
    run, receiver = _run(mix={"duplicate": 0.3}), _Receiver()
    _play(run, receiver)
    bodies = [body for body, _ in receiver.requests]
    record = run.record
    duplicates = [row for row in range(100) if record.kinds[row] == Kind.DUPLICATE]
    assert len(duplicates) == 30
    for row in duplicates:
        original = record.originals[row]
        assert original < row
        assert record.kinds[original] == Kind.VALID
        assert bodies[row] == bodies[original]
        assert record.sent_at_s[row] - record.sent_at_s[original] <= 2.6, "half of its window is left"
    ages = [record.sent_at_s[row] - record.sent_at_s[record.originals[row]] for row in duplicates]
    assert min(ages) == pytest.approx(0)
    assert max(ages) > 0.5


def test_valid_notifications_have_their_whole_window_and_expired_ones_none() -> None:
    run, receiver = _run(mix={"expired": 0.5}), _Receiver()
    _play(run, receiver)
    for row, (body, _) in enumerate(receiver.requests):
        sent, sent_at_ms = json.loads(body), START_MS + round(run.record.sent_at_s[row] * 1000)
        left_ms = sent["conditional_execution_approval_deadline"] - sent_at_ms
        assert sent["conditional_execution_approval_deadline"] - sent["timestamp"] == 5000
        if run.record.kinds[row] == Kind.EXPIRED:
            assert -5001 <= left_ms <= -999
        else:
            assert abs(left_ms - 5000) <= 1


def test_without_a_secret_nothing_is_signed_but_what_must_be_wrong() -> None:
    run, receiver = _run(secret="", mix={"bad_signature": 0.1}), _Receiver()
    _play(run, receiver)
    assert sum(signature is not None for _, signature in receiver.requests) == 10


def test_all_targets_get_every_notification() -> None:
    run, receiver = _run(count=5, targets=(TARGET, URL("http://127.0.0.1:9/hook"))), _Receiver()
    _play(run, receiver)
    assert len(receiver.requests) == 10
    assert len(run.record) == 5
    assert run.record.status_by_kind[Kind.VALID] == {"202": 10}


def test_a_request_without_a_reply_is_counted_as_failed() -> None:
    run = _run(count=5)
    _play(run, _Receiver(status=None))
    assert run.record.status_by_kind[Kind.VALID] == {"failed": 5}


def test_the_same_seed_sends_the_same_customers() -> None:
    one, two, other = _run(seed=1), _run(seed=1), _run(seed=2)
    for run in (one, two, other):
        _play(run, _Receiver())
    assert one.record.customers == two.record.customers
    assert one.record.customers != other.record.customers
    assert one.record.request_uid(0) != two.record.request_uid(0), "a receiver would take it for a duplicate"


def test_a_cancelled_run_has_failed_and_leaves_nothing_in_flight() -> None:
    async def play() -> None:
        receiver = _Receiver()
        receiver.free.clear()
        task = asyncio.create_task(Player(receiver.post, ManualTimes().times()).play(run))
        while not receiver.requests:
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert not run.in_flight

    run = _run()
    asyncio.run(play())
    assert run.state is RunState.FAILED
