"""A function of the operator's own is a check like any other, and whatever it does ends in a verdict."""

from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from importlib.metadata import EntryPoint
from typing import Any

import pytest
from structlog.typing import EventDict

from clearance.checks.judge import Question
from clearance.checks.python import GROUP, PythonAsks, PythonCheckError, load_python_check
from clearance.decisions.decision import APPROVED, Campaign, Customer, Verdict
from clearance.decisions.rules import Otherwise, PythonCheck
from tests.fakes.clock import ManualClock
from tests.fakes.metrics import RecordingMetrics

CAMPAIGN = Campaign(lane="triggered", tags=("bonus",))
TWO = (
    Customer(customer_id="C1", attributes={"score": "0.5"}),
    Customer(customer_id="C2", attributes={"score": "0.9"}),
)
CHECK = PythonCheck(id="fraud", reason="FRAUD_SCORE", entry_point="fraud-score", options={"limit": 0.8})
APPROVES = PythonCheck(
    id="fraud", reason="FRAUD_SCORE", entry_point="fraud-score", on_error=Otherwise.APPROVE
)
REFUSED = Verdict(approved=False, reasons=("FRAUD_SCORE",))
FAILED = Verdict(approved=False, reasons=("CHECK_FAILED:fraud",))
NOTED = Verdict(approved=True, reasons=("CHECK_FAILED:fraud",))


def make_fraud_score(options: Mapping[str, Any]) -> Callable[..., list[bool]]:
    """As the operator writes it: see the module's docstring."""
    limit = options["limit"]

    def check(campaign: Campaign, customers: Sequence[Customer]) -> list[bool]:
        return [customer.attributes["score"] < limit for customer in customers]

    return check


def make_nothing(options: Mapping[str, Any]) -> str:
    return "canary"


def make_by_changing_the_rules(options: Mapping[str, Any]) -> None:
    options["limit"] = 1.0  # type: ignore[index]  # what a careless operator does


def make_and_leave(options: Mapping[str, Any]) -> None:
    raise SystemExit("canary")


def installed(name: str, function: str = "make_fraud_score") -> EntryPoint:
    return EntryPoint(name, f"{__name__}:{function}", GROUP)


def typed(customer: Customer) -> Mapping[str, object]:
    return {"score": float(str(customer.attributes["score"]))}


class Asked:
    """One check with its surroundings."""

    def __init__(self, check: PythonCheck, function: Any, clock: ManualClock) -> None:
        self.metrics = RecordingMetrics()
        self.clock = clock
        self._asks = PythonAsks(check, function, typed_attributes=typed, clock=clock, metrics=self.metrics)

    def __call__(self, customers: Sequence[Customer] = TWO, *, in_s: float = 1.0) -> Sequence[Verdict]:
        ends_at = self.clock() + timedelta(seconds=in_s)
        return self._asks.ask(
            Question(campaign=CAMPAIGN, customers=customers, ends_at=ends_at, occasion="n1")
        )


def test_an_installed_check_is_made_with_its_options_and_asked_with_typed_attributes(
    clock: ManualClock,
) -> None:
    function = load_python_check(CHECK, entry_points=lambda: [installed("fraud-score")])
    asked = Asked(CHECK, function, clock)

    assert asked() == [APPROVED, REFUSED]


def test_a_check_hears_of_the_campaign_and_of_everything_else_about_a_customer(clock: ManualClock) -> None:
    heard: list[object] = []
    customer = Customer(
        customer_id="C1", attributes={"score": "1"}, promo_codes=("P",), is_hashed=True, is_visitor=True
    )

    def check(campaign: Campaign, customers: Sequence[Customer]) -> list[bool]:
        heard.extend([campaign, *customers])
        return [True]

    Asked(CHECK, check, clock)([customer])

    expected = Customer(
        customer_id="C1", attributes={"score": 1.0}, promo_codes=("P",), is_hashed=True, is_visitor=True
    )
    assert heard == [CAMPAIGN, expected]


def test_a_check_that_changes_what_it_is_given_changes_nothing_of_ours(clock: ManualClock) -> None:
    def check(campaign: Campaign, customers: Sequence[Customer]) -> list[bool]:
        for customer in customers:
            customer.attributes.clear()  # type: ignore[attr-defined]  # what a careless operator does
        return [True, True]

    assert Asked(CHECK, check, clock)() == [APPROVED, APPROVED]
    assert TWO[0].attributes == {"score": "0.5"}


@pytest.mark.parametrize(
    ("answer", "verdict"),
    [
        (True, APPROVED),
        (False, REFUSED),
        ("WALLET_LOCKED", Verdict(approved=False, reasons=("FRAUD_SCORE:WALLET_LOCKED",))),
        ("Jane Canary owes us", REFUSED),
        ("", REFUSED),
        ("WALLET_LOCKED\n", REFUSED),
        (
            Verdict(approved=False, reasons=("OWN", "OWN:CODE")),
            Verdict(approved=False, reasons=("OWN", "OWN:CODE")),
        ),
        (Verdict(approved=True, reasons=("OWN",)), Verdict(approved=True, reasons=("OWN",))),
        (Verdict(approved=True, reasons=("canary@example.com",)), APPROVED),
        (Verdict(approved=False, reasons=("canary@example.com",)), REFUSED),
        (Verdict(approved=False), REFUSED),
    ],
)
def test_an_answer_is_a_verdict_and_nobodys_name_passes(
    clock: ManualClock, answer: object, verdict: Verdict
) -> None:
    assert Asked(CHECK, lambda *_: [answer, True], clock)() == [verdict, APPROVED]


