"""A group's page on a terminal: bars that grow, drawn over the page before, until the group ended."""

from collections.abc import Callable, Iterator
from datetime import datetime
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from clearance.clock import Clock
from clearance.ledger import group_reads
from clearance.ledger.engine import Ledger
from clearance.ledger.group_details import Details, details
from tests.fakes.clock import ManualClock
from tests.fakes.ledgers import new_ledger
from tests.fakes.told_groups import APPROVED, DEADLINE, SECOND, Work, hear, submitted_group
from workers.commands.groups_shown import shown
from workers.commands.groups_watch import watch

_FULL, _EMPTY = "━", "╺"
_UP = "\x1b[1A"


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    made = new_ledger(tmp_path)
    yield made
    made.close()


@pytest.fixture
def screen() -> Console:
    return Console(
        file=StringIO(), force_terminal=True, width=150, height=50, markup=False, color_system=None
    )


def seen(screen: Console) -> str:
    assert isinstance(screen.file, StringIO)
    return screen.file.getvalue()


def look_at(ledger: Ledger) -> Callable[[], Details]:
    def look() -> Details:
        with ledger.read() as connection:
            return details(connection, group_reads.named(connection, "g1")[0])

    return look


def watched(ledger: Ledger, screen: Console, clock: Clock, sleep: Callable[[float], None]) -> list[str]:
    """The pages, one after the other."""
    watch(look_at(ledger), screen, as_json=False, now=clock, sleep=sleep)
    return [page for page in seen(screen).split("send group 7: ") if "fetched" in page]


def bars(page: str) -> dict[str, int]:
    """How long each step's bar is."""
    return {
        line.split()[0]: line.count(_FULL) for line in page.splitlines() if " of " in line and "%" in line
    }


def test_bars_grow_and_are_drawn_over_the_page_before(
    ledger: Ledger, screen: Console, clock: ManualClock
) -> None:
    hear(ledger)
    work = Work(ledger=ledger)

    def fetch() -> None:
        work.fetch(["C1", "C2"], ["C3", "C4"])

    def decide() -> None:
        work.decide(1, ("C1", APPROVED), ("C2", APPROVED))

    def end() -> None:
        work.miss(1, 2)
        work.end(at=DEADLINE + SECOND, is_over=True)

    steps = [fetch, decide, end]
    slept: list[float] = []

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        steps.pop(0)()

    pages = watched(ledger, screen, clock, sleep)

    fetched = [bars(page).get("fetched", 0) for page in pages]
    decided = [bars(page).get("decided", 0) for page in pages]
    assert slept == [1.0, 1.0, 1.0]
    assert fetched == sorted(fetched)
    assert (fetched[0], fetched[1]) == (0, 40)
    assert sorted(set(decided)) == [0, 20]
    assert pages[0].startswith("open")
    assert pages[-1].startswith("missed")
    assert _UP in seen(screen)


def test_ctrl_c_leaves_the_last_page_and_the_cursor_as_they_were(
    ledger: Ledger, screen: Console, clock: ManualClock
) -> None:
    hear(ledger)

    def interrupted(_seconds: float) -> None:
        raise KeyboardInterrupt

    pages = watched(ledger, screen, clock, interrupted)

    assert pages[-1].startswith("open")
    assert seen(screen).rstrip().endswith("\x1b[?25h")


def test_a_page_without_bars_has_the_same_numbers(ledger: Ledger) -> None:
    submitted_group(ledger)
    plain = Console(file=StringIO(), width=150)
    now: datetime = DEADLINE

    plain.print(shown(look_at(ledger)(), now, with_bars=False))

    assert _FULL not in seen(plain)
    assert "submitted  4 of 4 (100%)" in seen(plain)
