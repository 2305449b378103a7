"""A worker's process that claims what others claim at the same time.

`python -m tests.contract.claimants URL COUNT SEED` prints what it won, one id a line.
"""

import random
import sys

from clearance.ledger.engine import Ledger, open_ledger
from clearance.ledger.obligations import ClaimRequest, claim_many
from clearance.obligations import ObligationId
from tests.fakes.clock import START
from tests.fakes.owed import LEASE

_AT_ONCE = 7


def won_by(ledger: Ledger, count: int, seed: int) -> list[str]:
    """Claim every one of `count` obligations, a few at a time in an order of its own."""
    names = [f"o{number:04}" for number in range(count)]
    random.Random(seed).shuffle(names)
    won: list[str] = []
    for first in range(0, count, _AT_ONCE):
        requests = [
            ClaimRequest(obligation_id=ObligationId(name), now=START, lease_until=START + LEASE)
            for name in names[first : first + _AT_ONCE]
        ]
        with ledger.write() as connection:
            won += [claimed.obligation_id for claimed in claim_many(connection, requests) if claimed]
    return won


if __name__ == "__main__":
    url, how_many, its_seed = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    opened = open_ledger(url, timeout_s=30)
    sys.stdout.write("".join(f"{name}\n" for name in won_by(opened, how_many, its_seed)))
    opened.close()
