"""`clearance rules diff` decides again what was decided, or what a file describes, and says who changes and why."""

import json
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from clearance.clock import utc_now
from clearance.decisions.decision import Campaign, Customer, Decision, Verdict
from clearance.decisions.engine import Engine
from clearance.decisions.inputs import digest_of, inputs_of
from clearance.decisions.rules_file import load_rules
from clearance.ledger.decisions import NewDecision, record_decisions
from clearance.ledger.rule_sets import InForce, RuleSet, remember_many, report_many
from tests.unit.workers.rules_cli import HTTP, RULES, SUPPRESSION, RulesCli, rules_cli, with_check

CAMPAIGN = Campaign(lane="triggered", tags=("bonus",))
STRICTER = RULES.replace("age >= 18", "age >= 21").replace('["DE", "AT"]', '["DE", "AT", "FR"]')
RECORDING = "record_inputs = true\n" + RULES
DECIDED_AT = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
ATTRIBUTES_BY_CUSTOMER: Mapping[str, Mapping[str, object]] = {
    "same": {"country": "DE", "age": 30},
    "loses": {"country": "DE", "age": 20},
    "gains": {"country": "FR", "age": "30"},
    "other": {"country": "FR", "age": 17},
}


class Past:
    """A ledger with past decisions by some rules."""

    def __init__(self, cli: RulesCli) -> None:
        self._cli = cli
        self.engine = Engine(load_rules(RECORDING, source="past"))

    def decide(
        self,
        customer_id: str,
        attributes: Mapping[str, object],
        answers: Mapping[str, Verdict] | None = None,
        *,
        subject: str = "n1",
        at: datetime = DECIDED_AT,
        inputs: bytes | None = None,
    ) -> None:
        customer = Customer(customer_id=customer_id, attributes=attributes)
        made_from = inputs or inputs_of(CAMPAIGN, customer, answers or {})
        decision = self.engine.decide(CAMPAIGN, customer, answers or {})
        self.record(customer_id, decision, made_from, subject=subject, at=at)

    def record(
        self, customer_id: str, decision: Decision, made_from: bytes, *, subject: str, at: datetime
    ) -> None:
        made = NewDecision(
            subject=subject,
            customer_id=customer_id,
            decision=decision,
            inputs_digest=digest_of(made_from),
            inputs=made_from,
            decided_at=at,
        )
        with self._cli.ledger.write() as connection:
            record_decisions(connection, [made])

    def decide_all(self) -> None:
        for customer_id, attributes in ATTRIBUTES_BY_CUSTOMER.items():
            self.decide(customer_id, attributes)


