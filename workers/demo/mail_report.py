"""Which promises about letters did a demo keep, and in which figures?

In: what the relay answered, what the sandbox printed, and what the ledger says. Pure, like the rest of the report.
"""

from statistics import median
from typing import Any

from clearance.mail_states import RecipientState
from workers.demo.letters import RECIPIENTS, customer_id, is_invalid, is_undeliverable, requests
from workers.demo.mail import PlayedMail
from workers.demo.mail_ledger import MailFacts
from workers.demo.promise import Promise

_IN_FLIGHT_MAX = 2
_NUMBERS = range(RECIPIENTS)
_INVALID = frozenset(customer_id(number) for number in _NUMBERS if is_invalid(number))
_UNDELIVERABLE = frozenset(customer_id(number) for number in _NUMBERS if is_undeliverable(number))
_ENDED = (RecipientState.POSTED, RecipientState.FAILED, RecipientState.HELD, RecipientState.REFUSED)


def judge_mail(played: PlayedMail, ledger: MailFacts) -> list[Promise]:
    """Every promise about letters, kept or not."""
    return [
        _taken(played),
        _accounted_for(ledger),
        _printed_once(played),
        _in_flight(played),
        _held_as_cut(played, ledger),
        _bloomreach_told(played, ledger),
    ]


def mail_figures(played: PlayedMail, ledger: MailFacts) -> dict[str, Any]:
    """The lane of letters."""
    vendor = played.optilyz
    return {
        "recipients": RECIPIENTS,
        "relay_answered": dict(played.answered),
        "acknowledge_ms_for_100": {
            "p50": round(median(played.acknowledge_ms), 1),
            "max": round(max(played.acknowledge_ms), 1),
        },
        "letters": dict(ledger.by_state),
        "not_posted_by_reason": dict(ledger.by_reason),
        "held_for_a_person": {f"{each.batch_id} {each.reason}": len(each.customers) for each in ledger.held},
        "printed": vendor["printed"],
        "printed_twice": vendor["printed_twice"],
        "most_in_flight": vendor["most_in_flight"],
        "batch_sizes": dict(vendor["batch_sizes"]),
        "vendor_answers": dict(vendor["by_status"]),
        "vendor_faults": dict(played.faults),
    }


def track_figures(played: PlayedMail) -> dict[str, Any]:
    """The lane of what Bloomreach was told."""
    told = played.bloomreach
    return {
        "batches": told["batches"],
        "most_commands": told["most_commands"],
        "campaign_events": dict(told["campaign_events_by_status"]),
        "addresses_flagged": len(played.flagged),
        "refused": told["refused"],
        "repeats": told["repeats"],
    }


def _taken(played: PlayedMail) -> Promise:
    expected = {"queued": RECIPIENTS - len(_INVALID), "refused": len(_INVALID), "duplicate": 0}
    seen: set[int] = set()
    for letters in requests():
        again = [number for number in letters.numbers if number in seen]
        seen.update(letters.numbers)
        expected["refused"] += sum(map(is_invalid, again))
        expected["duplicate"] += sum(not is_invalid(number) for number in again)
    answered = {name: played.answered.get(name, 0) for name in expected}
    return Promise(
        name="the relay took every valid recipient once, and refused the others one by one",
        held=answered == expected and not played.unanswered,
        measured=f"{answered['queued']} taken, {answered['duplicate']} recognised, {answered['refused']} refused, "
        f"{played.unanswered} requests unanswered",
    )


def _accounted_for(ledger: MailFacts) -> Promise:
    count = sum(ledger.by_state.values())
    ended = sum(ledger.by_state.get(state, 0) for state in _ENDED)
    return Promise(
        name="every recipient was posted, failed, refused or is held, with a reason",
        held=0 < count == ended and not ledger.unexplained,
        measured=", ".join(f"{number} {state}" for state, number in sorted(ledger.by_state.items()))
        + f"; {ledger.unexplained} unexplained",
    )


def _printed_once(played: PlayedMail) -> Promise:
    printed, twice = played.optilyz["printed"], played.optilyz["printed_twice"]
    return Promise(
        name="no letter was printed twice",
        held=printed > 0 == twice,
        measured=f"{printed} printed, {twice} of them again",
    )


def _in_flight(played: PlayedMail) -> Promise:
    most = played.optilyz["most_in_flight"]
    return Promise(
        name="never a third request to Optilyz in flight",
        held=0 < most <= _IN_FLIGHT_MAX,
        measured=f"at most {most} of {played.optilyz['requests']} at the same time",
    )


def _held_as_cut(played: PlayedMail, ledger: MailFacts) -> Promise:
    held = frozenset[str]().union(*(each.customers for each in ledger.held))
    # What a killed worker had in hand is held, even if it had just got the answer, or was about to send.
    sure = frozenset[str]().union(*(each.customers for each in ledger.held if not each.had_a_killed_worker))
    return Promise(
        name="held are those whose request was cut or whose worker was killed, and nobody else",
        held=played.cut <= held and sure <= played.cut,
        measured=f"{len(held)} held in {len(ledger.held)} batches, {len(played.cut)} in requests that were cut",
    )


def _bloomreach_told(played: PlayedMail, ledger: MailFacts) -> Promise:
    held = frozenset[str]().union(*(each.customers for each in ledger.held))
    events = played.bloomreach["campaign_events_by_status"]
    states = ledger.by_state
    failed = states.get(RecipientState.FAILED, 0) + states.get(RecipientState.REFUSED, 0)
    heard = ledger.refused_addresses & played.flagged
    return Promise(
        name="Bloomreach heard of every letter's fate, and of every refused address",
        held=ledger.refused_addresses == _UNDELIVERABLE - held
        and heard == ledger.refused_addresses
        and played.flagged <= _UNDELIVERABLE | _INVALID
        and events.get("enqueued", 0) == states.get(RecipientState.POSTED, 0)
        and events.get("failed", 0) == failed,
        measured=f"{len(heard)} of {len(ledger.refused_addresses)} addresses; "
        f"{events.get('enqueued', 0)} enqueued, {events.get('failed', 0)} failed",
    )
