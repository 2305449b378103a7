"""What the publisher puts on the broker, Celery's own worker takes, and what became of it is what Flower is told."""

import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar, cast

import pytest
from celery import Celery
from celery.contrib.testing.worker import start_worker
from celery.events import EventDispatcher
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from clearance import tracing
from clearance.clock import utc_now
from clearance.errors import VendorRefused, VendorUnavailable
from clearance.ledger.group_commit import GroupCommit
from clearance.ledger.obligations import ClaimRequest, Finish
from clearance.obligations import Claimed, Due, Lane, ObligationId, Why
from config.celery_options import celery_options
from config.settings import Settings
from tasks.base import MESSAGE_VERSION, ObligationTask, Services
from tasks.leases import Leases
from tasks.publisher import CeleryPublisher
from tests.fakes.leases import HeldLeases
from tests.fakes.metrics import RecordingMetrics
from tests.fakes.owed import LEASE
from workers.otel import OtelSpans, new_provider

_TASK = "clearance.triggered.approve"
_QUEUE = "clearance.triggered"
_DEADLINE = datetime(2030, 1, 1, 12, 0, 0, 123_000, tzinfo=UTC)
_SOON_S = 20


@dataclass(frozen=True, slots=True)
class _Held:
    claimed: Claimed
    is_unconfirmed: bool = False


class _Stub(ObligationTask[_Held, Services]):
    """A lane without a ledger: what becomes of an obligation is the first word of its id."""

    name = _TASK
    lane: ClassVar[str] = "triggered"
    seen: ClassVar[list[dict[str, Any]]] = []

    def claim(self, requests: Sequence[ClaimRequest]) -> list[_Held | None]:
        if requests[0].obligation_id.startswith("break"):
            raise ValueError("what a library says of anna@example.com")
        return [self._held(request) for request in requests]

    def _held(self, request: ClaimRequest) -> _Held:
        return _Held(
            Claimed(
                obligation_id=request.obligation_id,
                lane=Lane.TRIGGERED,
                task=_TASK,
                subject="n",
                created_at=request.now,
                deadline_at=_DEADLINE,
                lease_until=request.lease_until,
                attempt=1,
                trace_id="t",
            )
        )

    def work(self, held: _Held) -> None:
        request = self.request
        self.seen.append(
            {
                "id": request.id,
                "args": request.args,
                "kwargs": request.kwargs,
                "retries": request.retries,
                "trace_id": request.trace_id,
                "at": datetime.now(UTC),
            }
        )
        if held.claimed.obligation_id.startswith("retry"):
            raise VendorUnavailable("optimove", "503 from the vendor", status=503)
        if held.claimed.obligation_id.startswith("park"):
            raise VendorRefused("optimove", 400)

    def finish(self, ends: Sequence[tuple[_Held, Finish]]) -> list[bool]:
        return [True] * len(ends)

    def last_moment(self, deadline_at: datetime) -> datetime:
        return deadline_at


class _Fleet:
    """A publisher, a worker on the lane's queue, and what Flower hears, over Celery's broker in memory."""

    def __init__(self, publish: CeleryPublisher, events: list[dict[str, Any]]) -> None:
        self.publish, self.events = publish, events

    def ran(self, *names: str) -> list[dict[str, Any]]:
        """These obligations, in the order in which they were run."""

        def found() -> list[dict[str, Any]]:
            return [request for request in _Stub.seen if request["id"] in names]

        _wait_until(lambda: len(found()) >= len(names))
        return found()

    def told(self, name: str, kind: str) -> dict[str, Any]:
        """The event of this kind about this obligation."""

        def found() -> list[dict[str, Any]]:
            return [each for each in self.events if (each["type"], each.get("uuid")) == (kind, name)]

        _wait_until(lambda: bool(found()))
        return found()[0]


@pytest.fixture(scope="module")
def fleet() -> Iterator[_Fleet]:
    app = Celery("contract", set_as_current=False)
    app.conf.update(celery_options(Settings(broker_url="memory://"), "triggered"))
    app.conf.broker_transport_options = {"polling_interval": 0.01}
    services = Services(
        commits=cast(GroupCommit, None),
        leases=cast(Leases, HeldLeases(LEASE)),
        metrics=RecordingMetrics(),
        clock=utc_now,
        pause=lambda _seconds: None,
        eta_window=timedelta(seconds=5),
    )
    app.register_task(_Stub(lambda: services))
    publisher = CeleryPublisher(app, RecordingMetrics(), publisher="guardian")
    events: list[dict[str, Any]] = []

    class Told(EventDispatcher):  # type: ignore[misc]  # Celery publishes no types
        def send(self, type: str, *_: Any, **fields: Any) -> None:
            events.append({"type": type, **fields})

    app.events.dispatcher_cls = Told
    with start_worker(
        app,
        pool="threads",
        concurrency=2,
        queues=[_QUEUE],
        perform_ping_check=False,
        shutdown_timeout=_SOON_S,
        loglevel="CRITICAL",
        task_events=True,
    ):
        yield _Fleet(publisher, events)
    publisher.close()
    app.close()


