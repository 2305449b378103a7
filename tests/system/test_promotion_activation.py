"""Promotion activation, as docs/use-cases tells it, played against the sandbox's promotion system, with faults."""

import asyncio
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import urllib3

from clearance.checks.judge import Judge, Judged
from clearance.clock import utc_now
from clearance.sandbox.options import SandboxOptions
from clearance.sandbox.server import running
from tests.fakes.clock import ManualClock
from tests.fakes.cooldown import FakeCoolDown
from tests.fakes.metrics import RecordingMetrics
from tests.system.worked_examples import USE_CASES, campaign, customers, said_after
from workers.judges import Judges, Means, read_rules

PROMOTION = USE_CASES / "promotion-activation.md"


class Promotions:
    """The sandbox's promotion system, and workers that ask it by the rules of the example."""

    AUTHORIZATION = "Bearer of-the-example"

    def __init__(self, url: str) -> None:
        self._url = url
        self._http = urllib3.PoolManager()

    def worker(self, rules: Path = USE_CASES / "promotion-activation/rules.toml") -> Judge:
        """A worker of its own: other connections, another breaker."""
        value_by_name = {
            "PROMOTIONS_URL": f"{self._url}/promotions/activate",
            "PROMOTIONS_AUTHORIZATION": self.AUTHORIZATION,
        }
        judges = Judges(
            Means(
                asks_list=_no_list,
                cooldown=lambda _name: FakeCoolDown(ManualClock()),
                named_secret=value_by_name.get,
                breaker_failures=5,
                breaker_rest_s=5.0,
                threads=2,
                clock=utc_now,
                metrics=RecordingMetrics(),
            )
        )
        return judges.judge(read_rules(str(rules)), source=rules.name)

    def faults(self, **ratio_by_fault: float) -> None:
        """What happens to requests from now on."""
        self._call(
            "PUT", "/sandbox/faults", {"group": "promotions", "seed": ONE_OF_TWO_SEED, **ratio_by_fault}
        )

    def counts(self) -> dict[str, int]:
        """What the promotion system has done."""
        counted: dict[str, int] = self._call("GET", "/sandbox/report", None)["promotions"]
        return counted

    def injected(self) -> dict[str, int]:
        """How often which fault happened."""
        return dict(self._call("GET", "/sandbox/faults", None)["injected"].get("promotions", {}))

    def _call(self, method: str, path: str, sent: object) -> dict[str, Any]:
        answer = self._http.request(method, self._url + path, json=sent)
        assert answer.status == 200, answer.data
        told: dict[str, Any] = answer.json()
        return told


# The first draw of this seed is below a half, and the second is not: a ratio of 0.5 then means once.
ONE_OF_TWO_SEED = 1
ONCE = 0.5
ALWAYS = 1.0


def _no_list(_check: object) -> Any:
    raise AssertionError("the example has no suppression check")


def _with_promotions(use: Callable[[Promotions], None]) -> None:
    async def play() -> None:
        options = SandboxOptions(port=0, promotions_authorization=Promotions.AUTHORIZATION)
        async with running(options) as url:
            await asyncio.to_thread(use, Promotions(url))

    asyncio.run(play())


def _judged(worker: Judge, *, lasts_s: float = 4.0) -> list[Judged]:
    return worker.judge(
        campaign(USE_CASES / "promotion-activation/campaign.json"),
        customers(USE_CASES / "promotion-activation/customers.json"),
        ends_at=utc_now() + timedelta(seconds=lasts_s),
        occasion="send group 123, revision 1",
    )


def _as_said(judged: list[Judged]) -> list[tuple[str, str, tuple[str, ...]]]:
    asked = customers(USE_CASES / "promotion-activation/customers.json")
    return [
        (
            customer.customer_id,
            "approved" if each.decision.approved else "rejected",
            each.decision.reasons,
        )
        for customer, each in zip(asked, judged, strict=True)
    ]


def _said_of_promotions() -> list[tuple[str, str, tuple[str, ...]]]:
    return [
        (row.customer_id, row.answer, row.reasons) for row in said_after(PROMOTION, "## Who gets the email")
    ]


def _activated_as_said() -> int:
    said = said_after(PROMOTION, "## Who gets the email")
    return sum(row.more == ("once",) for row in said)


def test_only_customers_whose_activation_succeeded_get_the_campaign() -> None:
    def use(promotions: Promotions) -> None:
        assert _as_said(_judged(promotions.worker())) == _said_of_promotions()

        counts = promotions.counts()
        assert (counts["activated"], counts["refused"]) == (_activated_as_said(), 1)
        assert counts["requests"] == 1

    _with_promotions(use)


def test_nobody_is_activated_whom_another_check_refuses_unless_all_are_asked_about(tmp_path: Path) -> None:
    text = (USE_CASES / "promotion-activation/rules.toml").read_text(encoding="utf-8")
    asks_always = tmp_path / "rules.toml"
    asks_always.write_text(text.replace('"others_approve"', '"always"'), encoding="utf-8")

    def use(promotions: Promotions) -> None:
        judged = _judged(promotions.worker(asks_always))

        approved = [customer for customer, answer, _ in _as_said(judged) if answer == "approved"]
        assert approved == ["C201"]
        # Three who do not get the email have a bonus: this is what `others_approve` is for.
        assert promotions.counts()["activated"] == 4

    _with_promotions(use)


@pytest.mark.parametrize("fault", ["reset_after", "half", "error", "reset"])
def test_a_fault_of_the_promotion_system_is_repeated_and_activates_nobody_twice(fault: str) -> None:
    def use(promotions: Promotions) -> None:
        promotions.faults(**{fault: ONCE})

        assert _as_said(_judged(promotions.worker())) == _said_of_promotions()

        counts = promotions.counts()
        assert promotions.injected() == {fault: 1}
        assert counts["activated"] == _activated_as_said()
        # What it had taken before the fault, it knew again by the key.
        assert counts["repeats"] == (fault in ("reset_after", "half"))
        assert counts["conflicts"] == 0

    _with_promotions(use)


def test_a_worker_that_takes_over_asks_under_the_same_key() -> None:
    def use(promotions: Promotions) -> None:
        first, second = promotions.worker(), promotions.worker()

        assert _as_said(_judged(first)) == _as_said(_judged(second)) == _said_of_promotions()

        counts = promotions.counts()
        assert (counts["activated"], counts["repeats"]) == (_activated_as_said(), 1)

    _with_promotions(use)


def test_a_promotion_system_that_stays_down_activates_and_approves_nobody() -> None:
    def use(promotions: Promotions) -> None:
        promotions.faults(error=ALWAYS)

        judged = _as_said(_judged(promotions.worker(), lasts_s=1.0))

        assert ("C201", "rejected", ("CHECK_FAILED:promotion-active",)) in judged
        assert {answer for _, answer, _ in judged} == {"rejected"}
        assert promotions.counts()["activated"] == 0

    _with_promotions(use)
