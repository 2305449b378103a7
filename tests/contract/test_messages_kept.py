"""Messages outlive a deploy: a stored one of every version and every task is still what a worker takes.

The samples are messages as they were on the broker, with everything that Celery wrote. None is ever changed. A new task
gets its sample with `python -m tests.contract.test_messages_kept`, which writes those that are missing; so does every
task when `MESSAGE_VERSION` rises, and the heartbeat when its own version does.
"""

import inspect
import json
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, ClassVar

import pytest
from celery import Celery
from celery.contrib.testing.worker import start_worker

from clearance.clock import utc_now
from clearance.ledger import heartbeats
from clearance.ledger.engine import Ledger
from clearance.ledger.heartbeats import Heard
from clearance.obligations import Due, Lane, ObligationId, Why
from config.celery_options import celery_options
from config.settings import Settings
from tasks import heartbeat
from tasks.base import MESSAGE_VERSION, ObligationTask
from tasks.heartbeat import Heartbeat
from tasks.publisher import CeleryPublisher
from tests.fakes.ledgers import new_ledger
from tests.fakes.metrics import RecordingMetrics
from tests.system.processes import until
from workers import wiring

_SAMPLES = Path(__file__).parent / "samples" / "messages"
# What says whose turn it is; Celery may add to the rest.
_HEADERS = ("task", "id", "eta", "retries", "trace_id", "argsrepr", "kwargsrepr", "lang")
_DEADLINE = datetime(2030, 1, 1, 12, 0, 0, 123_000, tzinfo=UTC)
_ETA = datetime(2020, 1, 1, 11, 59, 0, 500_000, tzinfo=UTC)
_SOON_S = 20

Sample = dict[str, Any]


def _tasks() -> dict[str, ObligationTask[Any, Any]]:
    """Every task of every lane, as the worker of the lane registers it; nothing is connected."""
    found = {}
    for lane in Lane:
        app = wiring.celery_app(Settings(broker_url="memory://"), lane.value, lambda: pytest.fail("no rules"))
        found |= {name: task for name, task in app.tasks.items() if isinstance(task, ObligationTask)}
    return found


def _published(name: str, lane: Lane) -> list[Sample]:
    """What this release puts on the broker for a task: one obligation for its time, and several that were accepted."""

    def publish(app: Celery) -> None:
        publisher = CeleryPublisher(app, RecordingMetrics(), publisher="guardian")
        publisher([_due(name, lane, "o1", eta=_ETA, attempts=2)])
        publisher([_due(name, lane, each, why=Why.ACCEPTED) for each in ("o2", "o3", "o4")])
        publisher.close()

    return _put_on_the_broker(lane, publish, 2)


def _sent_heartbeat() -> list[Sample]:
    """What this release sends through a queue to see whether somebody is there."""
    return _put_on_the_broker(Lane.MAIL, lambda app: heartbeat.send(app, [Lane.MAIL], _DEADLINE), 1)


def _put_on_the_broker(lane: Lane, put: Callable[[Celery], None], count: int) -> list[Sample]:
    app = wiring.celery_app(Settings(broker_url="memory://"))
    _empty(app, lane)
    put(app)
    with app.connection_for_read() as connection:
        channel = connection.default_channel
        found = [channel.basic_get(f"clearance.{lane}", no_ack=True) for _ in range(count)]
    app.close()
    for message in found:
        message.headers["origin"] = "gen1@host"
    return [
        {
            "lane": lane.value,
            "body": json.loads(message.body),
            "headers": message.headers,
            "properties": {
                "content_type": message.content_type,
                "content_encoding": message.content_encoding,
            },
        }
        for message in found
    ]


def _empty(app: Celery, lane: Lane) -> None:
    """The broker in memory is shared with every test of this process."""
    with app.connection_for_write() as connection:
        connection.default_channel.queue_declare(f"clearance.{lane}", durable=True)
        connection.default_channel.queue_purge(f"clearance.{lane}")


def _due(
    task: str,
    lane: Lane,
    obligation_id: str,
    *,
    eta: datetime | None = None,
    attempts: int = 0,
    why: Why = Why.DUE,
) -> Due:
    return Due(
        obligation_id=ObligationId(obligation_id),
        lane=lane,
        task=task,
        eta=eta,
        deadline_at=_DEADLINE,
        attempts=attempts,
        trace_id=f"trace-{obligation_id}",
        why=why,
    )


def _path(name: str, version: int) -> Path:
    return _SAMPLES / f"{name}.v{version}.json"


def _stored_heartbeats() -> list[Path]:
    return sorted(_SAMPLES.glob(f"{heartbeat.NAME}.*.json"))


def _stored() -> list[Path]:
    """Of those that name obligations."""
    return sorted(set(_SAMPLES.glob("*.json")).difference(_stored_heartbeats()))


def _loaded(path: Path) -> list[Sample]:
    samples: list[Sample] = json.loads(path.read_text())
    return samples


def test_there_is_a_sample_of_every_version_of_every_task() -> None:
    # A task that came later has none of the versions before it.
    newest = {_path(name, MESSAGE_VERSION).name for name in _tasks()}
    assert newest - {path.name for path in _stored()} == set()


@pytest.mark.parametrize("path", _stored(), ids=lambda path: path.stem)
def test_a_stored_message_is_for_a_task_that_there_is_and_that_takes_what_it_says(path: Path) -> None:
    tasks = _tasks()
    for sample in _loaded(path):
        task = tasks[sample["headers"]["task"]]
        args, kwargs, _ = sample["body"]
        bound = inspect.signature(task.run).bind(*args, **kwargs)
        assert (task.lane, bound.arguments["obligation_ids"]) == (sample["lane"], tuple(args))
        assert bound.arguments["version"] <= MESSAGE_VERSION


