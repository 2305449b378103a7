"""How close does posting come to what two requests at a time can do, with one, two and four workers? And a slot's cost?

In: how many batches of 100 letters, and the vendor's latency. Out: letters a second, from the first request's beginning
to the last answer by the ledger, beside 2 x 100 / latency; the most requests in flight and letters printed twice, as
the sandbox saw them; and what taking, renewing and giving back a slot costs. Broker, sandbox, guardians and workers run
on this machine. Letters are put into the ledger as ingest does it, all at once: what is measured is what follows.
"""

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import TypeVar

import redis
from rich.console import Console
from rich.table import Table
from sqlalchemy import func, select

from benchmarks.fleets import (
    API_KEY,
    clearance,
    clearance_environment,
    start_broker,
    start_sandbox,
    upgrade_ledger,
)
from benchmarks.processes import BenchmarkFailed, Processes, free_port
from clearance.clock import utc_now
from clearance.identifiers import new_id
from clearance.ledger.engine import Ledger, open_ledger
from clearance.ledger.mail_intake import BatchPlan, NewLetter, NewRequest, take_many
from clearance.ledger.mail_tables import mail_batches, mail_recipients
from clearance.limits.slots import RedisSlots, Slot
from clearance.optilyz.recipient import Recipient
from clearance.sandbox.options import OPTILYZ_PATH

WORKERS = (1, 2, 4)
LETTERS, MOST = 100, 2
TARGET, TARGET_SLOT_MS = 0.95, 1.0
_AUTOMATIONS = ("5fc6ca6a89b5e200e0de42e0", "5fc6ca6a89b5e200e0de42e1")
_SLOT_ROUNDS = 2_000
_LOOK_EVERY_S = 0.2

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True, kw_only=True)
class Posted:
    """One run. `share` is of the ceiling by the latency that the vendor had, its own work included."""

    workers: int
    letters_per_s: float
    handling_ms: float
    share: float
    most_in_flight: int
    printed_twice: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SlotCost:
    """Milliseconds of one step, p50 and p99."""

    step: str
    p50_ms: float
    p99_ms: float


def run(batches: int, latency_ms: float, directory: Path, to: Console) -> bool:
    """Measure and tell; whether the targets held."""
    posted = []
    for workers in WORKERS:
        here = directory / f"workers-{workers}"
        here.mkdir()
        posted.append(_post(workers, batches, latency_ms, here))
        to.print(str(posted[-1]), style="dim", highlight=False)
    costs = _slot_costs(directory)
    _show(posted, costs, latency_ms, to)
    return all(each.share >= TARGET and each.most_in_flight <= MOST for each in posted) and all(
        each.p99_ms < TARGET_SLOT_MS for each in costs
    )


def _post(workers: int, batches: int, latency_ms: float, directory: Path) -> Posted:
    with Processes(directory) as processes:
        broker_url, sandbox = start_broker(processes), start_sandbox(processes)
        path = directory / "ledger.db"
        env = clearance_environment(
            broker_url=broker_url, sandbox_url=sandbox.url, ledger=path, port=free_port()
        ) | {
            "CLEARANCE_OPTILYZ_BASE_URL": f"{sandbox.url}{OPTILYZ_PATH}",
            "CLEARANCE_OPTILYZ_API_KEY": API_KEY,
            "CLEARANCE_LOG_LEVEL": "WARNING",
        }
        upgrade_ledger(processes, env)
        ledger = open_ledger(f"sqlite:///{path}", timeout_s=10)
        sandbox.set_latency("optilyz", latency_ms)
        for _ in range(2):
            processes.start("guardian", clearance("guardian"), env)
        for number in range(workers):
            processes.start("mail", clearance("worker", "mail", "--name", f"mail-{number}"), env)
        _wait_for_workers(processes, broker_url, workers)
        _take(ledger, batches)
        _wait_until_posted(ledger, processes, within_s=batches * latency_ms / 1000 + 60)
        took_s = _took_s(ledger)
        seen = sandbox.report()["optilyz"]
        ledger.close()
    rate, handling_ms = batches * LETTERS / took_s, seen["mean_handling_ms"]
    return Posted(
        workers=workers,
        letters_per_s=rate,
        handling_ms=handling_ms,
        share=rate / (MOST * LETTERS / (handling_ms / 1000)),
        most_in_flight=seen["most_in_flight"],
        printed_twice=seen["printed_twice"],
    )


