"""Which recipients may be posted to: the vendor's rules alone and in pairs, and what a field may hold."""

from itertools import combinations
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clearance.optilyz.recipient import Recipient
from clearance.optilyz.recipients import (
    ReadRecipient,
    RefusedFor,
    RefusedRecipient,
    read_recipient,
)
from clearance.optilyz.recipients_schema import FIELDS

_GOOD = {
    "lastName": "Muster",
    "street": "Hauptstr.",
    "houseNumber": "5",
    "zipCode": "10115",
    "city": "Berlin",
}


def _taken(sent: object) -> Recipient:
    read = read_recipient(sent)
    assert isinstance(read, ReadRecipient), read
    return read.recipient


def _refused(sent: object) -> RefusedRecipient:
    read = read_recipient(sent)
    assert isinstance(read, RefusedRecipient), read
    return read


def _address(**changed: object) -> dict[str, object]:
    return {name: value for name, value in (_GOOD | changed).items() if value is not ...}


# The vendor's rules. What breaks each: fields to add, fields to take away (`...`), and the messages.

_NO_NAME = {
    "companyName1": ["required without lastName or fullName"],
    "lastName": ["required without companyName1 or fullName"],
    "fullName": ["required without companyName1 or lastName"],
}
_NO_STREET = {"street": ["required without address1"], "address1": ["required without street"]}
_BROKEN: dict[str, tuple[dict[str, object], dict[str, list[str]]]] = {
    "no name": ({"lastName": ...}, _NO_NAME),
    "fullName with lastName": (
        {"fullName": "Eva Muster"},
        {"fullName": ["not allowed together with lastName"]},
    ),
    "fullName with firstName": (
        {"fullName": "Eva Muster", "firstName": "Eva", "lastName": ...},
        {"fullName": ["not allowed together with firstName"]},
    ),
    "no street": ({"street": ..., "houseNumber": ...}, _NO_STREET),
    "address1 with street": (
        {"address1": "Ringweg 7", "houseNumber": ...},
        {"address1": ["not allowed together with street"]},
    ),
    "address1 with houseNumber": (
        {"address1": "Ringweg 7", "street": ...},
        {"address1": ["not allowed together with houseNumber"]},
    ),
    "no zipCode": ({"zipCode": ...}, {"zipCode": ["required"]}),
    "no city": ({"city": ...}, {"city": ["required"]}),
}
# Of the same fields, so that both cannot be broken in these words at once.
_EXCLUSIVE = {
    frozenset(pair)
    for pair in (
        ("no name", "fullName with lastName"),
        ("no name", "fullName with firstName"),
        ("fullName with lastName", "fullName with firstName"),
        ("no street", "address1 with street"),
        ("no street", "address1 with houseNumber"),
        ("address1 with street", "address1 with houseNumber"),
    )
}
_PAIRS = [pair for pair in combinations(_BROKEN, 2) if frozenset(pair) not in _EXCLUSIVE]


@pytest.mark.parametrize("rule", _BROKEN)
def test_each_rule_alone_is_refused_with_its_own_message(rule: str) -> None:
    changed, messages = _BROKEN[rule]

    assert _refused(_address(**changed)).messages_by_field == messages


@pytest.mark.parametrize("pair", _PAIRS, ids=" and ".join)
def test_each_pair_of_rules_is_refused_with_the_messages_of_both(pair: tuple[str, str]) -> None:
    (first, its_messages), (second, others) = _BROKEN[pair[0]], _BROKEN[pair[1]]

    assert _refused(_address(**first, **second)).messages_by_field == its_messages | others


@pytest.mark.parametrize(
    ("changed", "messages"),
    [
        (
            {"fullName": "Eva Muster", "firstName": "Eva"},
            ["not allowed together with lastName", "not allowed together with firstName"],
        ),
        (
            {"address1": "Ringweg 7"},
            ["not allowed together with street", "not allowed together with houseNumber"],
        ),
    ],
)
def test_a_field_that_breaks_two_rules_has_both_messages(
    changed: dict[str, object], messages: list[str]
) -> None:
    assert list(_refused(_address(**changed)).messages_by_field.values()) == [messages]


