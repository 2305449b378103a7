"""What `clearance.optilyz.replies` reads, and what it refuses to read."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clearance.optilyz.replies import AmbiguousReply, RefusedLetter, TakenLetter, load_results

TAKEN, REFUSED = {"id": "rcp_01"}, {"error": {"message": "zipCode: unknown"}}


def _body(*results: Any, **more: Any) -> bytes:
    return json.dumps({"requestId": "r-1", "results": list(results)} | more).encode()


def test_results_are_read_by_position() -> None:
    answered = load_results(_body(TAKEN, REFUSED, {"id": "rcp_02", "error": None}), 3)

    assert answered.results == (
        TakenLetter(vendor_id="rcp_01"),
        RefusedLetter(message="zipCode: unknown"),
        TakenLetter(vendor_id="rcp_02"),
    )
    assert answered.request_id == "r-1"


def test_counts_beside_the_results_are_not_believed() -> None:
    answered = load_results(_body(REFUSED, success=False, queued=1, ignored=0), 1)

    assert answered.results == (RefusedLetter(message="zipCode: unknown"),)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b" ",
        b"<html><body>Bad gateway</body></html>",
        b'{"results": [{"id": "rcp_01"}',
        b'{"results": [{"id": "\xff"}]}',
        b"null",
        b"[]",
        b'"ok"',
        b"{}",
        b'{"success": true}',
        b'{"results": null}',
        b'{"results": {"0": {"id": "rcp_01"}}}',
        _body(),
        _body(TAKEN, TAKEN),
        _body(None),
        _body("rcp_01"),
        _body([TAKEN]),
        _body({}),
        _body({"id": ""}),
        _body({"id": None}),
        _body({"id": 7}),
        _body({"id": "x" * 257}),
        _body({"id": "a\0b"}),
        _body({"error": "zipCode: unknown"}),
        _body({"error": {}}),
        _body({"error": {"message": None}}),
        _body(TAKEN | REFUSED),
    ],
)
def test_what_does_not_say_what_became_of_each_letter_is_ambiguous(body: bytes) -> None:
    with pytest.raises(AmbiguousReply):
        load_results(body, 1)


def test_one_result_that_does_not_fit_makes_all_of_them_ambiguous() -> None:
    with pytest.raises(AmbiguousReply, match="result 1"):
        load_results(_body(TAKEN, {"state": "queued"}, TAKEN), 3)


def test_an_error_names_nothing_that_the_vendor_wrote() -> None:
    for body in (b"Anna Muster", _body("Anna Muster"), _body({"error": {"Anna": "Muster"}})):
        with pytest.raises(AmbiguousReply) as raised:
            load_results(body, 1)
        assert "Anna" not in str(raised.value)


def test_texts_are_of_bounded_length_and_can_be_stored() -> None:
    answered = load_results(_body({"error": {"message": "a\0" * 5_000}}, requestId="r" * 999), 1)

    assert answered.results == (RefusedLetter(message="a" * 500),)
    assert answered.request_id == "r" * 256


@given(
    results=st.lists(
        st.one_of(
            st.builds(lambda text: {"id": text}, st.text(min_size=1, max_size=20)),
            st.builds(lambda text: {"error": {"message": text}}, st.text(max_size=20)),
            st.dictionaries(st.sampled_from(["id", "error", "x"]), st.none() | st.text(max_size=3)),
        ),
        max_size=5,
    ),
    sent=st.integers(0, 5),
)
def test_a_reply_gives_one_result_for_each_letter_or_none_at_all(results: list[Any], sent: int) -> None:
    try:
        answered = load_results(_body(*results), sent)
    except AmbiguousReply:
        return
    assert len(answered.results) == sent == len(results)
    for told, result in zip(results, answered.results, strict=True):
        assert isinstance(result, TakenLetter) is (told.get("error") is None)
