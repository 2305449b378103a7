"""The judge: everybody who has a say is asked once and in time, and nobody about a customer who is refused anyway."""

from collections.abc import Mapping, Sequence
from datetime import timedelta

from clearance.checks.judge import Judge, Question
from clearance.decisions.decision import APPROVED, Campaign, Customer, Verdict
from clearance.decisions.engine import Engine
from clearance.decisions.expressions import Kind
from clearance.decisions.rules import (
    AskWhen,
    CelCheck,
    Check,
    HttpCheck,
    Otherwise,
    Policy,
    PythonCheck,
    Rules,
    SuppressionCheck,
)
from tests.fakes.clock import START

_ENDS_AT = START + timedelta(seconds=3)
_ADULT = CelCheck(id="adult", reason="UNDER_AGE", expression="age >= 18", when_missing=Otherwise.REJECT)
_LISTED = SuppressionCheck(id="listed", reason="SUPPRESSED", list_name="customers")
_ACTIVE = HttpCheck(
    id="active", reason="NOT_ACTIVE", url="http://promotions/", ask_when=AskWhen.OTHERS_APPROVE
)
_KNOWN = HttpCheck(id="known", reason="UNKNOWN", url="http://crm/")
_OWN = PythonCheck(id="own", reason="NOT_NOW", entry_point="own")
_BONUS = Campaign(lane="triggered", tags=("bonus",))
_ADULTS = [Customer(customer_id=name, attributes={"age": 40}) for name in ("C1", "C2", "C3")]
_CHILD = Customer(customer_id="K1", attributes={"age": 9})


class Asked:
    """A check that answers by customer, and remembers its questions."""

    def __init__(self, answer_by_customer: Mapping[str, Verdict] | None = None) -> None:
        self.answer_by_customer = answer_by_customer or {}
        self.questions: list[Question] = []

    def ask(self, question: Question) -> Sequence[Verdict]:
        self.questions.append(question)
        return [self.answer_by_customer.get(each.customer_id, APPROVED) for each in question.customers]

    def customers(self) -> list[list[str]]:
        return [[each.customer_id for each in question.customers] for question in self.questions]


def _judge(asks_by_check: Mapping[str, Asked], *checks: Check) -> Judge:
    rules = Rules(
        version="v1",
        text="",
        kind_by_attribute={"age": Kind.INT},
        no_policy=Otherwise.REJECT,
        check_by_id={check.id: check for check in checks},
        policies=(Policy(id="bonus", applies='"bonus" in tags', checks=tuple(check.id for check in checks)),),
    )
    return Judge(Engine(rules), asks_by_check)


def _refused(reason: str) -> Verdict:
    return Verdict(approved=False, reasons=(reason,))


def _reasons(judge: Judge, customers: Sequence[Customer]) -> list[tuple[str, ...]]:
    judged = judge.judge(_BONUS, customers, ends_at=_ENDS_AT, occasion="r-1")
    assert all(each.decision.approved is not bool(each.decision.reasons) for each in judged)
    return [each.decision.reasons for each in judged]


def test_every_check_is_asked_once_about_all_customers_with_the_time_that_it_has() -> None:
    listed, known = Asked(), Asked()

    assert _reasons(_judge({"listed": listed, "known": known}, _ADULT, _LISTED, _KNOWN), _ADULTS) == [()] * 3

    expected = Question(campaign=_BONUS, customers=_ADULTS, ends_at=_ENDS_AT, occasion="r-1")
    assert listed.questions == known.questions == [expected]


def test_who_is_refused_here_is_asked_about_all_the_same_and_every_reason_is_told() -> None:
    listed = Asked({"K1": _refused("SUPPRESSED")})

    assert _reasons(_judge({"listed": listed}, _ADULT, _LISTED), [_CHILD]) == [("UNDER_AGE", "SUPPRESSED")]


def test_the_last_check_is_asked_only_about_those_whom_nothing_else_refuses() -> None:
    listed, active = Asked({"C2": _refused("SUPPRESSED")}), Asked({"C3": _refused("NOT_ACTIVE:LOCKED")})
    judge = _judge({"listed": listed, "active": active}, _ADULT, _LISTED, _ACTIVE)

    reasons = _reasons(judge, [_CHILD, *_ADULTS])

    assert active.customers() == [["C1", "C3"]]
    assert reasons == [("UNDER_AGE",), (), ("SUPPRESSED",), ("NOT_ACTIVE:LOCKED",)]


def test_the_last_check_is_not_asked_when_nobody_is_left() -> None:
    active = Asked()

    assert _reasons(_judge({"active": active}, _ADULT, _ACTIVE), [_CHILD]) == [("UNDER_AGE",)]

    assert active.questions == []


def test_what_is_told_about_a_decision_is_what_was_answered_and_nothing_else() -> None:
    judge = _judge(
        {"listed": Asked(), "active": Asked({"C1": _refused("NOT_ACTIVE")})}, _ADULT, _LISTED, _ACTIVE
    )

    child, adult = judge.judge(_BONUS, [_CHILD, _ADULTS[0]], ends_at=_ENDS_AT, occasion="r-1")

    assert child.answers == {"listed": APPROVED}
    assert adult.answers == {"listed": APPROVED, "active": _refused("NOT_ACTIVE")}


def test_nobody_is_asked_for_a_campaign_that_no_policy_names() -> None:
    listed = Asked()
    judge = _judge({"listed": listed}, _LISTED)

    (judged,) = judge.judge(Campaign(lane="triggered"), _ADULTS[:1], ends_at=_ENDS_AT, occasion="r-1")

    assert (judged.decision.approved, judged.decision.reasons) == (False, ("NO_POLICY",))
    assert listed.questions == []


def test_several_checks_are_asked_at_once_and_one_without_the_detour() -> None:
    handed_over: list[list[str]] = []

    def at_once(ask, check_ids):
        handed_over.append(list(check_ids))
        return [ask(check_id) for check_id in reversed(check_ids)][::-1]

    asks = {"listed": Asked(), "own": Asked({"C1": _refused("NOT_NOW")}), "active": Asked()}
    several = _judge(asks, _ADULT, _LISTED, _OWN, _ACTIVE)
    several = Judge(several.engine, asks, at_once=at_once)

    assert _reasons(several, _ADULTS[:2]) == [("NOT_NOW",), ()]
    assert handed_over == [["listed", "own"]]


def test_nobody_is_asked_about_no_customers() -> None:
    listed = Asked()

    assert _judge({"listed": listed}, _LISTED).judge(_BONUS, [], ends_at=_ENDS_AT, occasion="r-1") == []
    assert listed.questions == []