@pytest.mark.parametrize(
    "changed",
    [
        {},
        {"firstName": "Eva"},
        {"companyName1": "Muster GmbH"},
        {"companyName1": "Muster GmbH", "lastName": ...},
        {"companyName1": "Muster GmbH", "lastName": ..., "firstName": "Eva"},
        {"companyName1": "Muster GmbH", "lastName": ..., "fullName": "Eva Muster"},
        {"lastName": ..., "fullName": "Eva Muster"},
        {"houseNumber": ...},
        {"street": ..., "houseNumber": ..., "address1": "Ringweg 7", "address2": "Hof"},
        {"address2": "Hof"},
    ],
)
def test_what_the_rules_allow_is_taken(changed: dict[str, object]) -> None:
    assert dict(_taken(_address(**changed)).address) == _address(**changed)


def _by_the_page(holds: set[str]) -> bool:
    """The vendor's section 5, read line by line."""
    company, last, full = "companyName1" in holds, "lastName" in holds, "fullName" in holds
    street, address1 = "street" in holds, "address1" in holds
    return all(
        (
            company or full or last,  # companyName1: mandatory without 'fullName' or 'lastName'
            last or full or company,  # lastName: mandatory without 'fullName', optional with 'companyName1'
            not (last and full),  # ... not allowed in combination with 'fullName'
            not (full and (last or "firstName" in holds)),  # fullName: not with 'lastName' or 'firstName'
            street or address1,  # street: mandatory without 'address1'
            not (street and address1),  # ... not allowed in combination with 'address1'
            not (
                address1 and (street or "houseNumber" in holds)
            ),  # address1: not with 'street', 'houseNumber'
            "zipCode" in holds,
            "city" in holds,
        )
    )


_NOTHING = st.sampled_from([None, "", " ", "\t", "-", " - ", "null", "undefined", "N/A"])
_SOMETHING = st.sampled_from(["A", "Köln", " Ringweg 7 ", "Null", 7, "李"])


@settings(max_examples=400, derandomize=True, deadline=None)
@given(st.dictionaries(st.sampled_from(sorted(FIELDS)), st.one_of(_NOTHING, _SOMETHING)))
def test_validation_is_what_the_page_says(sent: dict[str, Any]) -> None:
    nothing = {None, "", "-", "null", "undefined", "N/A"}
    holds = {n for n, v in sent.items() if (v.strip() if isinstance(v, str) else v) not in nothing}

    read = read_recipient({"address": sent})

    assert isinstance(read, ReadRecipient) is _by_the_page(holds)
    if isinstance(read, ReadRecipient):
        assert read.recipient.address == {name: str(sent[name]).strip() for name in holds}


# What a field may hold


@pytest.mark.parametrize("nothing", ["", "   ", "\n", None])
def test_what_is_blank_counts_as_absent(nothing: object) -> None:
    assert "fullName" not in _taken(_address(fullName=nothing)).address
    assert _refused(_address(city=nothing)).messages_by_field == {"city": ["required"]}


@pytest.mark.parametrize(
    "placeholder",
    ["-", " - ", "--", ".", "…", "?", "/", "_", "null", "NULL", "None", "undefined", "NaN", "n/a"],
)
def test_a_placeholder_is_not_an_address_and_is_not_printed(placeholder: str) -> None:
    assert _refused(_address(city=placeholder)).messages_by_field == {
        "city": ["required", "a placeholder is not an address"]
    }
    assert "companyName2" not in _taken(_address(companyName2=placeholder)).address


@pytest.mark.parametrize("name", ["Null", "Nan", "Ng", "O", "X Æ", "李"])
def test_a_surname_is_no_placeholder(name: str) -> None:
    assert _taken(_address(lastName=name)).address["lastName"] == name


def test_a_whole_number_is_text() -> None:
    address = _taken(_address(zipCode=10115, houseNumber=5, individualisation1=42)).address

    assert (address["zipCode"], address["houseNumber"], address["individualisation1"]) == ("10115", "5", "42")


@pytest.mark.parametrize("value", [1.5, True, [], {}, ["Berlin"]])
def test_anything_else_is_no_text(value: object) -> None:
    assert _refused(_address(city=value)).messages_by_field == {"city": ["must be text"]}


@pytest.mark.parametrize("character", ["\0", "\n", "\t", "\x1b", "\x7f", "\x85", "\u2028"])
def test_control_characters_are_refused(character: str) -> None:
    told = ["must not hold control characters"]

    assert _refused(_address(city=f"Ber{character}lin")).messages_by_field == {"city": told}
    assert _refused(_address(individualisation1=f"a{character}b")).messages_by_field == {
        "individualisation1": told
    }


