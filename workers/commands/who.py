"""Who is at the command line? The name that the ledger keeps of who did something, and what it keeps of the deed."""

import getpass
import os
from datetime import datetime

from clearance.identifiers import new_id
from clearance.ledger.operator_actions import OperatorAction

# As wide as the ledger's columns.
_MOST_CHARACTERS = 64
_LONGEST_SUBJECT = 96


def operator() -> str:
    """The user of this machine under whom the command runs."""
    try:
        return getpass.getuser()[:_MOST_CHARACTERS]
    except (KeyError, OSError):  # a container's user may have no name
        return f"uid {os.getuid()}"


def action(
    name: str, subject: str, now: datetime, *, count: int = 1, why: str | None = None
) -> OperatorAction:
    """What the ledger keeps of what this operator does: `name` is the command, `subject` what it is done to."""
    return OperatorAction(
        action_id=new_id(now),
        at=now,
        who=operator(),
        action=name,
        subject=subject[:_LONGEST_SUBJECT],
        count=count,
        why=why,
    )
