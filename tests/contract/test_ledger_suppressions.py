"""Suppression lists: an entry counts while it stands, a repeat changes nothing, a look finds exactly who is asked."""

from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta

from clearance.ledger import suppressions
from clearance.ledger.engine import Ledger
from clearance.ledger.group_commit import GroupCommit
from clearance.ledger.suppressions import Added, ListCount, Lookup, Suppression, find_many
from clearance.telemetry import NoMetrics
from tests.fakes.clock import START

_HOUR = timedelta(hours=1)


def _entry(
    customer_id: str,
    *,
    list_name: str = "customers",
    at: datetime = START,
    by: str = "ada",
    note: str | None = None,
    until: datetime | None = None,
) -> Suppression:
    return Suppression(
        list_name=list_name, customer_id=customer_id, added_at=at, added_by=by, note=note, until=until
    )


def _add(ledger: Ledger, *items: Suppression) -> Added:
    with ledger.write() as connection:
        return suppressions.add_many(connection, items)


def _page(
    ledger: Ledger, list_name: str = "customers", *, after: str = "", limit: int = 100
) -> list[Suppression]:
    with ledger.read() as connection:
        return suppressions.listed(connection, list_name, after=after, limit=limit)


def _find(ledger: Ledger, *lookups: Lookup) -> list[set[str]]:
    with ledger.read() as connection:
        return [set(found) for found in find_many(connection, lookups)]


def _lookup(*customer_ids: str, list_name: str = "customers", now: datetime = START) -> Lookup:
    return Lookup(list_name=list_name, customer_ids=customer_ids, now=now)


def test_entries_are_added_once_and_a_repeat_leaves_who_added_them(ledger: Ledger) -> None:
    first = [_entry("C2", note="n", until=START + _HOUR), _entry("C1")]
    assert _add(ledger, *first) == Added(added=2)

    again = [
        _entry("C1", at=START + _HOUR, by="bob"),
        _entry("C2", by="bob", until=START + _HOUR),
        _entry("C3"),
    ]
    assert _add(ledger, *again) == Added(added=1, unchanged=2)

    assert _page(ledger) == [first[1], first[0], _entry("C3")]


def test_an_entry_that_says_something_else_is_changed(ledger: Ledger) -> None:
    _add(ledger, _entry("C1", note="old"), _entry("C2", until=START + _HOUR, note="kept"))

    told = [_entry("C1", note="new", by="bob"), _entry("C2", by="bob")]
    assert _add(ledger, *told) == Added(changed=2)

    assert _page(ledger) == [told[0], _entry("C2", by="bob", note="kept")]


def test_of_one_customer_told_twice_at_once_the_last_word_counts(ledger: Ledger) -> None:
    assert _add(ledger, _entry("C1", until=START), _entry("C1")) == Added(added=1, changed=1)

    assert _page(ledger) == [_entry("C1")]


def test_nothing_to_add_is_no_trouble(ledger: Ledger) -> None:
    assert _add(ledger) == Added()


def test_who_is_removed_is_told(ledger: Ledger) -> None:
    _add(ledger, _entry("C1"), _entry("C2"), _entry("C1", list_name="other"))

    with ledger.write() as connection:
        assert suppressions.remove_many(connection, "customers", ["C1", "C9", "C1"]) == {"C1"}
        assert suppressions.remove_many(connection, "customers", []) == set()

    assert _page(ledger) == [_entry("C2")]
    assert _page(ledger, "other") == [_entry("C1", list_name="other")]


def test_a_list_is_read_page_by_page(ledger: Ledger) -> None:
    _add(ledger, *(_entry(f"C{number}") for number in range(5)), _entry("C00", list_name="other"))

    first = _page(ledger, limit=2)
    second = _page(ledger, after=first[-1].customer_id, limit=2)
    third = _page(ledger, after=second[-1].customer_id, limit=2)

    assert [[each.customer_id for each in page] for page in (first, second, third)] == [
        ["C0", "C1"],
        ["C2", "C3"],
        ["C4"],
    ]


def test_lists_are_counted_and_known_by_name(ledger: Ledger) -> None:
    _add(ledger, _entry("C1"), _entry("C2", until=START), _entry("C3", until=START + _HOUR))
    _add(ledger, _entry("C1", list_name="a"))

    with ledger.read() as connection:
        assert suppressions.counts(connection, START) == [
            ListCount(list_name="a", standing=1, expired=0),
            ListCount(list_name="customers", standing=2, expired=1),
        ]
        assert suppressions.is_known(connection, "a")
        assert not suppressions.is_known(connection, "b")


def test_the_lists_of_a_customer_are_found(ledger: Ledger) -> None:
    _add(ledger, _entry("C1", list_name="b"), _entry("C1", list_name="a", until=START), _entry("C2"))

    with ledger.read() as connection:
        found = suppressions.of_customer(connection, "C1")

    assert found == [_entry("C1", list_name="a", until=START), _entry("C1", list_name="b")]


def test_a_look_finds_who_stands_on_its_list_and_nobody_else(ledger: Ledger) -> None:
    _add(ledger, _entry("C1"), _entry("C2"), _entry("C3", list_name="other"), _entry("007"))

    assert _find(
        ledger,
        _lookup("C1", "C3", "c1", "7", " C1"),
        _lookup("C2", "C1", "C2"),
        _lookup("C3", "C1", list_name="other"),
        _lookup("C1", list_name="none"),
        _lookup(),
    ) == [{"C1"}, {"C1", "C2"}, {"C3"}, set(), set()]


def test_an_entry_stands_before_its_moment_only(ledger: Ledger) -> None:
    _add(ledger, _entry("C1", until=START + _HOUR), _entry("C2"))

    just_before = START + _HOUR - timedelta(microseconds=1)
    assert _find(ledger, _lookup("C1", "C2", now=just_before)) == [{"C1", "C2"}]
    assert _find(ledger, _lookup("C1", "C2", now=START + _HOUR)) == [{"C2"}]


def test_more_customers_than_one_statement_takes_are_found(ledger: Ledger) -> None:
    asked = [f"C{number}" for number in range(70_000)]
    on_list = set(asked[::7_000]) | {asked[-1]}
    _add(ledger, *(_entry(each) for each in on_list))

    assert _find(ledger, _lookup(*asked)) == [on_list]


def test_a_look_can_share_a_group_with_what_is_written(ledger: Ledger) -> None:
    _add(ledger, _entry("C1"))
    commits = GroupCommit(ledger, NoMetrics())
    looks = [commits.submit(find_many, _lookup(name)) for name in ("C1", "C2", "C1")]

    assert [look.result(timeout=10) for look in looks] == [{"C1"}, set(), {"C1"}]
    commits.close()


def test_imports_of_the_same_customers_at_once_each_come_to_their_end(ledger: Ledger) -> None:
    """Opposite orders: without one order everywhere, each would wait for the other."""
    people = [_entry(f"C{number:03}") for number in range(300)]

    def add(order: int) -> Added:
        return _add(ledger, *people[::order])

    with ThreadPoolExecutor() as pool:
        done = list(pool.map(add, [1, -1, 1, -1]))

    assert sum(each.added for each in done) == 300
    assert sum(each.unchanged for each in done) == 900
