"""Which ledger does a command look into? Opened without whatever else a process talks to: who typed it waits for it."""

from clearance.ledger.engine import Ledger, open_ledger
from config.settings import Settings


def ledger(here: Settings) -> Ledger:
    """The ledger of these settings, not yet connected."""
    return open_ledger(here.ledger_url, timeout_s=here.ledger_timeout_s)