def test_lengths_are_bounded() -> None:
    _taken(_address(city="x" * 256, individualisation1="x" * 4096))

    assert _refused(_address(city="x" * 257, individualisation1="x" * 4097)).messages_by_field == {
        "city": ["must have at most 256 characters"],
        "individualisation1": ["must have at most 4096 characters"],
    }


# Individualisations


def test_individualisations_need_not_be_contiguous_and_leave_in_british_spelling() -> None:
    sent = _address(
        individualization1="a", individualisation5="b", individualization99="c", individualisation7=" "
    )

    address = _taken(sent).address

    assert {name: value for name, value in address.items() if name not in _GOOD} == {
        "individualisation1": "a",
        "individualisation5": "b",
        "individualisation99": "c",
    }


def test_both_spellings_of_one_are_fine_if_they_say_the_same() -> None:
    assert (
        _taken(_address(individualisation1="a", individualization1=" a ")).address["individualisation1"]
        == "a"
    )
    assert (
        _taken(_address(individualisation1="", individualization1="a")).address["individualisation1"] == "a"
    )

    refused = _refused(_address(individualisation1="a", individualization1="b", individualisation2="c"))

    assert refused.messages_by_field == {"individualisation1": ["sent in both spellings, and not the same"]}
    assert refused.individualisations == {"individualisation2": "c"}


def test_a_placeholder_in_an_individualisation_is_the_callers_own() -> None:
    assert _taken(_address(individualisation1="-")).address["individualisation1"] == "-"


# What is beside the address


@pytest.mark.parametrize("variation", [1, "b", 0, {"id": "x"}, [1], False])
def test_variation_and_vouchers_go_through_as_they_came(variation: object) -> None:
    vouchers = [{"code": "A1", "name": "Ten"}, {"code": "A2", "more": [1.5, None]}]

    for sent in (
        {"address": _GOOD, "variation": variation, "vouchers": vouchers},
        {**_GOOD, "variation": variation, "vouchers": vouchers},
    ):
        taken = _taken(sent)
        assert (taken.variation, taken.vouchers, dict(taken.address)) == (variation, vouchers, _GOOD)


@pytest.mark.parametrize(
    "nothing", [{}, {"variation": None, "vouchers": None}, {"variation": " ", "vouchers": []}]
)
def test_without_them_nothing_is_sent_for_them(nothing: dict[str, object]) -> None:
    assert _taken({"address": _GOOD} | nothing) == Recipient(address=_GOOD)


def _deep(depth: int) -> list[Any]:
    value: list[Any] = []
    for _ in range(depth):
        value = [value]
    return value


@pytest.mark.parametrize(
    ("beside", "messages"),
    [
        ({"variation": "x" * 300}, {"variation": ["must have at most 256 bytes as JSON"]}),
        ({"vouchers": ["x" * 17_000]}, {"vouchers": ["must have at most 16384 bytes as JSON"]}),
        ({"vouchers": {"code": "A1"}}, {"vouchers": ["must be a list"]}),
        ({"vouchers": _deep(300)}, {"vouchers": ["must not be nested so deep"]}),
    ],
)
def test_what_is_too_much_beside_the_address_is_refused(
    beside: dict[str, object], messages: dict[str, list[str]]
) -> None:
    assert _refused({"address": _GOOD} | beside).messages_by_field == messages


def test_what_is_nested_as_deep_as_allowed_can_be_written() -> None:
    deepest = next(depth for depth in range(300, 0, -1) if isinstance(_read_deep(depth), ReadRecipient))
    recipient = _taken({"address": _GOOD, "vouchers": _deep(deepest)})

    assert recipient.payload()
    assert recipient.dedupe_key("automation", is_dry_run=False)


def _read_deep(depth: int) -> object:
    return read_recipient({"address": _GOOD, "vouchers": _deep(depth)})


@pytest.mark.parametrize("sent", [None, 1, "text", [], [_GOOD], True])
def test_what_is_no_object_is_no_recipient(sent: object) -> None:
    assert _refused(sent).messages_by_field == {"recipient": ["must be an object"]}


