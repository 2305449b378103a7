"""`clearance rules try` decides as the lanes would, records nothing, and asks nobody unless it is told to."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from structlog.typing import EventDict

from clearance.clock import utc_now
from clearance.ledger import suppressions
from clearance.ledger.suppressions import Suppression
from config import logs
from tests.fakes.peer import Peer, reply
from tests.unit.workers.rules_cli import (
    HTTP,
    PYTHON,
    RULES,
    SUPPRESSION,
    RulesCli,
    rules_cli,
    with_check,
)

ARGUMENTS = ("try", "rules.toml", "--campaign", "campaign.json", "--customers")


@pytest.fixture
def cli(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, log_events: list[EventDict]) -> Iterator[RulesCli]:
    # Logging stays as the other tests need it, and out of what is printed.
    monkeypatch.setattr(logs, "configure", lambda *_: None)
    made = rules_cli(tmp_path, monkeypatch)
    yield made
    made.ledger.close()


def install_check(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A distribution with the check `fraud-score`, as an installer leaves it."""
    metadata = directory / "acme_checks-1.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: acme-checks\nVersion: 1\n")
    (metadata / "entry_points.txt").write_text("[clearance.checks]\nfraud-score = acme_checks:make\n")
    (directory / "acme_checks.py").write_text(
        "def make(options):\n"
        "    return lambda campaign, customers: [\n"
        "        'TOO_OLD' if customer.attributes.get('age', 0) > 29 else True for customer in customers\n"
        "    ]\n"
    )
    monkeypatch.syspath_prepend(directory)


def test_every_customer_has_an_answer_and_every_reason(cli: RulesCli) -> None:
    lines = [line.split() for line in cli.done(*ARGUMENTS, "customers.csv").splitlines()]

    assert lines[:4] == [
        ["customer", "answer", "reasons"],
        ["C1", "approved"],
        ["C2", "rejected", "COUNTRY_NOT_LICENSED,", "UNDER_AGE"],
        ["C3", "rejected", "MISSING:age"],
    ]
    assert lines[5] == ["1", "approved,", "2", "rejected,", "by", "policy", "all"]
    assert ["1", "MISSING:age"] in lines


def test_the_same_is_told_to_scripts(cli: RulesCli) -> None:
    found = cli.json(*ARGUMENTS, "customers.csv")

    assert found["policy"] == "all"
    assert found["customers"][1] == {
        "customer": "C2",
        "answer": "rejected",
        "reasons": ["COUNTRY_NOT_LICENSED", "UNDER_AGE"],
    }
    assert found["answers"] == {"approved": 1, "rejected": 2}
    assert found["reasons"] == {"COUNTRY_NOT_LICENSED": 1, "UNDER_AGE": 1, "MISSING:age": 1}
    assert found["assumed_to_approve"] == []


def test_customers_of_a_json_file_are_decided_alike(cli: RulesCli) -> None:
    cli.write("x.json", json.dumps([{"customer_id": "C1", "attributes": {"country": "DE", "age": 18}}]))

    assert cli.json(*ARGUMENTS, "x.json")["answers"] == {"approved": 1}


def test_a_campaign_that_no_policy_names_is_said(cli: RulesCli) -> None:
    cli.write("rules.toml", RULES.replace('"true"', "'lane == \"triggered\"'"))

    assert "by no policy" in cli.done(*ARGUMENTS, "customers.csv")
    assert cli.json(*ARGUMENTS, "customers.csv")["reasons"] == {"NO_POLICY": 3}


@pytest.mark.parametrize(
    ("check", "check_id"),
    [(HTTP, "promotion-active"), (SUPPRESSION, "not-suppressed"), (PYTHON, "fraud")],
)
def test_nobody_is_asked_and_what_was_assumed_is_said(cli: RulesCli, check: str, check_id: str) -> None:
    cli.write("rules.toml", with_check(check, check_id))

    assert f"assumed to approve: {check_id} (nobody was asked" in cli.done(*ARGUMENTS, "customers.csv")
    found = cli.json(*ARGUMENTS, "customers.csv")
    assert found["assumed_to_approve"] == [check_id]
    assert found["answers"] == {"approved": 1, "rejected": 2}