@pytest.mark.parametrize("answer", [1, 0, None, 1.0, b"CODE", [True], Verdict(approved=1)])  # type: ignore[arg-type]  # wrong on purpose
@pytest.mark.parametrize(("check", "verdict"), [(CHECK, FAILED), (APPROVES, NOTED)])
def test_an_answer_of_another_kind_fails_for_its_customer_and_leaves_a_refusal_alone(
    clock: ManualClock, answer: object, check: PythonCheck, verdict: Verdict
) -> None:
    asked = Asked(check, lambda *_: [answer, False], clock)

    assert asked() == [verdict, REFUSED]
    assert asked.metrics.counted("check_failures_total", check="fraud", why="malformed") == 1


@pytest.mark.parametrize(
    "answers",
    [[], [True], [True] * 3, None, "NO", b"no", {"C1": True, "C2": True}, (each for each in (1, 2)), 7],
)
@pytest.mark.parametrize(("check", "verdict"), [(CHECK, FAILED), (APPROVES, NOTED)])
def test_answers_that_are_no_list_of_that_length_fail_for_everybody(
    clock: ManualClock, answers: object, check: PythonCheck, verdict: Verdict
) -> None:
    asked = Asked(check, lambda *_: answers, clock)

    assert asked() == [verdict, verdict]
    assert asked.metrics.counted("check_failures_total", check="fraud", why="malformed") == 1


@pytest.mark.parametrize("error", [ValueError("canary"), KeyError("canary"), SystemExit(0), RecursionError()])
@pytest.mark.parametrize(("check", "verdict"), [(CHECK, FAILED), (APPROVES, NOTED)])
def test_an_exception_goes_no_further_and_is_logged_by_its_type_alone(
    clock: ManualClock,
    log_events: list[EventDict],
    error: BaseException,
    check: PythonCheck,
    verdict: Verdict,
) -> None:
    def raises(*_: object) -> list[bool]:
        raise error

    asked = Asked(check, raises, clock)

    assert asked() == [verdict, verdict]
    assert asked.metrics.counted("check_failures_total", check="fraud", why="raised") == 1
    assert log_events == [
        {
            "event": "check.failed",
            "log_level": "warning",
            "check": "fraud",
            "why": "raised",
            "error": type(error).__name__,
        }
    ]


def test_a_verdict_whose_reasons_are_no_reasons_goes_no_further(clock: ManualClock) -> None:
    wrong = Verdict(approved=False, reasons=None)  # type: ignore[arg-type]  # wrong on purpose

    assert Asked(CHECK, lambda *_: [wrong, True], clock)() == [FAILED, FAILED]


@pytest.mark.parametrize(("check", "verdict"), [(CHECK, FAILED), (APPROVES, NOTED)])
def test_an_answer_after_the_end_counts_as_none(
    clock: ManualClock, check: PythonCheck, verdict: Verdict
) -> None:
    def slow(*_: object) -> list[bool]:
        clock.advance(1.001)
        return [True, False]

    asked = Asked(check, slow, clock)

    assert asked(in_s=1.0) == [verdict, verdict]
    assert asked.metrics.counted("check_failures_total", check="fraud", why="late") == 1


def test_with_no_time_left_nobody_is_asked(clock: ManualClock) -> None:
    def never(*_: object) -> list[bool]:
        raise AssertionError("was asked")

    asked = Asked(CHECK, never, clock)

    assert asked(in_s=0) == [FAILED, FAILED]
    assert asked.metrics.counted("check_failures_total", check="fraud", why="no_time") == 1


@pytest.mark.parametrize(
    ("entry_points", "told"),
    [
        ([installed("fraud-scores")], "no check `fraud-score` is installed; did you mean `fraud-scores`?"),
        ([], "no check `fraud-score` is installed; nothing is"),
        ([installed("age"), installed("zip")], "no check `fraud-score` is installed; there are age, zip"),
        ([installed("fraud-score"), installed("fraud-score", "make_nothing")], "several distributions"),
        ([installed("fraud-score", "not_there")], "`fraud-score` cannot be made: AttributeError"),
        ([EntryPoint("fraud-score", "no_such_module:f", GROUP)], "cannot be made: ModuleNotFoundError"),
        ([installed("fraud-score", "make_and_leave")], "cannot be made: SystemExit"),
        ([installed("fraud-score", "make_by_changing_the_rules")], "cannot be made: TypeError"),
        ([installed("fraud-score", "make_nothing")], "`fraud-score` makes no function, but str"),
    ],
)
def test_a_check_that_cannot_be_made_is_told_with_what_to_mend(
    entry_points: list[EntryPoint], told: str
) -> None:
    with pytest.raises(PythonCheckError) as caught:
        load_python_check(CHECK, entry_points=lambda: entry_points)

    assert told in str(caught.value)
    assert "canary" not in str(caught.value)


def test_a_make_that_has_no_use_for_its_options_is_told_by_the_errors_type() -> None:
    without_limit = PythonCheck(id="fraud", reason="FRAUD_SCORE", entry_point="fraud-score")

    with pytest.raises(PythonCheckError, match="`fraud-score` cannot be made: KeyError"):
        load_python_check(without_limit, entry_points=lambda: [installed("fraud-score")])


def test_without_a_list_the_installed_distributions_are_asked() -> None:
    with pytest.raises(PythonCheckError, match="no check `fraud-score` is installed"):
        load_python_check(CHECK)
