"""What does one check say? Whether all is well, and if not, what is wrong, what to do, and where that is written.

A finding holds no secret, no address and nothing about a person: it is pasted into tickets and chats.
"""

from dataclasses import dataclass
from enum import StrEnum


class Level(StrEnum):
    """How bad it is. `WARN`: it works, but a person should know, or something could not be looked at."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


class Runbook(StrEnum):
    """The pages in `docs/runbooks`."""

    APPROVALS_LATE = "approvals-late"
    GROUP_WILL_MISS_DEADLINE = "group-will-miss-deadline"
    MAIL_HELD = "mail-held"
    BROKER_GONE = "broker-gone"
    LEDGER_DOWN = "ledger-down"
    VENDOR_401 = "vendor-401"
    VENDOR_FAILING = "vendor-failing"
    WORKERS_UP_NOTHING_MOVES = "workers-up-nothing-moves"
    RULES_REFUSED = "rules-refused"
    LANE_PAUSED = "lane-paused"
    CLOCKS_APART = "clocks-apart"
    FEEDBACK_PARKED = "feedback-parked"

    @property
    def page(self) -> str:
        """Where it is, from the checkout's root."""
        return f"docs/runbooks/{self.value}.md"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One line.

    Attributes:
        check: What was looked at: `ledger`, `lane mail`, `clock redis`.
        told: What was found.
        do: What to do about it; empty where nothing is to be done.
    """

    check: str
    level: Level
    told: str
    do: str = ""
    runbook: Runbook | None = None


def ok(check: str, told: str) -> Finding:
    """Nothing to do."""
    return Finding(check=check, level=Level.OK, told=told)


def warn(check: str, told: str, do: str = "", runbook: Runbook | None = None) -> Finding:
    """It works, but."""
    return Finding(check=check, level=Level.WARN, told=told, do=do, runbook=runbook)


def fail(check: str, told: str, do: str, runbook: Runbook | None = None) -> Finding:
    """It does not work."""
    return Finding(check=check, level=Level.FAIL, told=told, do=do, runbook=runbook)