@pytest.mark.parametrize("name", _tasks())
def test_what_is_published_is_still_what_the_sample_of_its_version_says(name: str) -> None:
    """Whoever changes it raises `MESSAGE_VERSION`: the workers of the release before read this."""
    (stored, lane) = _loaded(_path(name, MESSAGE_VERSION)), Lane(_tasks()[name].lane)
    for was, now in zip(stored, _published(name, lane), strict=True):
        assert now["body"] == was["body"]
        assert {key: now["headers"][key] for key in _HEADERS} == {
            key: was["headers"][key] for key in _HEADERS
        }


class _Taken(ObligationTask[Any, Any]):
    """A task of a name that is in the samples; notes what it is given."""

    name = ""
    lane = ""
    seen: ClassVar[list[tuple[str, tuple[str, ...], int]]]
    is_all: ClassVar[threading.Event]

    def run(self, *obligation_ids: str, version: int, deadline_ms: int, **_newer: Any) -> str:
        assert deadline_ms == int(_DEADLINE.timestamp() * 1000)
        self.seen.append((self.name, obligation_ids, version))
        if len(self.seen) == 2 * len(_stored()):
            self.is_all.set()
        return "done"

    claim = work = finish = last_moment = None  # type: ignore[assignment]  # never reached: `run` is ours


@pytest.fixture
def worker() -> Iterator[tuple[Celery, type[_Taken]]]:
    """Celery's own worker on every queue, with a task for each name."""
    app = Celery("kept", set_as_current=False)
    app.conf.update(celery_options(Settings(broker_url="memory://"), "triggered"))
    app.conf.broker_transport_options = {"polling_interval": 0.01}
    # All at once: over this transport a worker acknowledges only every two seconds.
    app.conf.worker_prefetch_multiplier = 0

    class Taken(_Taken):
        seen: ClassVar[list[tuple[str, tuple[str, ...], int]]] = []
        is_all = threading.Event()

    for path in _stored():
        named = _loaded(path)[0]["headers"]["task"]
        app.register_task(type("Named", (Taken,), {"name": named})(lambda: None))
    queues = [f"clearance.{lane}" for lane in Lane]
    with start_worker(
        app,
        pool="threads",
        concurrency=2,
        queues=queues,
        perform_ping_check=False,
        shutdown_timeout=_SOON_S,
        loglevel="CRITICAL",
    ):
        yield app, Taken
    app.close()


def test_celerys_worker_takes_every_stored_message_as_it_was_on_the_broker(
    worker: tuple[Celery, type[_Taken]],
) -> None:
    app, taken = worker
    samples = [sample for path in _stored() for sample in _loaded(path)]
    _publish(app, samples)

    assert taken.is_all.wait(_SOON_S), taken.seen
    assert sorted(taken.seen) == sorted(
        (sample["headers"]["task"], tuple(sample["body"][0]), sample["body"][1]["version"])
        for sample in samples
    )


def test_what_a_guardian_sends_is_still_what_the_sample_of_its_version_says() -> None:
    """Whoever changes it raises `VERSION`: the workers of the release before read this."""
    (was,), (now,) = _loaded(_path(heartbeat.NAME, heartbeat.VERSION)), _sent_heartbeat()

    assert now["body"] == was["body"]
    named = set(_HEADERS) - {"id", "trace_id"}  # no two have the same id, and none is about a notification
    assert {key: now["headers"][key] for key in named} == {key: was["headers"][key] for key in named}


@pytest.mark.parametrize("path", _stored_heartbeats(), ids=lambda path: path.stem)
def test_a_worker_writes_down_every_stored_heartbeat_as_it_was_on_the_broker(
    path: Path, tmp_path: Path
) -> None:
    ledger = new_ledger(tmp_path)
    app = Celery("kept", set_as_current=False)
    app.conf.update(celery_options(Settings(broker_url="memory://"), "mail"))
    app.conf.broker_transport_options = {"polling_interval": 0.01}
    app.register_task(Heartbeat("mail", lambda: ledger, utc_now))
    _empty(app, Lane.MAIL)
    with start_worker(
        app,
        pool="threads",
        concurrency=1,
        queues=["clearance.mail"],
        perform_ping_check=False,
        shutdown_timeout=_SOON_S,
        loglevel="CRITICAL",
    ):
        _publish(app, _loaded(path))
        until(lambda: _heard(ledger), "the heartbeat is written down", timeout_s=_SOON_S)
    app.close()

    (heard,) = _heard(ledger)
    assert (heard.lane, heard.sent_at) == ("mail", _DEADLINE)
    ledger.close()


def _heard(ledger: Ledger) -> list[Heard]:
    with ledger.read() as connection:
        return [each.heard for each in heartbeats.known(connection).values() if each.heard]


def _publish(app: Celery, samples: list[Sample]) -> None:
    with app.connection_for_write() as connection:
        channel = connection.default_channel
        for sample in samples:
            message = channel.prepare_message(
                json.dumps(sample["body"]), headers=sample["headers"], **sample["properties"]
            )
            channel.basic_publish(message, exchange="", routing_key=f"clearance.{sample['lane']}")


def _write_missing() -> None:
    for name, task in _tasks().items():
        _write(_path(name, MESSAGE_VERSION), _published(name, Lane(task.lane)))
    _write(_path(heartbeat.NAME, heartbeat.VERSION), _sent_heartbeat())


def _write(path: Path, samples: list[Sample]) -> None:
    if not path.exists():
        path.write_text(json.dumps(samples, indent=2, sort_keys=True) + "\n")


if __name__ == "__main__":
    _write_missing()
