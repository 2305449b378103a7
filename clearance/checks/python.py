"""What does a function of the operator's own say? Checks by their name among the entry points `clearance.checks`.

A distribution that is installed beside Clearance names a function that makes the check:

    # pyproject.toml
    [project.entry-points."clearance.checks"]
    fraud-score = "acme_checks:make_fraud_score"

    # acme_checks.py
    def make_fraud_score(options):                      # `options` of the rules file, read-only
        limit = options["limit"]

        def check(campaign, customers):                 # one answer a customer, in their order
            return [
                "SCORE_UNKNOWN" if "fraud_score" not in customer.attributes   # refused: FRAUD_SCORE:SCORE_UNKNOWN
                else customer.attributes["fraud_score"] < limit               # True approved; False: FRAUD_SCORE
                for customer in customers
            ]

        return check

    # rules.toml
    [[check]]
    id      = "fraud-score"
    reason  = "FRAUD_SCORE"
    python  = "fraud-score"
    options = { limit = 0.8 }

`make` is called once for each set of rules, and `check` from several threads at once. Customers carry the declared
attributes that they have, each of its declared kind. An answer is True, False, a code of refusal, or a `Verdict`; a
code is what `REASON_PATTERN` matches, anything else is not passed on: it may name somebody.

Nothing that a check does gets further than a verdict: an exception, an answer of another length or kind, or one after
the question's end counts as `on_error` says. A check cannot be interrupted: one that takes long keeps its thread.
"""

import difflib
import importlib.metadata
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType

import structlog

from clearance.checks.judge import Question
from clearance.clock import Clock
from clearance.decisions.decision import APPROVED, Campaign, Customer, Verdict
from clearance.decisions.rules import REASON_PATTERN, Otherwise, PythonCheck
from clearance.telemetry import Metrics

log = structlog.get_logger()

GROUP = "clearance.checks"
_CODE = re.compile(REASON_PATTERN)
_CODES = re.compile(f"{REASON_PATTERN}(:{REASON_PATTERN})?")

Answer = bool | str | Verdict
CheckCustomers = Callable[[Campaign, Sequence[Customer]], Sequence[Answer]]
EntryPoints = Callable[[], Iterable[importlib.metadata.EntryPoint]]


class PythonCheckError(Exception):
    """A check that cannot be made. The text names what to mend, never a value of its options."""


def load_python_check(
    check: PythonCheck, *, entry_points: EntryPoints = lambda: importlib.metadata.entry_points(group=GROUP)
) -> CheckCustomers:
    """The operator's function behind this check, made with its options.

    Raises:
        PythonCheckError: No such entry point, several, or one that cannot be loaded or made.
    """
    known = list(entry_points())
    found = [each for each in known if each.name == check.entry_point]
    if not found:
        raise PythonCheckError(_unknown(check.entry_point, sorted({each.name for each in known})))
    if len({each.value for each in found}) > 1:
        raise PythonCheckError(f"several distributions have a check `{check.entry_point}`")
    try:
        made: object = found[0].load()(MappingProxyType(dict(check.options)))
    except (Exception, SystemExit) as error:
        raise PythonCheckError(
            f"`{check.entry_point}` cannot be made: {type(error).__name__}; see that `{found[0].value}` can be"
            " called with these options"
        ) from error
    if not callable(made):
        raise PythonCheckError(f"`{check.entry_point}` makes no function, but {type(made).__name__}")
    return made


class PythonAsks:
    """`clearance.checks.judge.AsksOutside` for one `python` check.

    Args:
        check_customers: What `load_python_check` made.
        typed_attributes: The declared attributes that a customer has, each of its kind (`Engine.typed_attributes`).
    """

    def __init__(
        self,
        check: PythonCheck,
        check_customers: CheckCustomers,
        *,
        typed_attributes: Callable[[Customer], Mapping[str, object]],
        clock: Clock,
        metrics: Metrics,
    ) -> None:
        self._check = check
        self._check_customers = check_customers
        self._typed_attributes = typed_attributes
        self._clock = clock
        self._metrics = metrics
        self._failed = Verdict(
            approved=check.on_error is Otherwise.APPROVE, reasons=(f"CHECK_FAILED:{check.id}",)
        )
        self._refused = Verdict(approved=False, reasons=(check.reason,))

    def ask(self, question: Question) -> Sequence[Verdict]:
        """See `AsksOutside.ask`; only its end cannot be kept when the operator's function does not return."""
        if self._clock() >= question.ends_at:
            return self._failed_all(question, "no_time")
        try:
            verdicts = self._answered(question)
        except (Exception, SystemExit) as error:  # noqa: BLE001 - the operator's code may raise anything
            # Its text may name a customer.
            return self._failed_all(question, "raised", error=type(error).__name__)
        if self._clock() > question.ends_at:
            return self._failed_all(question, "late")
        if len(verdicts) != len(question.customers):
            return self._failed_all(question, "malformed")
        if None in verdicts:
            # For these customers alone: who was refused stays so, whatever `on_error` says.
            self._tell("malformed")
        return [verdict or self._failed for verdict in verdicts]

    def _answered(self, question: Question) -> list[Verdict | None]:
        """What the function says, as verdicts; None for an answer of no known kind, nothing for no list of answers."""
        typed = [
            replace(customer, attributes=dict(self._typed_attributes(customer)))
            for customer in question.customers
        ]
        answers: object = self._check_customers(question.campaign, typed)
        if not isinstance(answers, Sequence) or isinstance(answers, str | bytes | bytearray):
            return []
        return [self._verdict(answer) for answer in answers]

    def _verdict(self, answer: object) -> Verdict | None:
        if isinstance(answer, bool):
            return APPROVED if answer else self._refused
        if isinstance(answer, str):
            return self._refused_with(answer)
        if isinstance(answer, Verdict) and isinstance(answer.approved, bool):
            reasons = tuple(
                each for each in answer.reasons if isinstance(each, str) and _CODES.fullmatch(each)
            )
            return (
                Verdict(approved=answer.approved, reasons=reasons)
                if answer.approved or reasons
                else self._refused
            )
        return None

    def _refused_with(self, code: str) -> Verdict:
        if not _CODE.fullmatch(code):
            return self._refused
        return Verdict(approved=False, reasons=(f"{self._check.reason}:{code}",))

    def _failed_all(self, question: Question, why: str, **facts: str) -> list[Verdict]:
        self._tell(why, **facts)
        return [self._failed] * len(question.customers)

    def _tell(self, why: str, **facts: str) -> None:
        self._metrics.count("check_failures_total", check=self._check.id, why=why)
        log.warning("check.failed", check=self._check.id, why=why, **facts)


def _unknown(name: str, known: Sequence[str]) -> str:
    close = difflib.get_close_matches(name, known, n=1)
    if close:
        return f"no check `{name}` is installed; did you mean `{close[0]}`?"
    if not known:
        return f"no check `{name}` is installed; nothing is, among the entry points `{GROUP}`"
    return f"no check `{name}` is installed; there are {', '.join(known)}"