def test_told_to_ask_it_reads_suppression_lists(cli: RulesCli) -> None:
    cli.write("rules.toml", with_check(SUPPRESSION, "not-suppressed"))
    listed = Suppression(list_name="customers", customer_id="C1", added_at=utc_now(), added_by="test")
    with cli.ledger.write() as connection:
        suppressions.add_many(connection, [listed])

    found = cli.json(*ARGUMENTS, "customers.csv", "--ask")

    assert found["customers"][0]["reasons"] == ["SUPPRESSED"]
    assert found["assumed_to_approve"] == []


def test_told_to_ask_it_asks_the_operators_functions(cli: RulesCli, monkeypatch: pytest.MonkeyPatch) -> None:
    cli.write("rules.toml", with_check(PYTHON, "fraud"))
    install_check(cli.directory, monkeypatch)

    found = cli.json(*ARGUMENTS, "customers.csv", "--ask")

    assert found["customers"][0]["reasons"] == ["FRAUD:TOO_OLD"]


@pytest.mark.loopback
def test_told_to_ask_it_asks_other_systems_and_never_twice_under_one_key(
    cli: RulesCli, monkeypatch: pytest.MonkeyPatch
) -> None:
    cli.write("rules.toml", with_check(HTTP, "promotion-active"))
    peer = Peer()
    monkeypatch.setenv("PROMO_URL", f"{peer.url}/activate")
    monkeypatch.setenv("PROMO_AUTHORIZATION", "Bearer canary")
    # Nobody listens there: then there is no cool-down to heed.
    monkeypatch.setenv("CLEARANCE_REDIS_URL", "redis://127.0.0.1:1/0")
    approved = {"results": [{"customer_id": "C1", "approved": True}]}
    peer.answers(*[reply(200, json.dumps(approved).encode())] * 2)
    try:
        outputs = [cli.run(*ARGUMENTS, "customers.csv", "--ask", "--json") for _ in range(2)]
    finally:
        peer.stop()

    assert [json.loads(each.stdout)["customers"][0]["answer"] for each in outputs] == ["approved"] * 2
    assert "canary" not in "".join(each.output for each in outputs)
    assert peer.requests[0].headers["authorization"] == "Bearer canary"
    assert len({request.headers["idempotency-key"] for request in peer.requests}) == 2


def test_told_to_ask_without_what_asking_takes_it_says_what_is_missing(cli: RulesCli) -> None:
    cli.write("rules.toml", with_check(HTTP, "promotion-active"))

    told = cli.refused(*ARGUMENTS, "customers.csv", "--ask")

    assert told == [
        "rules.toml:23: check `promotion-active`: the variable PROMO_URL is not set",
        "rules.toml:23: check `promotion-active`: the variable PROMO_AUTHORIZATION is not set",
    ]


def test_told_to_ask_where_the_fleet_shares_nothing_it_refuses(
    cli: RulesCli, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CLEARANCE_BROKER_URL", "amqp://broker.example")

    (told,) = cli.refused(*ARGUMENTS, "customers.csv", "--ask", exit_code=2)

    assert told.startswith("CLEARANCE_REDIS_URL: ")


def test_an_attribute_that_is_probably_misspelt_is_a_warning(cli: RulesCli) -> None:
    cli.write("customers.csv", "customer_id,contry,age\nC1,DE,30\n")

    result = cli.run(*ARGUMENTS, "customers.csv")

    assert result.exit_code == 0
    assert result.stderr == "warning: the rules declare no attribute `contry`: did you mean `country`?\n"


@pytest.mark.parametrize(
    ("name", "text", "told"),
    [
        ("rules.toml", RULES.replace("country in", "county in"), "rules.toml:7: "),
        ("campaign.json", '{"lane": "triggered", "tag": []}', "campaign.json:1: unknown key `tag`"),
        ("customers.csv", "customer_id,age\nC1\n", "customers.csv:2: has 1 columns"),
    ],
)
def test_a_file_that_cannot_be_used_is_told_with_its_line(
    cli: RulesCli, name: str, text: str, told: str
) -> None:
    cli.write(name, text)

    (line,) = cli.refused(*ARGUMENTS, "customers.csv")

    assert line.startswith(told)


def test_without_a_campaign_or_customers_the_usage_is_told(cli: RulesCli) -> None:
    assert "--campaign" in "".join(cli.refused("try", "rules.toml", exit_code=2))


def test_a_customer_gives_the_terminal_no_orders(cli: RulesCli) -> None:
    cli.write("customers.csv", "customer_id,age\n[red]\x1b[2J,1\n")

    shown = cli.done(*ARGUMENTS, "customers.csv")

    assert "[red]" in shown
    assert "\x1b" not in shown
