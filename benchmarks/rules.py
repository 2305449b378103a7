"""What does a decision by rules cost, and what would plain Python cost?

Ten checks over eight attributes, a million customers whose values differ, about six in ten approved, one in fifty with
a value that is missing or malformed; decided a thousand at a time, as a review does it, in one process. The same with
the checks as Python lambdas: once with the engine's strict conversion and its reasons, and once without either's
strictness, on customers who need none. All answers have to be equal.
"""

import gc
import os
import random
import resource
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rich.console import Console
from rich.table import Table

from clearance.decisions.decision import Campaign, Customer, Decision
from clearance.decisions.engine import Engine
from clearance.decisions.expressions import Kind
from clearance.decisions.rules_file import load_rules
from clearance.decisions.values import Unusable, convert

TARGET_S_A_MILLION = 10.0
CHUNK = 1_000
_SEED = 20_261_121
_CAMPAIGN = Campaign(lane="send_group", tags=("bonus",))
_KIND_BY_NAME = {
    "country": Kind.STRING,
    "age": Kind.INT,
    "deposits": Kind.DOUBLE,
    "excluded": Kind.BOOL,
    "tier": Kind.STRING,
    "score": Kind.INT,
    "status": Kind.STRING,
    "logins": Kind.INT,
}
Values = Mapping[str, Any]


@dataclass(frozen=True)
class _Check:
    id: str
    cel: str
    plain: Callable[[Values], bool]
    names: tuple[str, ...]

    @property
    def reason(self) -> str:
        return self.id.upper()


CHECKS = (
    _Check("included", "!excluded", lambda v: not v["excluded"], ("excluded",)),
    _Check(
        "licensed",
        'country in ["DE", "AT", "NL"]',
        lambda v: v["country"] in ("DE", "AT", "NL"),
        ("country",),
    ),
    _Check("minimum", "deposits >= 50.0", lambda v: v["deposits"] >= 50.0, ("deposits",)),
    _Check("adult", "age >= 18", lambda v: v["age"] >= 18, ("age",)),
    _Check("tiered", 'tier != "none"', lambda v: v["tier"] != "none", ("tier",)),
    _Check("scored", "score > 10 && score < 900000", lambda v: 10 < v["score"] < 900_000, ("score",)),
    _Check("active", 'status == "active"', lambda v: v["status"] == "active", ("status",)),
    _Check(
        "known",
        'logins > 2 || tier == "gold"',
        lambda v: v["logins"] > 2 or v["tier"] == "gold",
        ("tier", "logins"),
    ),
    _Check(
        "grown_up",
        '!(country == "AT" && age < 21)',
        lambda v: not (v["country"] == "AT" and v["age"] < 21),
        ("country", "age"),
    ),
    _Check("open", '!status.startsWith("clos")', lambda v: not v["status"].startswith("clos"), ("status",)),
)


def run(count: int, to: Console) -> bool:
    """Measure and tell; whether all answers were equal."""
    engine = Engine(load_rules(_rules_text(), source="benchmark"))
    to.print(
        f"{count:,} customers, {len(CHECKS)} checks; load average {os.getloadavg()[0]:.2f}: making the customers",
        style="dim",
    )
    customers = _customers(count)
    inputs_mb = _peak_mb()
    engine_s, decisions = _timed(lambda each: engine.decide_many(_CAMPAIGN, each), customers)
    engine_mb = _peak_mb()
    plain = _Plain(engine.rules.version)
    strict_s, strict = _timed(plain.strict, customers)
    complete = [n for n, each in enumerate(customers) if len(plain.typed(each)) == len(_KIND_BY_NAME)]
    typed = [plain.typed(customers[n]) for n in complete]
    loose_s, loose = _timed(plain.loose, typed)
    table = Table(title="rules: engine and reasons, inputs in memory, one process")
    for heading in ("", "seconds", "us a customer", "engine / this"):
        table.add_column(heading, justify="left" if not heading else "right")
    for name, seconds, of in (
        ("engine", engine_s, count),
        ("lambdas, same conversion, same reasons", strict_s, count),
        ("lambdas, values already of their kind, nothing missing", loose_s, len(typed)),
    ):
        cost_us = seconds / of * 1e6
        table.add_row(name, f"{seconds:.2f}", f"{cost_us:.2f}", f"{engine_s / count * 1e6 / cost_us:.2f}")
    to.print(table)
    approved = sum(decision.approved for decision in decisions) / count
    incomplete = 1 - len(complete) / count
    to.print(f"approved {approved:.1%}, with a value missing or malformed {incomplete:.1%}")
    to.print(
        f"peak memory: {inputs_mb:.0f} MB with the customers, {engine_mb:.0f} MB when the engine had decided"
    )
    target_s = TARGET_S_A_MILLION * count / 1e6
    held = engine_s <= target_s
    to.print(f"<= {target_s:g} s: {'held' if held else 'NOT HELD'}", style="green" if held else "red")
    equal = decisions == strict and [decisions[n] for n in complete] == loose
    to.print("all answers are equal" if equal else "ANSWERS DIFFER", style="green" if equal else "red")
    return equal


