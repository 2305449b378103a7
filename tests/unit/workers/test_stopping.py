"""Processes are stopped stage by stage, each with its grace, and nobody is waited for longer."""

import signal

import pytest

from workers.up import stopping
from workers.up.reaper import still_running
from workers.up.stopping import Stoppable, stop_in_order


class World:
    """Processes that end so many seconds after SIGTERM, and a clock that only `pause` moves."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, ends_after_s: dict[int, float]) -> None:
        self.now = 0.0
        self.events: list[str] = []
        self._ends_after_s = ends_after_s
        self._asked_at: dict[int, float] = {}
        monkeypatch.setattr(stopping.os, "kill", self._kill)
        monkeypatch.setattr(stopping.os, "killpg", self._killpg)

    def stop(self, processes: list[Stoppable], *, hurried: bool = False) -> list[int]:
        return stop_in_order(
            processes,
            is_gone=self._is_gone,
            monotonic=lambda: self.now,
            pause=self._pause,
            is_hurried=lambda: hurried,
        )

    def _pause(self, seconds: float) -> None:
        self.now += seconds

    def _is_gone(self, pid: int) -> bool:
        return self.now - self._asked_at[pid] >= self._ends_after_s[pid]

    def _kill(self, pid: int, number: int) -> None:
        assert number == signal.SIGTERM
        self._asked_at[pid] = self.now
        self.events.append(f"term {pid}")

    def _killpg(self, pid: int, number: int) -> None:
        assert number == signal.SIGKILL
        self.events.append(f"kill group {pid}")


def _process(pid: int, stage: int, grace_s: float = 5.0) -> Stoppable:
    return Stoppable(pid=pid, stage=stage, grace_s=grace_s)


def test_a_stage_begins_when_the_one_before_is_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(monkeypatch, {1: 1.0, 2: 0.0, 3: 0.0})

    killed = world.stop([_process(3, stage=2), _process(1, stage=0), _process(2, stage=1)])

    assert killed == []
    assert [event for event in world.events if event.startswith("term")] == ["term 1", "term 2", "term 3"]
    assert world.events.index("kill group 1") < world.events.index("term 2")


def test_processes_of_a_stage_are_asked_together(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(monkeypatch, {1: 2.0, 2: 2.0})

    world.stop([_process(1, stage=0), _process(2, stage=0)])

    assert world.events[:2] == ["term 1", "term 2"]
    assert world.now == pytest.approx(2.0, abs=0.1)


def test_one_that_does_not_end_is_killed_after_its_grace(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(monkeypatch, {1: 1e9, 2: 0.0})

    killed = world.stop([_process(1, stage=0, grace_s=3.0), _process(2, stage=1)])

    assert killed == [1]
    assert world.now == pytest.approx(3.0, abs=0.1)
    assert "kill group 2" in world.events


def test_in_a_hurry_nobody_has_any_grace(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(monkeypatch, {1: 1e9, 2: 1e9})

    killed = world.stop([_process(1, stage=0), _process(2, stage=1)], hurried=True)

    assert killed == [1, 2]
    assert world.now == 0.0


def test_what_is_left_is_what_was_started_and_has_not_gone() -> None:
    left = still_running(["running 10 0 5.0\n", "running 11 5 10.0\n", "gone 10\n", "running 12 1 15\n"])

    assert left == [_process(11, 5, 10.0), _process(12, 1, 15.0)]


def test_a_line_that_was_cut_off_by_a_kill_is_ignored() -> None:
    assert still_running(["running 10 0 5.0\n", "running 11"]) == [_process(10, 0)]
