"""What is asked and what is answered: a campaign, customers, verdicts of checks, and decisions that explain themselves.

This is the seam between the lanes and the rules. A lane turns a vendor's payload into `Campaign` and `Customer`; checks
give a `Verdict` each; a `Decision` is what all of them together say. Whatever is not known counts as "not approved",
with a reason that says so.
"""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Campaign:
    """What a policy may be chosen by. Absent parts are empty, never None: an expression over them stays total.

    Attributes:
        lane: `triggered`, `send_group` (V2) or `campaign` (V1).
    """

    lane: str
    series_id: str = ""
    occurrence_id: str = ""
    send_group_id: str = ""
    action_id: str = ""
    channel_id: str = ""
    channel_name: str = ""
    brand_id: str = ""
    template_id: str = ""
    template_name: str = ""
    tags: tuple[str, ...] = ()
    trigger_name: str = ""
    is_control: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Customer:
    """One customer as the vendor describes him. `customer_id` is text as sent: never coerced, never trimmed."""

    customer_id: str
    attributes: Mapping[str, object]
    promo_codes: tuple[str, ...] = ()
    is_hashed: bool = False
    is_visitor: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What one check says about one customer.

    `reasons` are codes: at least one unless approved. An approval may carry one too, when it was given although
    something is missing or failed, because the rules say so.
    """

    approved: bool
    reasons: tuple[str, ...] = ()


APPROVED = Verdict(approved=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """The answer for one customer and one campaign.

    `reasons` are codes, as of `Verdict`. `rules_version` names exactly what decided, `policy` the policy that was
    used; empty when none applied.
    """

    approved: bool
    reasons: tuple[str, ...]
    rules_version: str
    policy: str = ""
