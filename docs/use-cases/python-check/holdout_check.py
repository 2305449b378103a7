"""Who is kept out of every campaign, so that the effect of campaigns can be measured? A share that never changes.

In: `percent` and `salt` from the rules file. Out: for each customer whether he may be reached. The same customer is in
or out for as long as the salt stays, on every machine; another salt draws another share.
"""

import hashlib


def make_holdout(options):
    """The check that these options ask for; called once for each set of rules.

    Raises:
        ValueError: The options cannot be meant. Clearance then refuses the rules.
    """
    percent, salt = options["percent"], options["salt"]
    if type(percent) is not int or not 0 <= percent <= 100:
        raise ValueError("percent: a whole number from 0 to 100")
    if type(salt) is not str or not salt:
        raise ValueError("salt: a text")

    def check(campaign, customers):  # noqa: ARG001 - a check's signature; this one is for every campaign
        """One answer a customer, in their order. Called from several threads at once: it keeps nothing."""
        return [_answer(customer) for customer in customers]

    def _answer(customer):
        # Absent and malformed look the same here, so what is not there refuses: IN_HOLDOUT:NO_BRAND.
        if "brand" not in customer.attributes:
            return "NO_BRAND"
        text = f"{salt}/{customer.attributes['brand']}/{customer.customer_id}"
        number = int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big")
        return number % 100 >= percent

    return check
