"""Which moments `clearance.optimove.site_time` reads from a site's wall clock, also while it is being moved."""

from datetime import UTC, datetime, timedelta, timezone
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clearance.optimove.site_time import SiteTime, parse

ZONES = ["UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kolkata", "Pacific/Apia"]
BERLIN = SiteTime(ZoneInfo("Europe/Berlin"))


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("zone", "text", "expected"),
    [
        ("UTC", "2026-11-20 09:30:00", "2026-11-20 09:30:00"),
        ("Europe/Berlin", "2026-11-20 09:30:00", "2026-11-20 08:30:00"),
        ("Europe/Berlin", "2026-07-20 09:30:00", "2026-07-20 07:30:00"),
        ("America/New_York", "2026-12-31 23:00:00", "2027-01-01 04:00:00"),
        ("Australia/Lord_Howe", "2026-07-01 00:00:00", "2026-06-30 13:30:00"),
    ],
)
def test_a_time_is_that_of_the_sites_clock(zone: str, text: str, expected: str) -> None:
    loaded = SiteTime(ZoneInfo(zone)).load(text)
    assert loaded == utc(expected)
    assert loaded.tzinfo is UTC


# The clock goes from 02:00 to 03:00 (Berlin, New York), from 02:00 to 02:30 (Lord Howe).
@pytest.mark.parametrize(
    ("zone", "text", "earlier", "later"),
    [
        ("Europe/Berlin", "2026-03-29 02:30:00", "2026-03-29 00:30:00", "2026-03-29 01:30:00"),
        ("America/New_York", "2026-03-08 02:30:00", "2026-03-08 06:30:00", "2026-03-08 07:30:00"),
        ("Australia/Lord_Howe", "2026-10-04 02:15:00", "2026-10-03 15:15:00", "2026-10-03 15:45:00"),
    ],
)
def test_a_time_that_never_comes_counts_before_the_clock_is_put_forward(
    zone: str, text: str, earlier: str, later: str
) -> None:
    site_time = SiteTime(ZoneInfo(zone))
    assert site_time.load(text) == utc(earlier)
    assert site_time.readings(parse(text)) == (utc(earlier), utc(later))


# The clock goes back from 03:00 to 02:00 (Berlin), from 02:00 to 01:00 (New York), to 01:30 (Lord Howe).
@pytest.mark.parametrize(
    ("zone", "text", "earlier", "later"),
    [
        ("Europe/Berlin", "2026-10-25 02:30:00", "2026-10-25 00:30:00", "2026-10-25 01:30:00"),
        ("America/New_York", "2026-11-01 01:30:00", "2026-11-01 05:30:00", "2026-11-01 06:30:00"),
        ("Australia/Lord_Howe", "2026-04-05 01:45:00", "2026-04-04 14:45:00", "2026-04-04 15:15:00"),
    ],
)
def test_a_time_that_comes_twice_counts_before_the_clock_is_put_back(
    zone: str, text: str, earlier: str, later: str
) -> None:
    site_time = SiteTime(ZoneInfo(zone))
    assert site_time.load(text) == utc(earlier)
    assert site_time.readings(parse(text)) == (utc(earlier), utc(later))


@pytest.mark.parametrize(
    ("zone", "texts"),
    [
        (
            "Europe/Berlin",
            ["2026-03-29 01:59:59", "2026-03-29 03:00:00", "2026-10-25 01:59:59", "2026-10-25 03:00:00"],
        ),
        (
            "America/New_York",
            ["2026-03-08 01:59:59", "2026-03-08 03:00:00", "2026-11-01 00:59:59", "2026-11-01 02:00:00"],
        ),
        (
            "Australia/Lord_Howe",
            ["2026-10-04 01:59:59", "2026-10-04 02:30:00", "2026-04-05 01:29:59", "2026-04-05 02:00:00"],
        ),
    ],
)
def test_beside_a_change_of_the_clock_nothing_is_in_doubt(zone: str, texts: list[str]) -> None:
    site_time = SiteTime(ZoneInfo(zone))
    for text in texts:
        assert len(site_time.readings(parse(text))) == 1
        assert site_time.dump(site_time.load(text)) == text


@pytest.mark.parametrize(
    "text",
    [
        "2026-10-25 02:30:00+01:00",
        "2026-10-25T02:30:00+0100",
        "2026-10-25T01:30:00Z",
        "2026-10-25 01:30:00.000Z",
    ],
)
def test_an_offset_counts_where_there_is_one(text: str) -> None:
    assert BERLIN.readings(parse(text)) == (utc("2026-10-25 01:30:00"),)


@pytest.mark.parametrize(
    "text",
    [
        "", "canary", "YYYY-MM-DD HH:MM:SS", "2026-11-20", "2026-11-20 09:30", "20261120 093000", "2026-11-20 9:30:00",
        "2026-11-20  09:30:00", " 2026-11-20 09:30:00", "2026-11-20 09:30:00\n", "2026-11-20 09:30:00 canary",
        "2026-02-29 09:30:00", "2026-13-01 00:00:00", "2026-11-20 24:00:00", "2026-11-20 23:59:60",
        "1969-12-31 23:59:59", "0001-01-01 00:00:00", "9999-12-31 23:59:59", "٢٠٢٦-11-20 09:30:00",
        "2026-11-20 09:30:00+25:00", "2026-11-20 09:30:00+01:00:30", "2026-11-20 09:30:00,500",
    ],
)  # fmt: skip
def test_what_is_no_time_is_refused_without_being_repeated(text: str) -> None:
    with pytest.raises(ValueError, match="must be a time") as caught:
        BERLIN.load(text)
    assert "canary" not in str(caught.value)
    assert caught.value.__suppress_context__ or caught.value.__context__ is None


@pytest.mark.parametrize("sent", [None, 1785240000, 1.5, True, [], {}, b"2026-11-20 09:30:00"])
def test_only_text_is_a_time(sent: object) -> None:
    with pytest.raises(ValueError, match="must be a time"):
        parse(sent)


@pytest.mark.parametrize("zone", ZONES)
@pytest.mark.parametrize("text", ["1970-01-01 00:00:00", "9998-12-31 23:59:59", "1970-01-01 00:00:00+23:59"])
def test_the_first_and_the_last_time_are_read_in_every_zone(zone: str, text: str) -> None:
    assert SiteTime(ZoneInfo(zone)).load(text).tzinfo is UTC


def test_a_moment_is_written_by_the_sites_clock_in_whole_seconds() -> None:
    at = datetime(2026, 7, 1, 12, 0, 5, 999_999, tzinfo=UTC)
    assert BERLIN.dump(at) == "2026-07-01 14:00:05"
    assert BERLIN.dump(at.astimezone(timezone(timedelta(hours=-5)))) == "2026-07-01 14:00:05"


def test_a_moment_without_a_zone_is_not_written() -> None:
    with pytest.raises(ValueError, match="zone"):
        BERLIN.dump(datetime(2026, 7, 1))  # noqa: DTZ001  # that it has none is the point


FIRST, LAST = datetime(1990, 1, 1, tzinfo=UTC), datetime(2036, 1, 1, tzinfo=UTC)
moments = st.integers(0, int((LAST - FIRST).total_seconds())).map(lambda s: FIRST + timedelta(seconds=s))


@given(st.sampled_from(ZONES), moments)
def test_a_moment_that_is_written_is_among_the_readings_and_never_later_than_read(
    zone: str, at: datetime
) -> None:
    site_time = SiteTime(ZoneInfo(zone))
    text = site_time.dump(at)
    assert at in site_time.readings(parse(text))
    assert at - timedelta(hours=1) <= site_time.load(text) <= at
