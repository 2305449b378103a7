"""A demo's letters as they are when all went well: a small print run would not do, the numbers decide who is who."""

from typing import Any

from workers.demo.letters import RECIPIENTS, customer_id, is_invalid, is_undeliverable
from workers.demo.mail import PlayedMail
from workers.demo.mail_ledger import HeldLetters, MailFacts

_VALID = [number for number in range(RECIPIENTS) if not is_invalid(number)]
KILLED = HeldLetters(batch_id="b1", reason="WORKER_LOST", customers=frozenset(map(customer_id, _VALID[:100])))
CUT = HeldLetters(
    batch_id="b2", reason="MAY_HAVE_ARRIVED", customers=frozenset(map(customer_id, _VALID[100:200]))
)
REFUSED = frozenset(customer_id(number) for number in _VALID[200:] if is_undeliverable(number))
_POSTED = len(_VALID) - 200 - len(REFUSED)
GOOD_MAIL_LEDGER = MailFacts(
    by_state={"posted": _POSTED, "failed": len(REFUSED), "held": 200, "refused": 33},
    by_reason={"failed: ADDRESS_REFUSED": len(REFUSED), "held: WORKER_LOST": 100},
    held=(KILLED, CUT),
    refused_addresses=REFUSED,
)
OPTILYZ: dict[str, Any] = {
    "requests": 15, "most_in_flight": 2, "printed": 980, "printed_twice": 0,
    "batch_sizes": {"100": 11}, "by_status": {"200": 10, "cut": 2},
}  # fmt: skip
BLOOMREACH: dict[str, Any] = {
    "batches": 30, "most_commands": 50, "refused": 0, "repeats": 0,
    "campaign_events_by_status": {"enqueued": _POSTED, "failed": len(REFUSED) + 33},
}  # fmt: skip
GOOD_MAIL = PlayedMail(
    answered={"queued": len(_VALID), "refused": 33, "duplicate": 97},
    unanswered=0,
    acknowledge_ms=(20.0, 31.04, 80.0),
    cut=KILLED.customers | CUT.customers,
    flagged=REFUSED | {customer_id(35)},
    optilyz=OPTILYZ,
    bloomreach=BLOOMREACH,
    faults={"reset_after": 1},
)
