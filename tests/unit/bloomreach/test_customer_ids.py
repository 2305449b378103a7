"""Customer ids: only what names somebody may be sent, because an unknown id makes a customer."""

import pytest

from clearance.bloomreach.customer_ids import is_usable, usable_ids


@pytest.mark.parametrize(
    "value",
    ["", " ", "-", "@", "null", "Null", "undefined", " undefined ", "\t", "…", "None", "none", "NaN", "n/a"],
)
def test_what_names_nobody_is_left_out(value: str) -> None:
    assert usable_ids({"registered": value}) == {}


@pytest.mark.parametrize("value", ["a", "7", "anna@example.com", "nullable", "ä", "not-null", "nonesuch"])
def test_what_names_somebody_is_kept_without_white_space_around_it(value: str) -> None:
    assert usable_ids({"registered": f" {value}\n"}) == {"registered": value}


def test_of_several_ids_those_are_kept_that_name_somebody() -> None:
    assert usable_ids({"registered": "", "cookie": "c1"}) == {"cookie": "c1"}


@pytest.mark.parametrize("value", [" a", "a ", None, 7, ""])
def test_an_id_that_would_have_to_be_changed_is_none_as_it_stands(value: object) -> None:
    assert not is_usable(value)
