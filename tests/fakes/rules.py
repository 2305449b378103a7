"""Rules, campaigns and customers as a test needs them, without a file."""

from collections.abc import Mapping, Sequence

from clearance.decisions.decision import Campaign, Customer
from clearance.decisions.expressions import Kind
from clearance.decisions.rules import CelCheck, Check, Otherwise, Policy, Rules

CAMPAIGN = Campaign(lane="send_group", tags=("bonus",))


def cel(
    expression: str,
    *,
    id: str = "check",
    reason: str | None = None,
    when_missing: Otherwise = Otherwise.REJECT,
) -> CelCheck:
    """A check; its reason is its id in capitals unless another is given."""
    return CelCheck(
        id=id,
        reason=reason or id.upper().replace("-", "_"),
        expression=expression,
        when_missing=when_missing,
    )


def policy(*checks: str, id: str = "policy", applies: str = "true") -> Policy:
    return Policy(id=id, applies=applies, checks=checks)


def rules(
    *checks: Check,
    attributes: Mapping[str, Kind],
    policies: Sequence[Policy] | None = None,
    no_policy: Otherwise = Otherwise.REJECT,
) -> Rules:
    """A set of these checks; without `policies`, one that applies to everything and names all of them."""
    return Rules(
        version="v1",
        text="",
        kind_by_attribute=attributes,
        no_policy=no_policy,
        check_by_id={check.id: check for check in checks},
        policies=tuple(policies if policies is not None else [policy(*(check.id for check in checks))]),
    )


def customer(customer_id: str = "c1", /, **attributes: object) -> Customer:
    return Customer(customer_id=customer_id, attributes=attributes)
