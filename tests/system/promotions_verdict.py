"""The verdict where the promotion system has a say (rules_promotions.toml): as ever, and nobody activated twice."""

import json
from collections import Counter
from collections.abc import Mapping
from typing import Any

from tests.system.fleet import APPROVED_COUNTRY, Fleet
from tests.system.ledger_reader import Owed
from tests.system.verdict import Verdict, judge

FAILED = "CHECK_FAILED:promotion-active"
_LOCKED = "PROMOTION_NOT_ACTIVE:BONUS_WALLET_LOCKED"


def judged(fleet: Fleet) -> tuple[Verdict, Mapping[str, int]]:
    """The verdict, and what the promotion system has counted."""
    verdict = judge(fleet, expected=_expected)
    promotions: Mapping[str, int] = fleet.report()["promotions"]
    fleet.note(f"promotions: {dict(promotions)}, reasons: {dict(reasons(verdict))}")
    # Each question has a key of its own: more answers than questions would be somebody activated twice.
    assert promotions["activated"] + promotions["refused"] <= asked(verdict)
    assert promotions["conflicts"] == 0
    return verdict, promotions


def reasons(verdict: Verdict) -> Counter[str]:
    """How often each reason was recorded."""
    return Counter(
        reason for owed in verdict.owed for row in owed.decisions for reason in json.loads(row.reasons)
    )


def asked(verdict: Verdict) -> int:
    """How many notifications the promotion system had a say in."""
    return len(verdict.owed) - reasons(verdict)["COUNTRY_NOT_LICENSED"]


def _expected(row: Mapping[str, Any], owed: Owed) -> str:
    """By the ledger's reasons, which must be possible ones; the promotion system refuses whose id ends in 6."""
    (decision,) = owed.decisions
    against = json.loads(decision.reasons)
    if row["personalization"]["country"] != APPROVED_COUNTRY:
        assert against == ["COUNTRY_NOT_LICENSED"]
    elif against != [FAILED]:
        assert against == ([_LOCKED] if row["user_id"].endswith("6") else []), against
    return "rejected" if against else "approved"
