"""Of two, one wins: with threads and with processes that really want the same at the same time, on both databases."""

import os
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import TypeVar

from clearance.ledger import due as due_in_ledger
from clearance.ledger.engine import Ledger
from clearance.ledger.notifications import Accepted, NewNotification, accept_many
from clearance.ledger.obligations import Finish, finish_many
from clearance.obligations import Done
from tests.contract.claimants import won_by
from tests.fakes.clock import START
from tests.fakes.owed import BUDGET, HEDGE_AFTER, claim, notification, obligation, owe, row

Result = TypeVar("Result")


def _at_once(tries: Sequence[Callable[[], Result]]) -> list[Result]:
    """Run them in threads that start together; the first error is the test's."""
    together = threading.Barrier(len(tries))
    results: dict[int, Result] = {}
    errors: list[BaseException] = []

    def run(number: int, attempt: Callable[[], Result]) -> None:
        together.wait()
        try:
            results[number] = attempt()
        except BaseException as error:  # noqa: BLE001 - a thread's error is the test's
            errors.append(error)

    threads = [threading.Thread(target=run, args=each) for each in enumerate(tries)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]
    return [results[number] for number in range(len(tries))]


def _names(count: int) -> list[str]:
    return [f"o{number:04}" for number in range(count)]


def test_threads_that_claim_the_same_hold_each_once(ledger: Ledger) -> None:
    names = _names(200)
    owe(ledger, *(obligation(name) for name in names))

    won = _at_once([lambda seed=seed: won_by(ledger, 200, seed) for seed in range(4)])

    assert Counter(name for each in won for name in each) == Counter(names)
    assert {row(ledger, name).attempts for name in names} == {1}


def test_processes_that_claim_the_same_hold_each_once(ledger: Ledger, ledger_url: str) -> None:
    names = _names(300)
    owe(ledger, *(obligation(name) for name in names))

    command = [sys.executable, "-W", "error", "-m", "tests.contract.claimants", ledger_url, "300"]
    workers = [
        subprocess.Popen([*command, str(seed)], stdout=subprocess.PIPE, text=True, env=os.environ.copy())
        for seed in range(3)
    ]
    won = [worker.communicate(timeout=60)[0].split() for worker in workers]

    assert [worker.returncode for worker in workers] == [0, 0, 0]
    assert Counter(name for each in won for name in each) == Counter(names)


def test_an_abandoned_one_is_taken_over_once(ledger: Ledger) -> None:
    owe(ledger, obligation("a", deadline_at=START + timedelta(hours=1)))

    for round_ in range(10):
        now = START + timedelta(seconds=2 * round_)
        won = _at_once([lambda now=now: claim(ledger, "a", now=now)[0]] * 4)
        assert sorted(held.attempt for held in won if held) == [round_ + 1]


def test_a_take_over_and_a_late_finish_do_not_both_count(ledger: Ledger) -> None:
    names = _names(30)
    owe(ledger, *(obligation(name, deadline_at=START + timedelta(hours=1)) for name in names))
    stale = {name: held for name, held in zip(names, claim(ledger, *names), strict=True) if held}
    late = START + timedelta(seconds=2)

    def finish_late() -> list[bool]:
        results = []
        for name in names:
            with ledger.write() as connection:
                results += finish_many(connection, [Finish(claimed=stale[name], outcome=Done(), now=late)])
        return results

    def take_over() -> list[bool]:
        return [claim(ledger, name, now=late)[0] is not None for name in reversed(names)]

    finished, taken = _at_once([finish_late, take_over])

    for name, is_finished, is_taken in zip(names, finished, reversed(taken), strict=True):
        assert is_finished is not is_taken
        assert row(ledger, name).state == ("done" if is_finished else "running")


def test_the_same_notifications_sent_at_once_are_accepted_once(ledger: Ledger) -> None:
    """Four doors, each with the same twenty in an order of its own: no deadlock, one obligation each."""

    def door(number: int) -> list[list[Accepted]]:
        return [
            _accepted(ledger, [_copy(name, number) for name in _ordered(number, f"r{round_}-")])
            for round_ in range(10)
        ]

    told = _at_once([lambda number=number: door(number) for number in range(4)])

    for round_ in range(10):
        answers: dict[str, list[Accepted]] = {}
        for number, groups in enumerate(told):
            for name, answer in zip(_ordered(number, f"r{round_}-"), groups[round_], strict=True):
                answers.setdefault(name, []).append(answer)
        for name, of_name in answers.items():
            assert [answer.is_duplicate for answer in of_name].count(False) == 1, name
            assert len({answer.notification_id for answer in of_name}) == 1


def _ordered(door: int, prefix: str) -> list[str]:
    names = [f"{prefix}{number:02}" for number in range(20)]
    return names if door % 2 else names[::-1]


def _copy(name: str, door: int) -> NewNotification:
    return notification(f"{name}-by-{door}", vendor_id=name)


def _accepted(ledger: Ledger, items: Sequence[NewNotification]) -> list[Accepted]:
    with ledger.write() as connection:
        return accept_many(connection, items)


def test_guardians_that_look_at_once_take_each_once(ledger: Ledger) -> None:
    names = _names(200)
    owe(ledger, *(obligation(name) for name in names))
    at = START + HEDGE_AFTER

    def guardian() -> list[str]:
        taken: list[str] = []
        for _ in range(12):
            with ledger.write() as connection:
                taken += [
                    due.obligation_id for due in due_in_ledger.take_due(connection, at, 20, HEDGE_AFTER)
                ]
        return taken

    taken = _at_once([guardian] * 4)

    assert Counter(name for each in taken for name in each) == Counter(names)


def test_guardians_that_look_at_once_miss_each_once(ledger: Ledger) -> None:
    names = _names(200)
    owe(ledger, *(obligation(name) for name in names))

    def guardian() -> list[str]:
        missed: list[str] = []
        for _ in range(12):
            with ledger.write() as connection:
                missed += [
                    item.obligation_id for item in due_in_ledger.take_overdue(connection, START + BUDGET, 20)
                ]
        return missed

    missed = _at_once([guardian] * 4)

    assert Counter(name for each in missed for name in each) == Counter(names)


def test_guardians_and_workers_on_the_same_obligations_do_not_block_each_other(ledger: Ledger) -> None:
    names = _names(100)
    owe(ledger, *(obligation(name, deadline_at=START + timedelta(hours=1)) for name in names))
    at = START + HEDGE_AFTER

    def guardian() -> int:
        for _ in range(20):
            with ledger.write() as connection:
                due = due_in_ledger.take_due(connection, at, 50, timedelta(0))
            with ledger.write() as connection:
                due_in_ledger.put_back(connection, [item.obligation_id for item in due], at)
        return 0

    def worker(order: int) -> int:
        done = 0
        for first in range(0, 100, 10):
            group = names[::order][first : first + 10]
            for held in claim(ledger, *group, now=at):
                if held is None:
                    continue
                with ledger.write() as connection:
                    (is_ours,) = finish_many(connection, [Finish(claimed=held, outcome=Done(), now=at)])
                done += is_ours
        return done

    _, _, forward, backward = _at_once([guardian, guardian, lambda: worker(1), lambda: worker(-1)])

    assert forward + backward == 100
    assert {row(ledger, name).state for name in names} == {"done"}
