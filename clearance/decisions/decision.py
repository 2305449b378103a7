"""What is asked and what is answered: a campaign, a customer, and a decision that explains itself.

This is the seam between the lanes and the rules. A lane turns a vendor's payload into `Campaign` and `Customer`; a
`Decide` turns those into a `Decision`. A `Decide` is total: whatever it is given, it answers, and it answers
"not approved" with a reason when it does not know.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Campaign:
    """What a policy may be chosen by. Absent parts are empty, never None: an expression over them stays total."""

    lane: str
    series_id: str = ""
    occurrence_id: str = ""
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
class Decision:
    """The answer for one customer and one campaign.

    `reasons` are codes, at least one unless approved. `rules_version` names exactly what decided.
    """

    approved: bool
    reasons: tuple[str, ...]
    rules_version: str


Decide = Callable[[Campaign, Customer], Decision]
