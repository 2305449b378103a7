"""Which workers did the demo kill, and how long was each missing?"""

import os
import signal
import time

from workers.demo.view import View
from workers.up.supervisor import Supervisor


class Killing:
    """Kills each worker once at most, and notes when the one in its place was ready."""

    def __init__(self, supervisor: Supervisor, view: View) -> None:
        self._supervisor = supervisor
        self._view = view
        self._killed_at: dict[str, float] = {}
        self.replaced_after_s_by_name: dict[str, float | None] = {}

    def kill(self, name: str, when: str) -> bool:
        """Whether it was killed now: it had not been before, and was running."""
        pid = self._supervisor.pid(name)
        if name in self._killed_at or pid is None:
            return False
        os.kill(pid, signal.SIGKILL)
        self._killed_at[name] = time.monotonic()
        self.replaced_after_s_by_name[name] = None
        self._view.say(f"kill -9 of {name} {when}")
        return True

    def watch(self) -> None:
        """Note who is back."""
        for name, killed_at in self._killed_at.items():
            is_back = self._supervisor.restarts_by_name[name] and self._supervisor.is_up(name)
            if self.replaced_after_s_by_name[name] is None and is_back:
                after_s = time.monotonic() - killed_at
                self.replaced_after_s_by_name[name] = after_s
                self._view.say(f"{name} is replaced and ready after {after_s:.1f} s")

    def has_killed(self, name: str) -> bool:
        """Whether this one was killed."""
        return name in self._killed_at

    def are_back(self, *names: str) -> bool:
        """Whether all of these were killed, and are replaced."""
        return all(self.replaced_after_s_by_name.get(name) is not None for name in names)