def test_celerys_worker_runs_what_was_published(fleet: _Fleet) -> None:
    fleet.publish([_due("a", attempts=3), _due("b")])

    a, b = sorted(fleet.ran("a", "b"), key=lambda request: str(request["id"]))
    kwargs = {"version": MESSAGE_VERSION, "deadline_ms": 1_893_499_200_123}
    assert (list(a["args"]), a["kwargs"], a["retries"], a["trace_id"]) == (["a"], kwargs, 3, "trace-a")
    assert (list(b["args"]), b["kwargs"], b["retries"], b["trace_id"]) == (["b"], kwargs, 0, "trace-b")
    assert fleet.told("a", "task-succeeded")["result"] == "'done'"


def test_a_trace_goes_on_in_the_worker_by_the_id_in_the_messages_header(fleet: _Fleet) -> None:
    kept, trace_id = InMemorySpanExporter(), f"{7:032x}"
    provider = new_provider()
    provider.add_span_processor(SimpleSpanProcessor(kept))
    tracing.use(OtelSpans(provider))
    try:
        fleet.publish([replace(_due("traced"), trace_id=trace_id)])
        fleet.told("traced", "task-succeeded")
    finally:
        tracing.use(None)

    spans = [span for span in kept.get_finished_spans() if span.context.trace_id == 7]
    assert [span.name for span in spans] == ["message.publish", "message.take"]
    assert {span.parent.span_id for span in spans} == {7}


def test_celerys_worker_waits_for_the_eta_and_no_longer(fleet: _Fleet) -> None:
    eta = datetime.now(UTC) + timedelta(seconds=0.6)

    fleet.publish([_due("later", eta=eta), _due("now")])

    first, second = fleet.ran("later", "now")
    assert (first["id"], second["id"]) == ("now", "later")
    assert timedelta(0) <= second["at"] - eta < timedelta(seconds=1.5)


def test_flower_hears_of_a_retry_with_its_exception_attempt_and_time(fleet: _Fleet) -> None:
    fleet.publish([_due("retry-1", attempts=2)])

    told = fleet.told("retry-1", "task-retried")
    assert "attempt 1 failed, next at " in told["exception"]
    assert "optimove: 503 from the vendor" in told["exception"]
    received = fleet.told("retry-1", "task-received")
    assert (received["name"], received["args"], received["kwargs"]) == (_TASK, "('retry-1',)", "{}")
    assert received["retries"] == 2


def test_flower_hears_of_a_parked_one_as_failed_with_its_reason(fleet: _Fleet) -> None:
    fleet.publish([_due("park-1")])

    told = fleet.told("park-1", "task-failed")
    assert told["exception"] == "ObligationParked('VendorRefused: optimove: 400 request refused')"


def test_flower_hears_only_the_type_of_an_error_that_nobody_expected(fleet: _Fleet) -> None:
    fleet.publish([_due("break-1")])

    told = fleet.told("break-1", "task-failed")
    assert told["exception"] == "TaskBroken('ValueError')"
    assert "anna" not in repr([each for each in fleet.events if each.get("uuid") == "break-1"])


def test_of_several_in_one_message_each_is_shown_to_flower_as_if_it_had_been_alone(fleet: _Fleet) -> None:
    names = ("fine-2", "retry-2", "park-2")

    fleet.publish([_due(name, why=Why.ACCEPTED) for name in names])

    (first, _, _) = fleet.ran("fine-2+2", "fine-2+2", "fine-2+2")
    assert tuple(first["args"]) == names
    assert fleet.told("fine-2+2", "task-succeeded")["result"] == "'1 of 3 done'"
    assert "attempt 1 failed, next at " in fleet.told("retry-2", "task-retried")["exception"]
    received = fleet.told("retry-2", "task-received")
    assert (received["name"], received["args"], received["retries"]) == (_TASK, "('retry-2',)", 0)
    told = fleet.told("park-2", "task-failed")
    assert told["exception"] == "ObligationParked('VendorRefused: optimove: 400 request refused')"


def _due(name: str, *, eta: datetime | None = None, attempts: int = 0, why: Why = Why.DUE) -> Due:
    return Due(
        obligation_id=ObligationId(name),
        lane=Lane.TRIGGERED,
        task=_TASK,
        eta=eta,
        deadline_at=_DEADLINE,
        attempts=attempts,
        trace_id=f"trace-{name}",
        why=why,
    )


def _wait_until(is_so: Callable[[], bool]) -> None:
    ended = threading.Event()
    for _ in range(_SOON_S * 100):
        if is_so():
            return
        ended.wait(0.01)
    raise AssertionError("it did not happen")
