"""What counts as answered, late, missing, repeated, unknown."""

from array import array

import pytest

from clearance.sandbox.record import Kind, Record, State
from clearance.sandbox.report import details, percentiles, summarise

DEADLINE_MS = 5000


def _sent(record: Record, kind: Kind = Kind.VALID) -> str:
    row = record.add(kind, customer=1, sent_at_s=1.0, deadline_at_ms=DEADLINE_MS, behind_ms=0.0)
    return record.request_uid(row)


def _take(record: Record, request_uid: str, at_ms: int, *, approved: bool = True) -> State | None:
    return record.take(request_uid, approved, read_at_ms=at_ms, read_at_s=at_ms / 1000)


def _summary(record: Record, now_ms: int) -> dict[str, object]:
    names = (
        "answered",
        "approved",
        "rejected",
        "late",
        "missing",
        "pending",
        "duplicate_answers",
        "unknown_answers",
    )
    summary = summarise(record, now_ms=now_ms, refused_keys=0, injected={}, promotions={})
    return {name: summary[name] for name in names if summary[name]}


def test_the_first_answer_in_time_counts_and_a_repeated_one_changes_nothing() -> None:
    record = Record()
    request_uid = _sent(record)
    assert _take(record, request_uid, 2000) is State.APPROVED
    assert _take(record, request_uid, 2001, approved=False) is None
    assert _summary(record, 9000) == {"answered": 1, "approved": 1, "duplicate_answers": 1}
    assert record.approval_ms[0] == pytest.approx(1000)


def test_an_answer_at_the_deadline_is_in_time_and_a_millisecond_later_it_is_not() -> None:
    record = Record()
    in_time, late = _sent(record), _sent(record)
    assert _take(record, in_time, DEADLINE_MS, approved=False) is State.REJECTED
    assert _take(record, late, DEADLINE_MS + 1) is State.LATE
    assert _summary(record, 9000) == {"answered": 1, "rejected": 1, "late": 1, "missing": 1}


def test_without_an_answer_it_is_pending_until_its_deadline_and_then_missing() -> None:
    record = Record()
    _sent(record)
    assert _summary(record, DEADLINE_MS) == {"pending": 1}
    assert _summary(record, DEADLINE_MS + 1) == {"missing": 1}


def test_a_late_answer_to_what_was_already_counted_as_missing_is_late_and_missing_once() -> None:
    record = Record()
    request_uid = _sent(record)
    _summary(record, 6000)
    _take(record, request_uid, 6001)
    _take(record, request_uid, 6002)
    assert _summary(record, 9000) == {"late": 1, "missing": 1, "duplicate_answers": 1}


def test_a_long_window_does_not_hide_a_later_row_with_a_short_one() -> None:
    record = Record()
    record.add(Kind.VALID, customer=1, sent_at_s=0, deadline_at_ms=99_000, behind_ms=0)
    _sent(record)
    assert _summary(record, 6000) == {"missing": 1, "pending": 1}
    assert _summary(record, 99_001) == {"missing": 2}


@pytest.mark.parametrize("kind", [Kind.BAD_SIGNATURE, Kind.MALFORMED])
def test_an_answer_to_what_had_to_be_refused_is_unknown(kind: Kind) -> None:
    record = Record()
    _take(record, _sent(record, kind), 2000)
    assert _summary(record, 9000) == {"unknown_answers": 1}


def test_an_expired_notification_is_never_missing_but_an_answer_to_it_is_late() -> None:
    record = Record()
    request_uid = _sent(record, Kind.EXPIRED)
    assert _summary(record, 9000) == {}
    _take(record, request_uid, 9000)
    assert _summary(record, 9000) == {"late": 1}


def test_a_duplicate_shares_its_originals_uid_and_one_answer_serves_both() -> None:
    record = Record()
    request_uid = _sent(record)
    row = record.add(
        Kind.DUPLICATE, customer=1, sent_at_s=1, deadline_at_ms=DEADLINE_MS, behind_ms=0, original=0
    )
    assert record.request_uid(row) == request_uid
    _take(record, request_uid, 2000)
    assert _summary(record, 9000) == {"answered": 1, "approved": 1}


def test_what_was_never_sent_is_unknown() -> None:
    record, other = Record(), Record()
    request_uid = _sent(record)
    _sent(other)
    wrong = [
        other.request_uid(0),
        request_uid[:-1],
        request_uid[:-1] + "9",
        request_uid[:-2] + "+0",
        "",
        "x" * 36,
    ]
    for text in wrong:
        assert _take(record, text, 2000) is None, text
    assert record.unknown_answers == len(wrong)


def test_a_notification_is_acknowledged_for_each_target_and_failures_have_no_time() -> None:
    record = Record()
    _sent(record)
    _sent(record)
    record.acknowledge(0, 202, read_at_s=1.010)
    record.acknowledge(0, 500, read_at_s=1.020)
    record.acknowledge(1, None, read_at_s=9.0)
    summary = summarise(record, now_ms=0, refused_keys=3, injected={}, promotions={})
    assert summary["acknowledged"] == {"202": 1, "500": 1, "failed": 1}
    assert summary["by_kind"]["valid"] == {"sent": 2, "status": {"202": 1, "500": 1, "failed": 1}}
    assert summary["acknowledge_ms"]["max"] == pytest.approx(20)
    assert summary["refused_keys"] == 3


def test_percentiles_are_values_that_were_measured() -> None:
    column = array("d", [-1.0, *(float(number) for number in range(1, 1001))])
    assert percentiles(column) == {"p50": 500.0, "p99": 990.0, "p999": 999.0, "max": 1000.0}
    assert percentiles(array("d", [7.0, -1.0])) == {"p50": 7.0, "p99": 7.0, "p999": 7.0, "max": 7.0}
    assert percentiles(array("d", [-1.0])) == {"p50": None, "p99": None, "p999": None, "max": None}


def test_details_tell_what_was_asked_and_answered() -> None:
    record = Record()
    request_uid = _sent(record)
    _sent(record, Kind.MALFORMED)
    _take(record, request_uid, 1250, approved=False)
    first, second = details(record)
    assert (first["request_uid"], first["user_id"], first["answer"]) == (request_uid, "C1", "rejected")
    assert first["notification_to_approval_ms"] == pytest.approx(250)
    assert "self_excluded" in first["personalization"]
    assert (second["kind"], second["answer"], second["status"]) == ("malformed", None, None)
