"""An `http` check whose time the test owns: what it waits for is over at once, and written down."""

import json
from collections.abc import Mapping, Sequence
from datetime import timedelta

from clearance.checks.breaker import Breaker
from clearance.checks.destination import open_exchange
from clearance.checks.http import HttpAsks
from clearance.checks.http_calls import Exchanges, HttpCalls
from clearance.checks.judge import AtOnce, Question
from clearance.decisions.decision import Campaign, Customer, Verdict
from clearance.decisions.rules import HttpCheck
from clearance.telemetry import Metrics
from tests.fakes.clock import ManualClock
from tests.fakes.cooldown import FakeCoolDown
from tests.fakes.metrics import RecordingMetrics
from tests.fakes.peer import Answer, Peer, reply

CHECK = HttpCheck(
    id="promotion-active", reason="PROMOTION_NOT_ACTIVE", url="http://127.0.0.1:1/", timeout_s=2.0
)
SEND_GROUP = Campaign(
    lane="send_group", send_group_id="123", occurrence_id="222", series_id="111", tags=("bonus",)
)
FAILED = Verdict(approved=False, reasons=("CHECK_FAILED:promotion-active",))
FAILED_AND_APPROVED = Verdict(approved=True, reasons=("CHECK_FAILED:promotion-active",))
LEFT_OUT = Verdict(approved=False, reasons=("NO_ANSWER:promotion-active",))


def customers(*ids: str) -> list[Customer]:
    return [Customer(customer_id=each, attributes={"country": "DE"}) for each in ids]


def results(*rows: Mapping[str, object]) -> bytes:
    return json.dumps({"results": rows}).encode()


def yes(*ids: str) -> Answer:
    """A 200 that approves these customers."""
    return reply(200, results(*({"customer_id": each, "approved": True} for each in ids)))


def attributes(customer: Customer) -> Mapping[str, object]:
    return customer.attributes


class Asking:
    """One check with a clock, a breaker of three failures and ten seconds, and a second left for each question."""

    def __init__(self, clock: ManualClock) -> None:
        self.clock = clock
        self.cooldown = FakeCoolDown(clock)
        self.metrics = RecordingMetrics()
        self.breaker = Breaker(failures=3, rest_s=10, time=self.seconds)
        self.paused_s: list[float] = []
        self.jitter = 1.0
        self.overslept_s = 0.0

    def seconds(self) -> float:
        return self.clock().timestamp()

    def pause(self, wait_s: float) -> None:
        self.paused_s.append(wait_s)
        self.clock.advance(wait_s + self.overslept_s)

    def check(
        self,
        check: HttpCheck,
        http: Exchanges,
        *,
        at_once: AtOnce = map,
        metrics: Metrics | None = None,
    ) -> HttpAsks:
        calls = HttpCalls(
            check,
            http=http,
            cooldown=self.cooldown,
            breaker=self.breaker,
            metrics=metrics or self.metrics,
            clock=self.clock,
            pause=self.pause,
            jitter=lambda: self.jitter,
            time=self.seconds,
        )
        return HttpAsks(check, attributes, calls, metrics=metrics or self.metrics, at_once=at_once)

    def over(self, peer: Peer, **changed: object) -> HttpAsks:
        """The check, with these things changed, over real connections to `peer`."""
        check = HttpCheck(id=CHECK.id, reason=CHECK.reason, url=peer.url + "/promotions/activate", **changed)
        return self.check(check, open_exchange(check, pool_size=4))

    def question(
        self, asked: Sequence[Customer], *, left_s: float = 10.0, occasion: str = "123:1"
    ) -> Question:
        ends_at = self.clock() + timedelta(seconds=left_s)
        return Question(campaign=SEND_GROUP, customers=asked, ends_at=ends_at, occasion=occasion)

    def calls(self, outcome: str) -> int:
        """How many calls ended like this."""
        return len(self.metrics.observed("check_call_seconds", check=CHECK.id, outcome=outcome))

    def failures(self, why: str) -> float:
        """How many batches failed for this reason."""
        return self.metrics.counted("check_failures_total", check=CHECK.id, why=why)
