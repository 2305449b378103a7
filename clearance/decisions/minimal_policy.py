"""Who is approved until an operator has written rules: one condition, from a setting.

`reject` (the default), `approve`, or `attribute:NAME=VALUE`: approved is only who has exactly that value.
"""

import hashlib

from clearance.decisions.decision import Campaign, Customer, Decide, Decision


def minimal_policy(text: str) -> Decide:
    """The policy that `text` states.

    Raises:
        ValueError: The text is none of the three forms; correct the setting.
    """
    version = "minimal-" + hashlib.sha256(text.encode()).hexdigest()[:12]
    if text in ("reject", "approve"):
        decision = Decision(
            approved=text == "approve",
            reasons=() if text == "approve" else ("POLICY_REJECTS_ALL",),
            rules_version=version,
        )
        return lambda _campaign, _customer: decision
    form, _, condition = text.partition(":")
    name, equals, value = condition.partition("=")
    if form != "attribute" or not name or not equals:
        raise ValueError("must be `reject`, `approve` or `attribute:NAME=VALUE`")

    def decide(_campaign: Campaign, customer: Customer) -> Decision:
        if name not in customer.attributes:
            return Decision(approved=False, reasons=(f"MISSING:{name}",), rules_version=version)
        if customer.attributes[name] != value:
            return Decision(approved=False, reasons=(f"ATTRIBUTE_DIFFERS:{name}",), rules_version=version)
        return Decision(approved=True, reasons=(), rules_version=version)

    return decide
