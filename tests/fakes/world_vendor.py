"""An Optimove that serves groups and takes answers as slowly and as badly as a test says, and forgets nothing.

What it saw of each call is kept: when it began, for which revision, what was said, and whether it was taken.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from clearance.decisions.decision import Customer
from clearance.errors import (
    VendorCredentialsRefused,
    VendorRefused,
    VendorThrottled,
    VendorUnavailable,
)
from clearance.optimove.customer_stream import MalformedRow
from clearance.optimove.http import VENDOR
from tests.fakes.scheduled_world import Killed, Run, World
from tests.fakes.vendor import Taken


@dataclass(slots=True, kw_only=True)
class SeenCall:
    """One submission by `run`. `is_taken`: by the vendor; `is_answered`: the worker was told so."""

    vendor_id: str
    begun_at: datetime
    answers: dict[str, bool]
    run: Run
    is_taken: bool = False
    is_answered: bool = False


@dataclass(slots=True, kw_only=True)
class Manners:
    """How the vendor behaves: chances of each trouble, and how long a call takes, in seconds from and to."""

    call_s: tuple[float, float] = (0.05, 0.5)
    row_s: float = 0.01
    fails: float = 0.0  # a 5xx: not taken
    refuses_connection: float = 0.0
    hangs: float = 0.0  # nothing is heard until the timeout; taken or not
    throttles: float = 0.0
    breaks_streams: float = 0.0
    repeats_rows: float = 0.0
    refuses: float = 0.0  # a 4xx


@dataclass(slots=True)
class WorldVendor:
    """`customers_by_id` is whom a group holds; `on_call` is called when a submission begins.

    `given` is who came of which group, and when, however the stream ended.
    """

    world: World
    manners: Manners = field(default_factory=Manners)
    customers_by_id: dict[str, list[Customer]] = field(default_factory=dict)
    calls: list[SeenCall] = field(default_factory=list)
    given: list[tuple[str, str, datetime]] = field(default_factory=list)
    on_call: Callable[[SeenCall], None] = lambda _call: None

    def fetch_customers_v2(
        self, group_id: str, attributes: Sequence[str], *, before_call: Callable[[], None] | None = None
    ) -> Iterator[Customer | MalformedRow]:
        return self._rows(group_id, before_call)

    def fetch_customers_v1(
        self,
        campaign_id: str,
        attributes: Sequence[str],
        *,
        start: int = 0,
        before_call: Callable[[], None] | None = None,
    ) -> Iterator[Customer | MalformedRow]:
        # Pages keep their order, also when one is asked for again; a send group comes in any.
        return self._rows(campaign_id, before_call, start=start, shuffled=False)

    def submit_v2(
        self, group_id: str, answers: Sequence[tuple[str, bool]], *, timeout_s: float | None = None
    ) -> Taken:
        assert len(dict(answers)) == len(answers), "a customer is twice in one call"
        return self._take(group_id, dict(answers), timeout_s)

    def submit_v1(
        self,
        campaign_id: str,
        approved: Sequence[str],
        at: datetime,
        *,
        withdrawn: Sequence[str] = (),
        timeout_s: float | None = None,
    ) -> Taken:
        answers = dict.fromkeys(approved, True) | dict.fromkeys(withdrawn, False)
        assert len(answers) == len(approved) + len(withdrawn), "a customer is twice in one call"
        return self._take(campaign_id, answers, timeout_s)

    def _rows(
        self,
        vendor_id: str,
        before_call: Callable[[], None] | None,
        *,
        start: int = 0,
        shuffled: bool = True,
    ) -> Iterator[Customer | MalformedRow]:
        world, manners = self.world, self.manners
        if before_call is not None:
            before_call()
        world.tell(f"fetches {vendor_id} from {start}")
        world.sleep(world.chance.uniform(*manners.call_s))
        self._trouble()
        rows = list(self.customers_by_id[vendor_id])[start:]
        if shuffled:
            world.chance.shuffle(rows)
        breaks_at = world.chance.randrange(len(rows) + 1) if self._is(manners.breaks_streams) else None
        for position, customer in enumerate(rows):
            if position == breaks_at:
                break
            world.sleep(manners.row_s)
            self.given.append((vendor_id, customer.customer_id, world.clock()))
            yield customer
            if shuffled and self._is(manners.repeats_rows):
                yield customer
        if breaks_at is not None:
            world.tell("the stream breaks")
            raise VendorUnavailable(VENDOR, "stream broken")

    def _take(self, vendor_id: str, answers: dict[str, bool], timeout_s: float | None) -> Taken:
        world, manners = self.world, self.manners
        assert answers, "a call without customers"
        assert timeout_s is not None
        assert timeout_s > 0
        assert world.current is not None
        call = SeenCall(vendor_id=vendor_id, begun_at=world.clock(), answers=answers, run=world.current)
        self.on_call(call)
        lasts_s = world.chance.uniform(*manners.call_s)
        if self._is(manners.refuses_connection):
            raise VendorUnavailable(VENDOR, "connection refused", may_have_arrived=False)
        self.calls.append(call)
        world.tell(f"gives {vendor_id} {answers}")
        if self._is(manners.hangs) or lasts_s >= timeout_s:
            call.is_taken = self._is(0.5)
            world.sleep(timeout_s)
            raise VendorUnavailable(VENDOR, "no answer in time")
        try:
            world.sleep(lasts_s / 2)
            self._trouble()
            if self._is(manners.refuses):
                raise VendorRefused(VENDOR, 400)
            call.is_taken = True
            world.sleep(lasts_s / 2)
        except Killed:
            # What is on its way may arrive, whatever becomes of its sender.
            call.is_taken = call.is_taken or self._is(0.5)
            raise
        call.is_answered = True
        return Taken()

    def _trouble(self) -> None:
        manners = self.manners
        if self._is(manners.fails):
            raise VendorUnavailable(VENDOR, "503", status=503)
        if self._is(manners.throttles):
            raise VendorThrottled(VENDOR, retry_after_s=self.world.chance.choice([None, 0.5, 5.0, 40.0]))
        if self._is(manners.refuses / 4):
            raise VendorCredentialsRefused(VENDOR, 401)

    def _is(self, chance: float) -> bool:
        return chance > 0 and self.world.chance.random() < chance
