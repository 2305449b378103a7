"""Rules in the ledger: every version's text, what each process has in force, and requests to reload."""

from datetime import timedelta

from clearance.ledger import rule_sets
from clearance.ledger.engine import Ledger
from clearance.ledger.rule_sets import InForce, RuleSet
from tests.fakes.clock import START


def _reported(
    process: str,
    *,
    version: str = "v1",
    seen_at_s: float = 0,
    problem: str | None = None,
    lane: str = "triggered",
) -> InForce:
    return InForce(
        process=process,
        lane=lane,
        version=version,
        loaded_at=START,
        seen_at=START + timedelta(seconds=seen_at_s),
        problem=problem,
    )


def _report(ledger: Ledger, *items: InForce) -> list[InForce]:
    with ledger.write() as connection:
        assert rule_sets.report_many(connection, items) == [None] * len(items)
    with ledger.read() as connection:
        return rule_sets.in_force(connection)


def test_the_text_of_each_version_is_kept_as_first_read(ledger: Ledger) -> None:
    read = [
        RuleSet(version=version, text=text, first_seen_at=START)
        for version, text in [("v2", "two"), ("v1", "one: ü"), ("v2", "two again")]
    ]
    with ledger.write() as connection:
        assert rule_sets.remember_many(connection, read) == [None, None, None]
        rule_sets.remember_many(connection, [RuleSet(version="v1", text="later", first_seen_at=START)])

    with ledger.read() as connection:
        assert rule_sets.text_of(connection, "v1") == "one: ü"
        assert rule_sets.text_of(connection, "v2") == "two"
        assert rule_sets.text_of(connection, "v3") is None


def test_the_last_word_of_each_process_is_what_it_has_in_force(ledger: Ledger) -> None:
    _report(ledger, _reported("b@h:2"), _reported("a@h:1", problem="rules.toml:3: unknown key"))

    told = _report(ledger, _reported("a@h:1", version="v2", seen_at_s=2))

    assert told == [_reported("a@h:1", version="v2", seen_at_s=2), _reported("b@h:2")]


def test_a_process_that_says_two_things_at_once_is_believed_the_last(ledger: Ledger) -> None:
    told = _report(ledger, _reported("a@h:1", version="v1"), _reported("a@h:1", version="v2"))

    assert [each.version for each in told] == ["v2"]


def test_processes_are_told_by_lane_and_name(ledger: Ledger) -> None:
    told = _report(
        ledger, _reported("a", lane="triggered"), _reported("b", lane="review"), _reported("c", lane="review")
    )

    assert [each.process for each in told] == ["b", "c", "a"]


def test_a_process_that_is_silent_for_a_day_is_forgotten(ledger: Ledger) -> None:
    day_s = timedelta(days=1).total_seconds()
    _report(ledger, _reported("gone"), _reported("quiet", seen_at_s=1))

    told = _report(ledger, _reported("alive", seen_at_s=day_s + 1))

    assert [each.process for each in told] == ["alive", "quiet"]


def test_a_process_that_stops_has_nothing_in_force(ledger: Ledger) -> None:
    _report(ledger, _reported("a@h:1"), _reported("b@h:2"))

    with ledger.write() as connection:
        rule_sets.forget(connection, "a@h:1")

    with ledger.read() as connection:
        assert rule_sets.in_force(connection) == [_reported("b@h:2")]


def test_a_request_to_reload_is_newer_than_those_before_whatever_the_hosts_clock_says(ledger: Ledger) -> None:
    with ledger.read() as connection:
        assert rule_sets.newest_reload(connection) == 0

    numbers = []
    for asked_at in (START, START - timedelta(hours=1)):
        with ledger.write() as connection:
            numbers.append(rule_sets.ask_reload(connection, asked_by="ada", asked_at=asked_at))
        with ledger.read() as connection:
            assert rule_sets.newest_reload(connection) == numbers[-1]

    assert 0 < numbers[0] < numbers[1]
