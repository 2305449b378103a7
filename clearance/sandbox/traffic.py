"""How is a play played? Open loop: request i leaves at t0 + i / rate, whatever became of the earlier ones.

What could not leave on time leaves at once, and how late is recorded: a report whose `behind_schedule_ms` is large
measured the sandbox, not the receiver. Bounded by count, rate and the sender's timeout (rate x timeout in flight).
"""

import asyncio
import hmac
import random
import uuid
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum

from yarl import URL

from clearance.sandbox import notifications
from clearance.sandbox.plan import Play, Step, steps
from clearance.sandbox.record import Kind, Record
from clearance.sandbox.times import Times

SIGNATURE_HEADER = "optimove-signature-content"
_ORIGINALS_KEPT = 256
# Requests sent in one go when behind schedule, before replies get a turn.
_BURST = 32

Post = Callable[[URL, bytes, Mapping[str, str]], Awaitable[int | None]]


class RunState(StrEnum):
    """How far a run is; done: everything sent, and each request acknowledged or failed."""

    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"


@dataclass(slots=True, kw_only=True)
class Run:
    """A play under way."""

    play: Play
    targets: tuple[URL, ...]
    window_ms: int
    secret: str
    record: Record
    run_id: str = field(default_factory=lambda: uuid.uuid4().hex)
    state: RunState = RunState.RUNNING
    sent: int = 0
    in_flight: set[asyncio.Task[None]] = field(default_factory=set)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Original:
    row: int
    customer: int
    sent_at_s: float
    deadline_at_ms: int
    body: bytes


class Player:
    """Plays runs, each as fast as its rate says, through `post`."""

    def __init__(self, post: Post, times: Times) -> None:
        self._post = post
        self._times = times

    async def play(self, run: Run) -> None:
        """Send everything and wait for the replies; on failure or cancellation nothing is left in flight."""
        try:
            await self._send_all(run)
            await asyncio.gather(*run.in_flight)
            run.state = RunState.DONE
        finally:
            if run.state is not RunState.DONE:
                run.state = RunState.FAILED
            for task in run.in_flight:
                task.cancel()

    async def _send_all(self, run: Run) -> None:
        rng = random.Random(run.play.seed)
        originals: deque[_Original] = deque(maxlen=_ORIGINALS_KEPT)
        start_s, burst = self._times.monotonic_s(), 0
        for step in steps(run.play, rng):
            due_at_s = start_s + step.slot / run.play.rate_per_s
            wait_s = due_at_s - self._times.monotonic_s()
            burst += 1
            if wait_s > 0 or burst >= _BURST:
                await self._times.sleep(max(wait_s, 0))
                burst = 0
            self._send(run, step, rng, originals, due_at_s)
            run.sent += 1

    def _send(
        self, run: Run, step: Step, rng: random.Random, originals: deque[_Original], due_at_s: float
    ) -> None:
        now_s, now_ms = self._times.monotonic_s(), self._times.wall_ms()
        behind_ms = max(now_s - due_at_s, 0.0) * 1000
        if step.kind is Kind.DUPLICATE:
            original = _choose(originals, step, rng, now_s - run.window_ms / 2000)
            row = run.record.add(
                Kind.DUPLICATE,
                customer=original.customer,
                sent_at_s=now_s,
                deadline_at_ms=original.deadline_at_ms,
                behind_ms=behind_ms,
                original=original.row,
            )
            self._deliver(run, row, original.body, _sign(run.secret, original.body))
            return
        timestamp_ms = now_ms
        if step.kind is Kind.EXPIRED:
            timestamp_ms -= run.window_ms + rng.randint(1000, 5000)
        customer = notifications.FIRST_CUSTOMER + rng.randrange(notifications.CUSTOMERS)
        deadline_at_ms = timestamp_ms + run.window_ms
        row = run.record.add(
            step.kind, customer=customer, sent_at_s=now_s, deadline_at_ms=deadline_at_ms, behind_ms=behind_ms
        )
        body = notifications.write(
            row=row,
            request_uid=run.record.request_uid(row),
            customer=customer,
            date=_date(timestamp_ms),
            timestamp_ms=timestamp_ms,
            deadline_at_ms=deadline_at_ms,
        )
        if step.kind is Kind.MALFORMED:
            body = notifications.spoil(body, rng)
        signature = _sign(run.secret, body)
        if step.kind is Kind.BAD_SIGNATURE:
            signature = _sign(f"not {run.secret}", body)
        if step.kind is Kind.VALID:
            originals.append(
                _Original(
                    row=row, customer=customer, sent_at_s=now_s, deadline_at_ms=deadline_at_ms, body=body
                )
            )
        self._deliver(run, row, body, signature)

    def _deliver(self, run: Run, row: int, body: bytes, signature: str) -> None:
        headers = {SIGNATURE_HEADER: signature} if signature else {}
        for target in run.targets:
            task = asyncio.create_task(self._deliver_to(run.record, row, target, body, headers))
            run.in_flight.add(task)
            task.add_done_callback(run.in_flight.discard)

    async def _deliver_to(
        self, record: Record, row: int, target: URL, body: bytes, headers: Mapping[str, str]
    ) -> None:
        status = await self._post(target, body, headers)
        record.acknowledge(row, status, read_at_s=self._times.monotonic_s())


def _choose(originals: deque[_Original], step: Step, rng: random.Random, not_before_s: float) -> _Original:
    """A twin's original is the last; another's is one that still has half of its window."""
    while len(originals) > 1 and originals[0].sent_at_s < not_before_s:
        originals.popleft()
    return originals[-1] if step.is_twin else rng.choice(originals)


def _sign(secret: str, body: bytes) -> str:
    """Hex HMAC-SHA256 of the raw body; empty without a secret. Source: facts sheet, "Signature"."""
    return hmac.digest(secret.encode(), body, "sha256").hex() if secret else ""


def _date(timestamp_ms: int) -> bytes:
    return datetime.fromtimestamp(timestamp_ms / 1000, tz=UTC).strftime("%Y-%m-%d").encode()