@pytest.fixture
def cli(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[RulesCli]:
    made = rules_cli(tmp_path, monkeypatch)
    made.write("new.toml", STRICTER)
    yield made
    made.ledger.close()


@pytest.fixture
def past(cli: RulesCli) -> Past:
    return Past(cli)


def counts(found: dict[str, Any]) -> list[int]:
    return [found[name] for name in ("compared", "same", "newly_approved", "newly_rejected", "other_reasons")]


def remember(cli: RulesCli, text: str, *, process: str | None = None) -> str:
    """A version that the ledger knows; with a process, one that has it in force."""
    now = utc_now()
    version = load_rules(text, source="remembered").version
    with cli.ledger.write() as connection:
        remember_many(connection, [RuleSet(version=version, text=text, first_seen_at=now)])
        if process:
            said = InForce(process=process, lane="triggered", version=version, loaded_at=now, seen_at=now)
            report_many(connection, [said])
    return version


def test_past_decisions_are_made_again_and_who_changes_is_told_with_why(cli: RulesCli, past: Past) -> None:
    past.decide_all()

    found = cli.json("diff", "new.toml")

    assert counts(found) == [4, 1, 1, 1, 1]
    assert found["against"] is None
    assert [(each["customer"], each["change"]) for each in found["changed"]] == [
        ("gains", "newly approved"),
        ("loses", "newly rejected"),
        ("other", "other reasons"),
    ]
    assert found["changed"][1]["from"]["reasons"] == []
    assert found["changed"][1]["to"] == {
        "answer": "rejected",
        "reasons": ["UNDER_AGE"],
        "policy": "all",
        "version": found["version"],
    }


def test_a_person_is_told_the_same(cli: RulesCli, past: Past) -> None:
    past.decide_all()

    lines = cli.done("diff", "new.toml").splitlines()

    assert [line.split() for line in lines[:4]] == [
        ["customer", "subject", "from", "to", "why"],
        ["gains", "n1", "rejected", "approved", "-COUNTRY_NOT_LICENSED"],
        ["loses", "n1", "approved", "rejected", "+UNDER_AGE"],
        ["other", "n1", "rejected", "rejected", "-COUNTRY_NOT_LICENSED"],
    ]
    assert lines[-1].endswith(
        " against what was decided then: 1 the same, 1 newly approved, 1 newly rejected, 1 other reasons"
    )


def test_only_as_many_lines_as_wanted_are_shown(cli: RulesCli, past: Past) -> None:
    past.decide_all()

    told = cli.done("diff", "new.toml", "--most", "1")

    assert "gains" in told
    assert "loses" not in told
    assert "... and 2 more" in told


def test_rules_that_change_nobody_say_so(cli: RulesCli, past: Past) -> None:
    past.decide_all()

    result = cli.run("diff", "rules.toml", "--fail-on-change")

    assert result.exit_code == 0
    assert "4 the same, 0 newly approved" in result.stdout


def test_a_change_fails_only_when_that_is_wanted(cli: RulesCli, past: Past) -> None:
    past.decide_all()

    assert cli.run("diff", "new.toml").exit_code == 0
    assert cli.run("diff", "new.toml", "--fail-on-change").exit_code == 1


def test_where_nothing_was_kept_that_is_said_and_is_no_proof(cli: RulesCli) -> None:
    result = cli.run("diff", "new.toml")

    assert result.exit_code == 0
    assert "record_inputs = true" in result.stderr
    assert cli.run("diff", "new.toml", "--fail-on-change").exit_code == 1


@pytest.mark.parametrize(
    ("arguments", "customers"),
    [
        (["--last", "2"], ["c1", "c2"]),
        (["--since", "2026-03-02T11:00:00"], ["c2"]),
        (["--since", "2026-03-02T12:00:00+0200"], ["c1", "c2"]),
        (["--since", "2026-03-03"], []),
    ],
)
def test_the_newest_or_those_from_a_time_on_are_decided_again(
    cli: RulesCli, past: Past, arguments: list[str], customers: list[str]
) -> None:
    for number in range(3):
        past.decide(f"c{number}", {"country": "DE", "age": 20}, at=DECIDED_AT + timedelta(hours=number))

    found = cli.json("diff", "new.toml", *arguments)

    assert [each["customer"] for each in found["changed"]] == customers


def test_what_was_answered_then_counts_again(cli: RulesCli, past: Past) -> None:
    cli.write("new.toml", with_check(HTTP, "promotion-active"))
    refused = Verdict(approved=False, reasons=("PROMOTION_NOT_ACTIVE:LOCKED",))
    past.decide("C1", {"country": "DE", "age": 30}, {"promotion-active": refused})
    past.decide("C2", {"country": "DE", "age": 30}, {"promotion-active": Verdict(approved=True)})

    found = cli.json("diff", "new.toml")

    assert [(each["customer"], each["to"]["reasons"]) for each in found["changed"]] == [
        ("C1", ["PROMOTION_NOT_ACTIVE:LOCKED"])
    ]
    assert found["not_replayed"] == {}


def test_a_check_that_was_not_asked_then_is_said_where_it_matters(cli: RulesCli, past: Past) -> None:
    cli.write("new.toml", with_check(SUPPRESSION, "not-suppressed"))
    past.decide("C1", {"country": "DE", "age": 30})
    past.decide("C2", {"country": "XX", "age": 30})

    assert counts(cli.json("diff", "new.toml")) == [2, 2, 0, 0, 0]
    assert cli.json("diff", "new.toml")["not_replayed"] == {"not-suppressed": 1}
    assert (
        "not replayed: not-suppressed has no recorded answer, assumed to approve (1 decisions)"
        in cli.done("diff", "new.toml")
    )


def test_inputs_that_cannot_be_read_are_left_out_and_counted(cli: RulesCli, past: Past) -> None:
    past.decide("C1", {"country": "DE", "age": 30}, inputs=b"nonsense")
    past.decide("C2", {"country": "DE", "age": 30})

    assert cli.json("diff", "new.toml")["unreadable"] == 1
    assert "left out: 1 past decisions whose inputs cannot be read" in cli.done("diff", "new.toml")


@pytest.mark.parametrize("by", ["file", "version"])
def test_past_decisions_can_be_made_again_by_both(cli: RulesCli, past: Past, by: str) -> None:
    lax = RULES.replace("age >= 18", "age >= 0")
    cli.write("lax.toml", lax)
    version = remember(cli, lax)
    past.decide_all()

    found = cli.json("diff", "new.toml", "--against", version if by == "version" else "lax.toml")

    assert found["against"] == version
    assert [(each["customer"], each["change"]) for each in found["changed"]] == [
        ("gains", "newly approved"),
        ("loses", "newly rejected"),
        ("other", "other reasons"),
    ]


CSV = "customer_id,country,age\n" + "".join(
    f"{customer_id},{attributes['country']},{attributes['age']}\n"
    for customer_id, attributes in ATTRIBUTES_BY_CUSTOMER.items()
)
OF_FILE = ("--customers", "customers.csv", "--campaign", "campaign.json")


def test_customers_of_a_file_are_decided_by_what_is_in_force_and_by_the_new_rules(cli: RulesCli) -> None:
    cli.write("customers.csv", CSV)
    cli.write("rules.toml", STRICTER)  # edited already, and not in force yet
    version = remember(cli, RULES, process="triggered@host:1")

    found = cli.json("diff", "new.toml", *OF_FILE)

    assert found["against"] == version
    assert counts(found) == [4, 1, 1, 1, 1]
    assert [line.split() for line in cli.done("diff", "new.toml", *OF_FILE).splitlines()[:2]] == [
        ["customer", "from", "to", "why"],
        ["loses", "approved", "rejected", "+UNDER_AGE"],
    ]


def test_where_nothing_is_in_force_the_file_of_the_settings_is_compared_with(cli: RulesCli) -> None:
    cli.write("customers.csv", CSV)

    assert counts(cli.json("diff", "new.toml", *OF_FILE)) == [4, 1, 1, 1, 1]


def test_with_two_files_no_ledger_is_needed(cli: RulesCli, monkeypatch: pytest.MonkeyPatch) -> None:
    cli.write("customers.csv", CSV)
    monkeypatch.setenv("CLEARANCE_LEDGER_URL", f"sqlite:///{cli.directory / 'empty.db'}")

    assert counts(cli.json("diff", "new.toml", *OF_FILE, "--against", "rules.toml"))[0] == 4


def test_customers_of_a_file_are_decided_without_asking_and_that_is_said(cli: RulesCli) -> None:
    cli.write("new.toml", with_check(HTTP, "promotion-active"))

    found = cli.json("diff", "new.toml", *OF_FILE)

    assert found["not_replayed"] == {"promotion-active": 3}
    assert counts(found) == [3, 3, 0, 0, 0]


@pytest.mark.parametrize(
    ("arguments", "told", "exit_code"),
    [
        (["--customers", "customers.csv"], "--customers and --campaign go together", 2),
        (["--campaign", "campaign.json"], "--customers and --campaign go together", 2),
        ([*OF_FILE, "--last", "3"], "--since and --last are for past decisions", 2),
        (["--since", "yesterday"], "does not match the formats", 2),
        (["--against", "not-there.toml"], "not-there.toml: cannot be read", 1),
        (["--against", "0123456789abcdef"], "the ledger knows no version `0123456789abcdef`", 1),
    ],
)
def test_arguments_that_cannot_be_meant_are_told(
    cli: RulesCli, arguments: list[str], told: str, exit_code: int
) -> None:
    assert told in cli.refused("diff", "new.toml", *arguments, exit_code=exit_code)[-1]


def test_new_rules_with_mistakes_are_told_and_nothing_is_compared(cli: RulesCli, past: Past) -> None:
    past.decide_all()
    cli.write("new.toml", RULES.replace("country in", "county in"))

    assert cli.refused("diff", "new.toml")[0].startswith("new.toml:7: ")


def test_a_version_that_this_release_cannot_read_any_more_is_told(cli: RulesCli) -> None:
    with cli.ledger.write() as connection:
        old = RuleSet(version="0123456789abcdef", text="mood = 1\n", first_seen_at=DECIDED_AT)
        remember_many(connection, [old])

    told = cli.refused("diff", "new.toml", "--against", "0123456789abcdef")

    assert told[0].startswith("version 0123456789abcdef:1: ")


def test_json_is_one_object_also_when_nothing_was_compared(cli: RulesCli) -> None:
    result = cli.run("diff", "new.toml", "--json")

    assert counts(json.loads(result.stdout)) == [0, 0, 0, 0, 0]
