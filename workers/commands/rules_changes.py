"""What changes between two decisions about the same, and how often? For `clearance rules diff`."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

from clearance.decisions.decision import APPROVED, Decision
from clearance.decisions.engine import Engine
from clearance.decisions.inputs import Inputs
from clearance.decisions.rules import CelCheck

_CHANGES = ("newly approved", "newly rejected", "other reasons")


@dataclass(frozen=True, slots=True, kw_only=True)
class Compared:
    """Two decisions about one customer. `subject` is what was decided about; empty for a file's customers."""

    customer_id: str
    subject: str
    before: Decision
    after: Decision

    @property
    def change(self) -> str | None:
        """One of `_CHANGES`; None when answer and reasons are the same, in whichever order."""
        if self.before.approved != self.after.approved:
            return "newly approved" if self.after.approved else "newly rejected"
        return "other reasons" if set(self.before.reasons) != set(self.after.reasons) else None

    def row(self) -> dict[str, object]:
        """A line of the table: reasons that go have a minus, those that come a plus."""
        gone = [f"-{each}" for each in self.before.reasons if each not in self.after.reasons]
        come = [f"+{each}" for each in self.after.reasons if each not in self.before.reasons]
        return {
            "customer": self.customer_id,
            "subject": self.subject,
            "from": answer_of(self.before),
            "to": answer_of(self.after),
            "why": " ".join(gone + come),
        }

    def facts(self) -> dict[str, object]:
        """The same for scripts."""
        return {
            "customer": self.customer_id,
            "subject": self.subject or None,
            "change": self.change,
            "from": _facts(self.before),
            "to": _facts(self.after),
        }


@dataclass(slots=True, kw_only=True)
class Changes:
    """Everything that was compared.

    Attributes:
        against: The version that was decided by again; None when past decisions count as they stand.
        not_replayed: Checks without an answer, by how many decisions depended on it.
        unreadable: Kept inputs that cannot be read.
    """

    against: str | None
    count_by_change: Counter[str | None] = field(default_factory=Counter)
    changed: list[Compared] = field(default_factory=list)
    not_replayed: Counter[str] = field(default_factory=Counter)
    unreadable: int = 0

    @property
    def compared(self) -> int:
        """How many were decided twice."""
        return self.count_by_change.total()

    def add(self, compared: Compared) -> None:
        """Count it; keep it if it changes."""
        self.count_by_change[compared.change] += 1
        if compared.change is not None:
            self.changed.append(compared)

    def counted(self) -> Iterator[str]:
        """The counts for a person."""
        yield f"{self.count_by_change[None]} the same"
        for change in _CHANGES:
            yield f"{self.count_by_change[change]} {change}"

    def remarks(self) -> Iterator[str]:
        """What the counts do not say of themselves."""
        for check_id, count in self.not_replayed.items():
            yield f"not replayed: {check_id} has no recorded answer, assumed to approve ({count} decisions)"
        if self.unreadable:
            yield f"left out: {self.unreadable} past decisions whose inputs cannot be read"

    def facts(self) -> dict[str, object]:
        """All of it for scripts."""
        return {
            "against": self.against,
            "compared": self.compared,
            "same": self.count_by_change[None],
            **{change.replace(" ", "_"): self.count_by_change[change] for change in _CHANGES},
            "not_replayed": dict(self.not_replayed),
            "unreadable": self.unreadable,
            "changed": [each.facts() for each in self.changed],
        }


def replayed(engine: Engine, held: Inputs, not_replayed: Counter[str]) -> Decision:
    """The decision by these rules, from what was answered then.

    A check that was not asked is taken to approve. That is counted only where it matters: who is refused anyway would
    perhaps not have been asked about either.
    """
    policy = engine.policy_for(held.campaign)
    if isinstance(policy, Decision):
        return policy
    outside = [each for each in policy.checks if not isinstance(engine.rules.check_by_id[each], CelCheck)]
    missing = [each for each in outside if each not in held.answers]
    answers = {**dict.fromkeys(missing, APPROVED), **held.answers}
    decision = engine.decide(held.campaign, held.customer, answers)
    if decision.approved:
        not_replayed.update(missing)
    return decision


def answer_of(decision: Decision) -> str:
    """The answer in one word."""
    return "approved" if decision.approved else "rejected"


def _facts(decision: Decision) -> dict[str, object]:
    return {
        "answer": answer_of(decision),
        "reasons": list(decision.reasons),
        "policy": decision.policy or None,
        "version": decision.rules_version,
    }
