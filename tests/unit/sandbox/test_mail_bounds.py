"""What the sandbox remembers of mail is bounded, whatever is sent."""

from types import SimpleNamespace
from typing import Any, cast

import pytest
from aiohttp import web

from clearance.sandbox import bloomreach_record, bounded_counts, optilyz_record
from clearance.sandbox.bloomreach_commands import Told
from clearance.sandbox.bloomreach_record import BloomreachRecord
from clearance.sandbox.optilyz_record import OptilyzRecord


class _Request(dict[Any, Any]):
    transport = SimpleNamespace(is_closing=lambda: False)


def test_the_oldest_letters_are_forgotten_and_no_longer_count_as_printed_before(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(optilyz_record, "LETTERS_KEPT", 3)
    record = OptilyzRecord()
    asked = record.begin(cast("web.Request", _Request()), "a")

    for number in (1, 2, 3, 4, 4, 1):
        record.print(asked, str(number), {"houseNumber": number})

    summary = record.summary()
    assert [letter.letter_id for letter in record.letters] == ["4", "4", "1"]
    assert (summary["printed"], summary["printed_twice"], summary["forgotten"]["letters"]) == (6, 1, 3)


def test_the_oldest_ids_of_customers_are_forgotten_and_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bloomreach_record, "CUSTOMERS_KEPT", 2)
    monkeypatch.setattr(bloomreach_record, "EVENTS_KEPT", 2)
    record = BloomreachRecord()

    for number in (1, 2, 3, 1):
        told = Told(
            customer_ids={"registered": str(number)}, event_type="campaign", properties={}, timestamp=1.0
        )
        record.take(told, now_s=1.0)

    summary = record.summary()
    assert (summary["customers"], summary["forgotten"]) == (2, {"ids": 2, "events": 2})
    assert summary["repeats"] == 0, "the first was forgotten before it came again"


def test_names_that_the_sender_chooses_are_counted_one_by_one_only_so_long(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(bounded_counts, "NAMES_MAX", 2)
    counts = bounded_counts.BoundedCounts()

    for name in ("a", "b", "c", "a", "d"):
        counts.add(name)

    assert dict(counts) == {"a": 2, "b": 1, "others": 2}
