"""What happens in one simulated run, all of it drawn from one seed: what the vendor says when, and what goes wrong."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from random import Random

from clearance.decisions.decision import Customer
from clearance.optimove.heads_up import Api
from tests.fakes.clock import START
from tests.fakes.world_broker import Weather
from tests.fakes.world_vendor import Manners

_NOTICES_S = (-600.0, -1.0, 0.5, 5.0, 30.0, 70.0, 90.0, 600.0, 3600.0, 6 * 3600.0)
_MOVES_S = (-3600.0, -600.0, -60.0, -10.0, 10.0, 60.0, 600.0, 3600.0)
_POINTS: Sequence[object] = (0, 5, 10, 15, 20, None, "many")


@dataclass(frozen=True, slots=True, kw_only=True)
class Telling:
    """What the vendor says once: a deadline, or (None) that it takes the group back."""

    vendor_id: str
    api: Api
    told_at: datetime
    arrives_at: datetime
    deadline_at: datetime | None
    expected: int | None


@dataclass(slots=True, kw_only=True)
class Plot:
    """Everything that is decided before the run begins."""

    tellings: list[Telling] = field(default_factory=list)
    customers_by_id: dict[str, list[Customer]] = field(default_factory=dict)
    api_by_id: dict[str, Api] = field(default_factory=dict)
    weather: Weather
    manners: Manners
    ledger_away: list[tuple[datetime, datetime]]
    ledger_busy: float
    unconfirmed: float
    kill_chance: float
    kills: int
    oversleep: float
    checks_fail: float
    checks_take_s: float


def plot_of(chance: Random) -> Plot:
    """Draw a plot. A third of them are calm, so that what the vendor says is tested by itself, too."""
    trouble = chance.choice((0.0, 0.4, 0.8))

    def perhaps(*values: float) -> float:
        return chance.choice(values) if chance.random() < trouble else 0.0

    tellings: list[Telling] = []
    customers_by_id: dict[str, list[Customer]] = {}
    api_by_id: dict[str, Api] = {}
    for number in range(chance.choice((1, 1, 1, 2, 3))):
        vendor_id = f"sg-{number}"
        api: Api = chance.choice(("v2", "v1"))
        customers_by_id[vendor_id] = _customers(chance)
        api_by_id[vendor_id] = api
        tellings += _tellings(chance, vendor_id, api, len(customers_by_id[vendor_id]))
    ends_at = max(telling.deadline_at or telling.told_at for telling in tellings)
    span = (START, max(ends_at, START + timedelta(minutes=2)))
    return Plot(
        tellings=tellings,
        customers_by_id=customers_by_id,
        api_by_id=api_by_id,
        weather=Weather(
            loses=perhaps(0.05, 0.5),
            doubles=perhaps(0.1, 0.5),
            delays=perhaps(0.1, 0.5),
            broker_away=_spans(chance, trouble, span, tellings),
            guardian_away=_spans(chance, trouble, span, tellings),
            workers_away=_spans(chance, trouble, span, tellings),
            review_workers=chance.choice((1, 2, 4)),
            submit_workers=chance.choice((1, 2, 4, 8)),
            customers_per_call=chance.choice((1, 4, 7, 100)),
            calls_per_window=chance.choice((1, 1, 2, 50)),
            lease_s=chance.choice((5.0, 60.0, 60.0, 120.0)),
            min_margin_s=chance.choice((2.0, 20.0, 60.0)),
        ),
        manners=Manners(
            call_s=chance.choice(((0.05, 0.5), (0.05, 0.5), (0.5, 8.0), (0.1, 14.0), (0.0, 240.0))),
            row_s=chance.choice((0.01, 0.01, 1.0, 8.0)),
            fails=perhaps(0.1, 0.5),
            refuses_connection=perhaps(0.1, 0.5),
            hangs=perhaps(0.1, 0.4),
            throttles=perhaps(0.1, 0.4),
            breaks_streams=perhaps(0.3, 0.8),
            repeats_rows=perhaps(0.2),
            refuses=perhaps(0.02, 0.1),
        ),
        ledger_away=_spans(chance, trouble, span, tellings),
        ledger_busy=perhaps(0.02, 0.2),
        unconfirmed=perhaps(0.01, 0.1),
        kill_chance=perhaps(0.01, 0.05, 0.2),
        kills=chance.randrange(1, 7),
        oversleep=chance.choice((3.0, 10.0)),
        checks_fail=perhaps(0.2, 0.9),
        checks_take_s=perhaps(1.0, 20.0, 50.0),
    )


def _customers(chance: Random) -> list[Customer]:
    size = chance.choice((0, 1, 2, 4, 7, 12, 20, 20))
    return [
        Customer(customer_id=f"c{number}", attributes={"points": chance.choice(_POINTS)})
        for number in range(size)
    ]


def _tellings(chance: Random, vendor_id: str, api: Api, customers: int) -> list[Telling]:
    """A heads-up, and whatever the vendor has to say of the group after it."""
    told_at = START + timedelta(seconds=chance.uniform(0, 60))
    deadlines = [told_at + timedelta(seconds=chance.choice(_NOTICES_S) + chance.uniform(0, 10))]
    expected = chance.choice((None, customers, customers, customers + 3))

    def telling(told_at: datetime, deadline_at: datetime | None) -> Telling:
        late_s = chance.choice((0.1, 0.1, 0.1, 2.0, chance.uniform(0, 120)))
        return Telling(
            vendor_id=vendor_id,
            api=api,
            told_at=told_at,
            arrives_at=told_at + timedelta(seconds=late_s),
            deadline_at=deadline_at,
            expected=expected,
        )

    told = [telling(told_at, deadlines[0])]
    for _ in range(chance.choice((0, 0, 1, 1, 2, 3, 6))):
        left_s = max(1.0, (deadlines[-1] - told_at).total_seconds())
        # Anywhere before the deadline, around the time of submission, or some time after it.
        told_at += timedelta(
            seconds=chance.choice(
                (
                    chance.uniform(0.001, left_s),
                    max(0.001, left_s - chance.uniform(0, 70)),
                    max(0.001, left_s - chance.uniform(0, 70)),
                    left_s + chance.uniform(0.001, 300),
                )
            )
        )
        kind = chance.choice(("move", "move", "back", "again", "same", "cancel"))
        if kind == "cancel":
            told.append(telling(told_at, None))
        elif kind == "same":
            told.append(telling(told[-1].told_at, told[-1].deadline_at))
        else:
            deadlines.append(_next_deadline(chance, kind, told_at, deadlines))
            told.append(telling(told_at, deadlines[-1]))
    return told


def _next_deadline(chance: Random, kind: str, told_at: datetime, deadlines: Sequence[datetime]) -> datetime:
    if kind == "move":
        return deadlines[-1] + timedelta(seconds=chance.choice(_MOVES_S))
    if kind == "again":
        return told_at + timedelta(seconds=chance.choice(_NOTICES_S))
    return chance.choice(deadlines)


def _spans(
    chance: Random, trouble: float, span: tuple[datetime, datetime], tellings: Sequence[Telling]
) -> list[tuple[datetime, datetime]]:
    """Times at which something is away: most of them where it hurts, around a deadline."""
    spans = []
    while chance.random() < trouble / 2:
        begin = span[0] + (span[1] - span[0]) * chance.random()
        deadline_at = chance.choice(tellings).deadline_at
        if deadline_at is not None and chance.random() < 0.7:
            begin = deadline_at - timedelta(seconds=chance.uniform(0, 70))
        spans.append((begin, begin + timedelta(seconds=chance.choice((1.0, 5.0, 20.0, 100.0, 600.0)))))
    return spans
