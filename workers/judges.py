"""How does a rules file become somebody who can be asked? Rules, engine, checks, judge.

In: a path; what a process has to ask others with. Out: a `Judge`, or a `RulesError` with everything that is wrong: a
file that cannot be read, a mistake in it, a variable of the environment that it names and nobody has set, a function
that is not installed. No judge is ever made of a part of the rules.

What belongs to a system outlives the rules that name it: its breaker, the fleet's cool-down, and the connections of a
check that stays as it was.
"""

import tomllib
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

from clearance.checks.breaker import Breaker
from clearance.checks.destination import destination_of, open_exchange
from clearance.checks.http import HttpAsks
from clearance.checks.http_calls import HttpCalls
from clearance.checks.judge import AsksOutside, Judge
from clearance.checks.python import PythonAsks, PythonCheckError, load_python_check
from clearance.clock import Clock
from clearance.decisions.engine import Engine
from clearance.decisions.rules import (
    CelCheck,
    HttpCheck,
    OutsideCheck,
    Problem,
    PythonCheck,
    Rules,
    RulesError,
    SuppressionCheck,
)
from clearance.decisions.rules_file import load_rules
from clearance.decisions.toml_lines import TomlLines
from clearance.http.exchange import BoundedHttp
from clearance.limits.cooldown import CoolDown
from clearance.telemetry import Metrics

_ENVIRONMENT = "env:"
# Of one decision; threads are made when they are needed. With more, the last waits for the first.
_QUESTIONS_AT_ONCE = 4
_KEY_BY_KIND = {HttpCheck: "http", PythonCheck: "python"}


def read_rules(path: str) -> Rules:
    """The rules in this file.

    Raises:
        RulesError: It cannot be read, or has mistakes; with all of them.
    """
    try:
        text = Path(path).read_bytes().decode("utf-8")
    except OSError as error:
        problem = Problem(source=path, line=None, told=f"cannot be read: {error.strerror}")
        raise RulesError((problem,)) from None
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        raise RulesError((Problem(source=path, line=line, told="is not UTF-8"),)) from None
    return load_rules(text, source=path)


@dataclass(frozen=True, slots=True, kw_only=True)
class Means:
    """What a process asks others with.

    Attributes:
        asks_list: Who is asked about a suppression list.
        cooldown: The fleet's, of a destination by its name.
        named_secret: What the variable of an `env:NAME` holds, or None.
        threads: How many decisions the process makes at once; each may ask several, and batches of customers.
    """

    asks_list: Callable[[SuppressionCheck], AsksOutside]
    cooldown: Callable[[str], CoolDown]
    named_secret: Callable[[str], str | None]
    breaker_failures: int
    breaker_rest_s: float
    threads: int
    clock: Clock
    metrics: Metrics