class _Plain:
    """The same rules without the engine."""

    def __init__(self, version: str) -> None:
        self._version = version
        self._decision_by_reasons: dict[tuple[str, ...], Decision] = {}

    def typed(self, customer: Customer) -> dict[str, object]:
        found = {name: convert(customer.attributes.get(name), kind) for name, kind in _KIND_BY_NAME.items()}
        return {name: value for name, value in found.items() if type(value) is not Unusable}

    def strict(self, customers: Sequence[Customer]) -> list[Decision]:
        return [self._strictly(customer.attributes) for customer in customers]

    def loose(self, records: Sequence[Values]) -> list[Decision]:
        return [
            self._decision(tuple([check.reason for check in CHECKS if not check.plain(record)]))
            for record in records
        ]

    def _strictly(self, attributes: Values) -> Decision:
        values = {name: convert(attributes.get(name), kind) for name, kind in _KIND_BY_NAME.items()}
        reasons: dict[str, None] = {}
        for check in CHECKS:
            gaps = [name for name in check.names if type(values[name]) is Unusable]
            if gaps:
                reasons.update((f"{values[name]}:{name}", None) for name in _KIND_BY_NAME if name in gaps)
            elif not check.plain(values):
                reasons[check.reason] = None
        return self._decision(tuple(reasons))

    def _decision(self, reasons: tuple[str, ...]) -> Decision:
        found = self._decision_by_reasons.get(reasons)
        if found is None:
            found = Decision(
                approved=not reasons, reasons=reasons, rules_version=self._version, policy="bonus"
            )
            self._decision_by_reasons[reasons] = found
        return found


def _timed(
    decide: Callable[[Sequence[Any]], list[Decision]], inputs: Sequence[Any]
) -> tuple[float, list[Decision]]:
    decisions: list[Decision] = []
    gc.collect()
    gc.freeze()  # the inputs are no garbage of whoever decides about them
    started = time.perf_counter()
    for start in range(0, len(inputs), CHUNK):
        decisions += decide(inputs[start : start + CHUNK])
    return time.perf_counter() - started, decisions


def _customers(count: int) -> list[Customer]:
    chance = random.Random(_SEED)
    return [Customer(customer_id=f"C{number}", attributes=_attributes(chance)) for number in range(count)]


def _attributes(chance: random.Random) -> dict[str, object]:
    fits = chance.random() < 0.56
    made: dict[str, object] = {
        "country": chance.choice(("DE", "AT", "NL") if fits else ("DE", "AT", "NL", "FR", "SE")),
        "age": chance.randint(21 if fits else 16, 90),
        # As text, as some senders do; the others are of their kind.
        "deposits": f"{chance.uniform(50 if fits else 0, 2_000):.2f}",
        "excluded": not fits and chance.random() < 0.1,
        "tier": chance.choice(("gold", "silver", "bronze") if fits else ("gold", "silver", "none")),
        "score": chance.randint(11, 899_999 if fits else 1_000_000),
        "status": "active" if fits else chance.choice(("active", "active", "closing")),
        "logins": chance.randint(3 if fits else 0, 5_000),
    }
    trouble = chance.random()
    if trouble < 0.01:
        del made[chance.choice(list(made))]
    elif trouble < 0.02:
        made[chance.choice(list(made))] = chance.choice((None, [], {"nested": 1}, float("nan")))
    return made


def _rules_text() -> str:
    attributes = "\n".join(f'{name} = "{kind}"' for name, kind in _KIND_BY_NAME.items())
    checks = "\n".join(
        f"[[check]]\nid = '{check.id}'\nreason = '{check.reason}'\ncel = '{check.cel}'" for check in CHECKS
    )
    ids = ", ".join(f'"{check.id}"' for check in CHECKS)
    policy = f"[[policy]]\nid = 'bonus'\napplies = '\"bonus\" in tags'\nchecks = [{ids}]"
    return f"[attributes]\n{attributes}\n{checks}\n{policy}\n"


def _peak_mb() -> float:
    kilobytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return kilobytes / (1024 * 1024 if sys.platform == "darwin" else 1024)
