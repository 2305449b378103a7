"""Which rules does this process decide by, now? The last good ones; a daemon thread looks for newer.

In: a file, and a wish to read it again: `clearance rules reload` (a number in the ledger), or SIGHUP. Out: `judge`,
exchanged in one step; whoever decides holds on to the one that it began with. A process does not start on a file that
is not right; one that runs keeps what it has, and says so in its log, its metrics and the ledger.

The text of a version is in the ledger before anything is decided by it, unless the ledger is away: then deciding goes
on, and text and report follow when it is back.
"""

import queue
import threading
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta

import structlog
from sqlalchemy import Connection

from clearance.checks.judge import Judge
from clearance.clock import Clock
from clearance.decisions.rules import Rules, RulesError
from clearance.errors import LedgerUnavailable
from clearance.ledger.engine import Ledger
from clearance.ledger.rule_sets import InForce, RuleSet, forget, newest_reload, remember_many, report_many
from clearance.telemetry import Metrics
from config.settings import SettingsError
from workers.judges import read_rules

log = structlog.get_logger()

# More often only when there is news: each report is a write, and a fleet has many processes.
REPORT_EVERY = timedelta(seconds=10)
# What is in the ledger is for a table; the log has all of it.
_LONGEST_PROBLEM = 2000


class RulesKeeper:
    """The rules of one process.

    Args:
        path: The rules file.
        open_judge: Who decides by these rules; raises `RulesError` (`Judges.judge`).
        process: This process' name in the fleet: `triggered-1@host:4711`.
        lane: What it decides about.

    Raises:
        SettingsError: The file is not right: with all that is wrong with it.
    """

    def __init__(
        self,
        path: str,
        *,
        open_judge: Callable[[Rules], Judge],
        ledger: Ledger,
        process: str,
        lane: str,
        look_every_s: float,
        clock: Clock,
        metrics: Metrics,
    ) -> None:
        self._path = path
        self._open_judge = open_judge
        self._ledger = ledger
        self._process = process
        self._lane = lane
        self._look_every_s = look_every_s
        self._clock = clock
        self._metrics = metrics
        self._wake: queue.SimpleQueue[None] = queue.SimpleQueue()
        self._is_reload_wanted = False
        self._is_closed = False
        self._thread: threading.Thread | None = None
        self._is_ledger_away = False
        self._problem: str | None = None
        self._unremembered: RuleSet | None = None
        # Asked before the file is read: what was asked for until now is in it.
        self._reloads_seen = self._from_ledger(newest_reload)
        self._report_at = self._loaded_at = clock()
        try:
            self.judge = self._loaded()
        except RulesError as error:
            raise SettingsError(tuple(map(str, error.problems))) from None
        log.info("rules.loaded", version=self._version, path=path)
        self._report()

    def begin(self) -> None:
        """Begin to look, in a thread of this process: after a fork, in the child."""
        self._thread = threading.Thread(target=self._run, name="rules-keeper", daemon=True)
        self._thread.start()

    def request_reload(self) -> None:
        """Read the file again at once. Safe in a signal handler."""
        self._is_reload_wanted = True
        self._wake.put(None)  # the one queue that may be used in a handler

    def look(self) -> None:
        """Reload if that is wanted; report if there is news, or nothing was reported for a while."""
        newest = self._from_ledger(newest_reload)
        if newest is not None and newest != self._reloads_seen:
            # Not seen at the start, for want of a ledger: then one was asked for only if there ever was one.
            self._is_reload_wanted |= newest > 0
            self._reloads_seen = newest
        if self._is_reload_wanted:
            # Reset before the file is read: whoever asks from now on is heard again.
            self._is_reload_wanted = False
            self._reload()
        if self._clock() >= self._report_at:
            self._report()

    def close(self) -> None:
        """Look no more, and have nothing in force any more. The judge stays."""
        self._is_closed = True
        self._wake.put(None)
        if self._thread is not None:
            self._thread.join()
        self._to_ledger(lambda connection: forget(connection, self._process))

    def _run(self) -> None:
        while True:
            with suppress(queue.Empty):
                self._wake.get(timeout=self._look_every_s)
            if self._is_closed:
                return
            try:
                self.look()
            except Exception as error:  # noqa: BLE001 - a bug here must not end the looking
                log.error("rules.look_failed", error=type(error).__name__)

    def _reload(self) -> None:
        before = self._version
        self._report_at = self._clock()  # whatever comes of it is news
        try:
            self.judge = self._loaded()
        except RulesError as error:
            self._refuse(error)
            return
        self._problem = None
        if self._version == before:
            self._metrics.count("rules_reloads_total", outcome="unchanged")
            log.info("rules.found_unchanged", version=before, path=self._path)
            return
        self._metrics.count("rules_reloads_total", outcome="loaded")
        log.info("rules.loaded", version=self._version, before=before, path=self._path)

    def _refuse(self, error: RulesError) -> None:
        problems = tuple(map(str, error.problems))
        # With its time: the same problem again is news, to whoever asked for the reload.
        told = f"refused at {self._clock().isoformat(timespec='milliseconds')}: {'; '.join(problems)}"
        self._problem = told[:_LONGEST_PROBLEM]
        self._metrics.count("rules_reloads_total", outcome="refused")
        log.error("rules.refused", in_force=self._version, path=self._path, problems=problems)

    def _loaded(self) -> Judge:
        """The judge of the file as it is now; its text is in the ledger, or will be.

        Raises:
            RulesError: With all that is wrong.
        """
        rules = read_rules(self._path)
        judge = self._open_judge(rules)
        self._loaded_at = self._clock()
        self._unremembered = RuleSet(version=rules.version, text=rules.text, first_seen_at=self._loaded_at)
        self._to_ledger(self._remember)
        return judge

    def _report(self) -> None:
        if self._to_ledger(self._remember_and_report):
            self._report_at = self._clock() + REPORT_EVERY

    def _remember_and_report(self, connection: Connection) -> None:
        self._remember(connection)
        report = InForce(
            process=self._process,
            lane=self._lane,
            version=self._version,
            loaded_at=self._loaded_at,
            seen_at=self._clock(),
            problem=self._problem,
        )
        report_many(connection, [report])

    def _remember(self, connection: Connection) -> None:
        if self._unremembered is not None:
            remember_many(connection, [self._unremembered])

    def _from_ledger(self, get: Callable[[Connection], int]) -> int | None:
        """What the ledger says; None while it is away."""
        try:
            with self._ledger.read() as connection:
                found = get(connection)
        except LedgerUnavailable as error:
            self._note_away(error)
            return None
        self._is_ledger_away = False
        return found

    def _to_ledger(self, write: Callable[[Connection], None]) -> bool:
        """Whether it was written. Not tried again before a look has found the ledger there: each try may take long."""
        if self._is_ledger_away:
            return False
        try:
            with self._ledger.write() as connection:
                write(connection)
        except LedgerUnavailable as error:
            self._note_away(error)
            return False
        self._unremembered = None
        return True

    def _note_away(self, error: LedgerUnavailable) -> None:
        if not self._is_ledger_away:
            log.warning("rules.ledger_unavailable", error=str(error))
        self._is_ledger_away = True

    @property
    def _version(self) -> str:
        return self.judge.engine.rules.version