def _take(ledger: Ledger, batches: int) -> None:
    now = utc_now()
    plan = BatchPlan(batch_size=LETTERS, max_wait=timedelta(0), dedupe_window=timedelta(hours=24))
    for number in range(batches):
        automation_id = _AUTOMATIONS[number % len(_AUTOMATIONS)]
        letters = tuple(_letter(automation_id, number * LETTERS + place) for place in range(LETTERS))
        request = NewRequest(
            request_id=new_id(now),
            automation_id=automation_id,
            letters=letters,
            is_dry_run=False,
            received_at=now,
            plan=plan,
            feedback=None,
            trace_id="benchmark",
        )
        with ledger.write() as connection:
            take_many(connection, [request])


def _letter(automation_id: str, number: int) -> NewLetter:
    recipient = Recipient(
        address={
            "fullName": f"Benchmark {number}",
            "address1": f"Teststr. {number}",
            "zipCode": "10115",
            "city": "Berlin",
            "individualisation1": f"customer-{number}",
        }
    )
    return NewLetter(
        recipient_id=new_id(utc_now()),
        payload=recipient.payload(),
        dedupe_key=recipient.dedupe_key(automation_id, is_dry_run=False),
        address_key=recipient.address_key(),
        customer_ids={"registered": f"customer-{number}"},
        campaign=None,
    )


def _wait_for_workers(processes: Processes, broker_url: str, workers: int) -> None:
    with redis.Redis.from_url(broker_url) as client:
        # Each waits for messages on a connection of its own.
        processes.wait_until(
            lambda: sum(each["cmd"] == "brpop" for each in client.client_list()) >= workers,
            "the workers are ready",
        )


def _wait_until_posted(ledger: Ledger, processes: Processes, within_s: float) -> None:
    until = time.monotonic() + within_s
    query = select(func.count()).select_from(mail_recipients).where(mail_recipients.c.state != "posted")
    while True:
        processes.check()
        with ledger.read() as connection:
            left = connection.execute(query).scalar_one()
        if not left:
            return
        if time.monotonic() > until:
            raise BenchmarkFailed(f"{left} letters were not posted in time")
        time.sleep(_LOOK_EVERY_S)


def _took_s(ledger: Ledger) -> float:
    with ledger.read() as connection:
        first, last = connection.execute(
            select(func.min(mail_batches.c.sent_at), func.max(mail_batches.c.answered_at))
        ).one()
    return float((last - first).total_seconds())


def _slot_costs(directory: Path) -> list[SlotCost]:
    here = directory / "slots"
    here.mkdir()
    with Processes(here) as processes, redis.Redis.from_url(start_broker(processes)) as client:
        slots = RedisSlots(client, "benchmark", most=MOST, lease_s=25, quiet_in_s=lambda: 0.0)
        took_ms: dict[str, list[float]] = {"take": [], "renew": [], "give back": []}
        for _ in range(_SLOT_ROUNDS):
            slot = _timed(took_ms["take"], slots.acquire)
            if not isinstance(slot, Slot):
                raise BenchmarkFailed("no slot was free")
            _timed(took_ms["renew"], partial(slots.renew, slot))
            _timed(took_ms["give back"], partial(slots.release, slot))
    return [
        SlotCost(step=step, p50_ms=statistics.median(each), p99_ms=sorted(each)[len(each) * 99 // 100])
        for step, each in took_ms.items()
    ]


def _timed(took_ms: list[float], step: Callable[[], Result]) -> Result:
    began_s = time.perf_counter()
    result = step()
    took_ms.append((time.perf_counter() - began_s) * 1000)
    return result


def _show(posted: list[Posted], costs: list[SlotCost], latency_ms: float, to: Console) -> None:
    planned = MOST * LETTERS / (latency_ms / 1000)
    table = Table(
        title=f"Letters; a vendor that took {latency_ms:.0f} ms and nothing else would print {planned:.0f}/s"
    )
    names = ("workers", "letters/s", "vendor took ms", "of its ceiling", "of the planned", "most in flight")
    for name in (*names, "printed twice"):
        table.add_column(name, justify="right")
    for each in posted:
        table.add_row(
            str(each.workers),
            f"{each.letters_per_s:.1f}",
            f"{each.handling_ms:.1f}",
            f"{each.share:.1%}",
            f"{each.letters_per_s / planned:.1%}",
            str(each.most_in_flight),
            str(each.printed_twice),
        )
    to.print(table)
    for cost in costs:
        to.print(f"{cost.step} a slot: p50 {cost.p50_ms:.3f} ms, p99 {cost.p99_ms:.3f} ms", highlight=False)
