"""Ids: unique, of one length, and sorted by the time they were made."""

from datetime import timedelta

from clearance.identifiers import new_id
from tests.fakes.clock import START


def test_ids_of_the_same_moment_differ() -> None:
    assert len({new_id(START) for _ in range(10_000)}) == 10_000


def test_ids_sort_by_the_millisecond_they_were_made_in() -> None:
    moments = [START + timedelta(milliseconds=number) for number in range(1_000)]
    ids = [new_id(moment) for moment in moments]

    assert ids == sorted(ids)


def test_an_id_fits_its_column_and_says_its_millisecond() -> None:
    made = new_id(START)

    assert len(made) == 32
    assert int(made[:12], 16) == int(START.timestamp() * 1000)
    assert int(made, 16) >= 0
