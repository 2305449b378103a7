"""What should each notification of a demo have been answered? The demo's rules (rules.toml) once more, in plain Python.

In: what the sandbox sent. Out: the reasons against, so that a decision of the fleet can be held against them.
"""

from collections.abc import Mapping, Sequence
from typing import Any

_PROMOTION = "PROMOTION_NOT_ACTIVE"
PROMOTION_FAILED = "CHECK_FAILED:promotion-active"
_LICENSED = ("DE", "AT", "NL")
_MINIMUM_DEPOSIT = 50.0
# The sandbox's customers, by number; one in twenty is suppressed.
_CUSTOMERS = range(100_000, 1_000_000)
_EACH_SUPPRESSED = 20


def suppressed_customers() -> list[str]:
    """Whom the demo puts on its suppression list."""
    return [f"C{number}" for number in _CUSTOMERS if _is_suppressed(number)]


def reasons_against(item: Mapping[str, Any]) -> set[str]:
    """Why the customer of this notification must not get it, but for what the promotion service says."""
    return _reasons(item["user_id"], item["personalization"], has_bonus="bonus" in item["tags"])


def is_asked_about(item: Mapping[str, Any]) -> bool:
    """Whether the promotion service has a say: for a bonus, and only when nothing else is against it."""
    return "bonus" in item["tags"] and not reasons_against(item)


def is_right(item: Mapping[str, Any], approved: bool, reasons: Sequence[str]) -> bool:
    """Whether a decision about this notification is one that the rules allow, with exactly their reasons.

    What the promotion service answers is not known here: where it is asked, it may say no, or nothing.
    """
    against = reasons_against(item)
    if against or approved:
        return approved is not bool(against) and set(reasons) == against
    said_no = all(reason == PROMOTION_FAILED or reason.partition(":")[0] == _PROMOTION for reason in reasons)
    return is_asked_about(item) and bool(reasons) and said_no


def is_customer_right(item: Mapping[str, Any], *, has_bonus: bool) -> bool:
    """Whether a customer of a group got the rules' answer; the promotion service refuses ids that end in 6."""
    customer_id = item["customer_id"]
    is_refused = bool(_reasons(customer_id, item["attributes"], has_bonus=has_bonus))
    is_locked = has_bonus and customer_id.endswith("6")
    return bool(item["answer"] == ("rejected" if is_refused or is_locked else "approved"))


def is_customer_asked_about(item: Mapping[str, Any], *, has_bonus: bool) -> bool:
    """As `is_asked_about`, of a customer of a group."""
    return has_bonus and not _reasons(item["customer_id"], item["attributes"], has_bonus=has_bonus)


def _reasons(customer_id: str, attributes: Mapping[str, str], *, has_bonus: bool) -> set[str]:
    against = {
        "SELF_EXCLUDED": attributes["self_excluded"] == "true",
        "COUNTRY_NOT_LICENSED": attributes["country"] not in _LICENSED,
        "DEPOSITS_BELOW_MINIMUM": has_bonus and float(attributes["total_deposits"]) < _MINIMUM_DEPOSIT,
        "SUPPRESSED": _is_suppressed(int(customer_id.removeprefix("C"))),
    }
    return {reason for reason, holds in against.items() if holds}


def _is_suppressed(number: int) -> bool:
    return number % _EACH_SUPPRESSED == 0
