"""One seed of letters under fire: who is written to, who is killed when, what Redis forgets, what the vendor does.

`CLEARANCE_MAIL_SEEDS=20` means twenty seeds of 5,000 recipients instead of one of 1,500. A seed is in its test's name,
so that one is repeated by that and `-k '[7]'`.
"""

import os
import random
from collections.abc import Callable, Sequence

from tests.system.groups_fleet import Blow, strike
from tests.system.mail_fleet import MOST_IN_FLIGHT, WORKERS, MailFleet
from tests.system.mail_letters import Order, orders, people
from tests.system.mail_verdict import MailVerdict, judge_mail

_COUNT = int(os.environ.get("CLEARANCE_MAIL_SEEDS", "1"))
SEEDS = range(1, 1 + _COUNT)
_RECIPIENTS, _WITHIN_S = (1_500, 8.0) if _COUNT == 1 else (5_000, 15.0)
_MEMORY = "Redis' memory"
_WIPES = 2
_AFTER_WIPE_S = (0.02, 0.1, 0.2)
# The vendor takes its time; and now and then it says later, or no, or prints and loses its answer.
_FAULTS = {
    "latency_ms": 300,
    "throttle": 0.06,
    "retry_after_s": 1,
    "error": 0.06,
    "error_status": 503,
    "reset": 0.02,
    "reset_after": 0.03,
    "half": 0.01,
    "hang_after": 0.01,
    # Longer than anybody waits for it.
    "hang_s": 3,
}


def storm(here: MailFleet, seed: int, *, is_broker_ours: bool = True) -> MailVerdict:
    """Let it happen; the verdict, which is that nothing is wrong. A broker that is not the fleet's own is not killed.

    Raises:
        AssertionError: Something does not hold, or nothing was shown.
    """
    automations = here.begin(seed)
    here.put_faults(**_FAULTS)
    struck = _blows(here, seed, is_broker_ours=is_broker_ours)
    made = [*orders(seed, _RECIPIENTS, automations, within_s=_WITHIN_S), *_at_once(here, seed, struck)]
    with here.handing_over(sorted(made, key=lambda each: each.at_s)) as handed:
        strike(here.fleet, struck)
    for name in here.fleet.disturbed:
        here.fleet.wait_ready(name)
    verdict = judge_mail(here, [each.result() for each in handed])
    assert verdict.kills == 2 * len(WORKERS)
    assert verdict.most_in_flight == MOST_IN_FLIGHT, "nothing was shown: there was never a second request"
    return verdict


def _blows(here: MailFleet, seed: int, *, is_broker_ours: bool) -> list[Blow]:
    """What happens, in order. Each worker is killed in either half; Redis is wiped twice."""
    chosen, half_s = random.Random(seed), _WITHIN_S / 2

    def kill(name: str) -> Callable[[], None]:
        return lambda: here.kill(name)

    # Twice in a moment would be once: it takes seconds to start.
    struck = [
        Blow(at_s=first_s + chosen.uniform(0, half_s), name=name, strike=kill(name))
        for first_s in (0, half_s)
        for name in WORKERS
    ]
    others = {
        "ingest": kill("ingest"),
        "guardian1": kill("guardian1"),
        "the line to the vendor": here.lose_line,
    }
    if is_broker_ours:
        others["broker"] = kill("broker")
    struck += [
        Blow(at_s=chosen.uniform(0, _WITHIN_S), name=name, strike=happens) for name, happens in others.items()
    ]
    struck += [Blow(at_s=chosen.uniform(0, _WITHIN_S), name=_MEMORY, strike=here.wipe) for _ in range(_WIPES)]
    return sorted(struck, key=lambda blow: blow.at_s)


def _at_once(here: MailFleet, seed: int, struck: Sequence[Blow]) -> list[Order]:
    """Full batches in the moments after Redis has forgotten who has a slot, so that somebody asks for one."""
    wiped_s = [blow.at_s for blow in struck if blow.name == _MEMORY]
    return [
        Order(
            at_s=at_s + later_s,
            automation_id=automation_id,
            recipients=people(f"s{seed}-{round(1000 * (at_s + later_s))}", automation_id, 100),
        )
        for at_s in wiped_s
        for later_s, automation_id in zip(_AFTER_WIPE_S, here.automations, strict=False)
    ]