@pytest.mark.parametrize("address", [None, "Hauptstr. 5", [], 1])
def test_what_is_no_object_is_no_address(address: object) -> None:
    assert _refused({"address": address}).messages_by_field == {"address": ["must be an object"]}


# Fields that Optilyz does not know


def test_an_unknown_field_is_left_out_and_named() -> None:
    read = read_recipient({"address": _address(email="eva@example.com", **{"<b>": 1}), "priority": 1})

    assert isinstance(read, ReadRecipient)
    assert dict(read.recipient.address) == _GOOD
    assert read.left_out == ("email", "?b?", "priority")


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("zip_code", "zipCode"),
        ("housenumber", "houseNumber"),
        ("Country", "country"),
        ("address4", "address1 to address3"),
        ("companyName", "companyName1 to companyName3"),
        ("individualisation", "individualisation1 to individualisation999"),
        ("individualization0", "individualisation1 to individualisation999"),
        ("individualisation01", "individualisation1 to individualisation999"),
    ],
)
def test_a_field_that_is_nearly_one_is_refused_because_it_would_be_missing_on_the_letter(
    name: str, meant: str
) -> None:
    assert _refused(_address(**{name: "x"})).messages_by_field == {
        name: [f"is no field of an address: {meant}"]
    }


def test_no_message_holds_what_was_sent() -> None:
    secret = "secret"
    read = _refused(
        {
            "address": {
                "city": f"{secret}\0",
                "zipCode": [secret],
                "individualisation1": f"{secret}\n{secret}",
                "individualisation2": secret,
                "individualization2": f"{secret}!",
            },
            "vouchers": secret,
            "variation": secret * 99,
        }
    )

    assert secret not in read.message


# Whether it is the customer's address


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"city": ""}, RefusedFor.ADDRESS_INCOMPLETE),
        ({"zipCode": None}, RefusedFor.ADDRESS_INCOMPLETE),
        ({"street": "-"}, RefusedFor.ADDRESS_INCOMPLETE),
        ({"street": ..., "address1": ""}, RefusedFor.ADDRESS_INCOMPLETE),
        ({"street": "", "city": "-", "zipCode": ""}, RefusedFor.ADDRESS_INCOMPLETE),
        ({"city": ...}, RefusedFor.RECIPIENT_INVALID),  # not sent: every customer's would be wrong
        ({"city": "", "zipCode": ...}, RefusedFor.RECIPIENT_INVALID),
        ({"lastName": ""}, RefusedFor.RECIPIENT_INVALID),  # that is not where they live
        ({"city": "", "lastName": ""}, RefusedFor.RECIPIENT_INVALID),
        ({"city": "", "fullName": "Eva"}, RefusedFor.RECIPIENT_INVALID),
        ({"city": "", "zip": "1", "zip_code": "1"}, RefusedFor.RECIPIENT_INVALID),
        ({"city": "", "firstName": 1.5}, RefusedFor.RECIPIENT_INVALID),
        ({"city": "", "individualisation1": 1.5}, RefusedFor.RECIPIENT_INVALID),
    ],
)
def test_only_a_part_of_the_address_that_was_sent_empty_is_the_customers_address(
    changed: dict[str, object], reason: RefusedFor
) -> None:
    assert _refused({"address": _address(**changed)}).reason is reason


def test_who_was_refused_is_still_known() -> None:
    refused = _refused(_address(city="", individualization1="eva@example.com", individualisation2=[]))

    assert refused.individualisations == {"individualisation1": "eva@example.com"}


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from([*sorted(FIELDS), "address", "individualization2", "variation"])
            | st.text(max_size=9),
            inner,
            max_size=9,
        )
    ),
    max_leaves=20,
)


@settings(max_examples=300, derandomize=True, deadline=None)
@given(_JSON, st.booleans())
def test_whatever_is_sent_is_taken_or_refused_and_what_is_taken_can_be_kept(sent: Any, is_good: bool) -> None:
    if is_good and isinstance(sent, dict):
        sent = {"address": sent | _GOOD, "variation": sent.get("variation"), "vouchers": [sent]}

    read = read_recipient(sent)

    if isinstance(read, RefusedRecipient):
        assert read.message
    else:
        assert read.recipient.payload()
        assert len(read.recipient.dedupe_key("automation", is_dry_run=False)) == 64