class Judges:
    """Makes judges, one after the other, for one process. Not to be shared between threads; its judges are."""

    def __init__(self, means: Means) -> None:
        self._means = means
        # Two pools: a question that holds a thread waits for those of its batches.
        self._questions = ThreadPoolExecutor(means.threads * _QUESTIONS_AT_ONCE, thread_name_prefix="checks")
        self._batches = ThreadPoolExecutor(means.threads, thread_name_prefix="batches")
        self._breaker_by_destination: dict[str, Breaker] = {}
        self._cooldown_by_destination: dict[str, CoolDown] = {}
        self._open: list[tuple[HttpCheck, BoundedHttp]] = []

    def judge(self, rules: Rules, *, source: str) -> Judge:
        """Who decides by these rules.

        Args:
            source: Names the file in problems.

        Raises:
            RulesError: A check names a variable that is not set, or a function that is not there.
        """
        engine = Engine(rules)
        problems: list[Problem] = []
        opened: list[tuple[HttpCheck, BoundedHttp]] = []
        asks_by_check: dict[str, AsksOutside] = {}
        for check in rules.check_by_id.values():
            if isinstance(check, CelCheck):
                continue
            try:
                asks_by_check[check.id] = self._asks(check, engine, opened)
            except _UnusableError as error:
                line = line_of(rules, check)
                problems += [Problem(source=source, line=line, told=told) for told in error.told]
        if problems:
            raise RulesError(tuple(problems))
        self._open = opened
        return Judge(engine, asks_by_check, at_once=self._questions.map)

    def close(self) -> None:
        """Let the threads end. Judges that are still asked fail from now on, check by check."""
        self._questions.shutdown(wait=False, cancel_futures=True)
        self._batches.shutdown(wait=False, cancel_futures=True)

    def _asks(
        self, check: OutsideCheck, engine: Engine, opened: list[tuple[HttpCheck, BoundedHttp]]
    ) -> AsksOutside:
        means = self._means
        if isinstance(check, SuppressionCheck):
            return means.asks_list(check)
        if isinstance(check, PythonCheck):
            try:
                function = load_python_check(check)
            except PythonCheckError as error:
                raise _UnusableError(f"check `{check.id}`: {error}") from error
            return PythonAsks(
                check,
                function,
                typed_attributes=engine.typed_attributes,
                clock=means.clock,
                metrics=means.metrics,
            )
        resolved = _resolved(check, means.named_secret)
        try:
            destination = destination_of(resolved.url).name
            http = self._exchange(resolved)
        except ValueError as error:
            raise _UnusableError(f"check `{check.id}`: {_where(check)}{error}") from None
        opened.append((resolved, http))
        calls = HttpCalls(
            resolved,
            http=http,
            cooldown=self._cooldown(destination),
            breaker=self._breaker(destination),
            metrics=means.metrics,
            clock=means.clock,
        )
        return HttpAsks(
            resolved,
            engine.typed_attributes,
            calls,
            metrics=means.metrics,
            at_once=self._batches.map,
        )

    def _exchange(self, check: HttpCheck) -> BoundedHttp:
        for known, http in self._open:
            if known == check:
                return http
        return open_exchange(check, pool_size=self._means.threads)

    def _breaker(self, destination: str) -> Breaker:
        breaker = Breaker(failures=self._means.breaker_failures, rest_s=self._means.breaker_rest_s)
        return self._breaker_by_destination.setdefault(destination, breaker)

    def _cooldown(self, destination: str) -> CoolDown:
        if destination not in self._cooldown_by_destination:
            self._cooldown_by_destination[destination] = self._means.cooldown(destination)
        return self._cooldown_by_destination[destination]


def unset_variables(
    rules: Rules, named_secret: Callable[[str], str | None]
) -> Iterator[tuple[HttpCheck, str]]:
    """Each check and variable that it names as `env:NAME`, where `NAME` is not set."""
    for check in rules.check_by_id.values():
        if isinstance(check, HttpCheck):
            for name in _variables(check):
                if named_secret(name) is None:
                    yield check, name


def line_of(rules: Rules, check: OutsideCheck) -> int | None:
    """On which line of its file a check says whom it asks."""
    text = rules.text.removeprefix("\ufeff")
    ids = [each["id"] for each in tomllib.loads(text)["check"]]
    key = _KEY_BY_KIND.get(type(check), "suppression")
    return TomlLines(text).line(("check", ids.index(check.id), key))


class _UnusableError(Exception):
    """A check that nobody can be asked about. `told` never holds what a variable holds."""

    def __init__(self, *told: str) -> None:
        super().__init__("; ".join(told))
        self.told = told


def _resolved(check: HttpCheck, named_secret: Callable[[str], str | None]) -> HttpCheck:
    """The check with what its variables hold in their places."""
    value_by_name = {name: named_secret(name) for name in _variables(check)}
    unset = [name for name, value in value_by_name.items() if value is None]
    if unset:
        raise _UnusableError(*(f"check `{check.id}`: the variable {name} is not set" for name in unset))

    def held(written: str) -> str:
        name = written.removeprefix(_ENVIRONMENT)
        return written if name == written else value_by_name[name] or ""

    headers: Mapping[str, str] = {name: held(value) for name, value in check.header_by_name.items()}
    return replace(check, url=held(check.url), header_by_name=headers)


def _variables(check: HttpCheck) -> list[str]:
    written = [check.url, *check.header_by_name.values()]
    named = (each.removeprefix(_ENVIRONMENT) for each in written if each.startswith(_ENVIRONMENT))
    return list(dict.fromkeys(named))


def _where(check: HttpCheck) -> str:
    """What to look at, when a value of the environment cannot be used."""
    names = _variables(check)
    return f"what {' or '.join(names)} holds: " if names else ""
