"""The policy before there are rules: total, and not approved whenever it does not know."""

import hypothesis.strategies as st
import pytest
from hypothesis import given

from clearance.decisions.decision import Campaign, Customer
from clearance.decisions.minimal_policy import minimal_policy

_CAMPAIGN = Campaign(lane="triggered")
_VALUES = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(), st.lists(st.integers()))


def _customer(**attributes: object) -> Customer:
    return Customer(customer_id="C1", attributes=attributes)


def test_reject_rejects_and_says_so() -> None:
    decision = minimal_policy("reject")(_CAMPAIGN, _customer(plan="gold"))

    assert (decision.approved, decision.reasons) == (False, ("POLICY_REJECTS_ALL",))


def test_approve_approves() -> None:
    decision = minimal_policy("approve")(_CAMPAIGN, _customer())

    assert (decision.approved, decision.reasons) == (True, ())


@pytest.mark.parametrize(
    ("attributes", "approved", "reasons"),
    [
        ({"plan": "gold"}, True, ()),
        ({"plan": "Gold"}, False, ("ATTRIBUTE_DIFFERS:plan",)),
        ({"plan": "gold "}, False, ("ATTRIBUTE_DIFFERS:plan",)),
        ({"plan": None}, False, ("ATTRIBUTE_DIFFERS:plan",)),
        ({"Plan": "gold"}, False, ("MISSING:plan",)),
        ({}, False, ("MISSING:plan",)),
    ],
)
def test_an_attribute_must_have_exactly_the_value(
    attributes: dict[str, object], approved: bool, reasons: tuple[str, ...]
) -> None:
    decision = minimal_policy("attribute:plan=gold")(_CAMPAIGN, _customer(**attributes))

    assert (decision.approved, decision.reasons) == (approved, reasons)


def test_a_value_may_hold_an_equals_sign() -> None:
    assert minimal_policy("attribute:tag=a=b")(_CAMPAIGN, _customer(tag="a=b")).approved


@pytest.mark.parametrize("value", [True, 1, 1.0])
def test_text_is_not_coerced(value: object) -> None:
    assert not minimal_policy("attribute:consent=true")(_CAMPAIGN, _customer(consent=value)).approved
    assert not minimal_policy("attribute:consent=1")(_CAMPAIGN, _customer(consent=value)).approved


@pytest.mark.parametrize(
    "text", ["", "Approve", "approve ", "attribute:", "attribute:x", "attribute:=x", "x:y=z"]
)
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="must be `reject`, `approve` or `attribute:NAME=VALUE`"):
        minimal_policy(text)


@given(attributes=st.dictionaries(st.text(), _VALUES))
def test_whatever_a_customer_has_there_is_an_answer_with_a_reason(attributes: dict[str, object]) -> None:
    decision = minimal_policy("attribute:plan=gold")(
        _CAMPAIGN, Customer(customer_id="C1", attributes=attributes)
    )

    assert decision.approved is (attributes.get("plan") == "gold")
    assert decision.approved or decision.reasons


def test_the_version_names_the_policy() -> None:
    versions = {
        minimal_policy(text)(_CAMPAIGN, _customer()).rules_version
        for text in ("reject", "approve", "attribute:a=1", "attribute:a=2")
    }

    assert len(versions) == 4
    again = minimal_policy("reject")(_CAMPAIGN, _customer()).rules_version
    assert again in versions
    assert again.startswith("minimal-")
