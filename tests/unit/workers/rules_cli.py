"""`clearance rules ...` as a user runs it: files in a directory, a ledger, and the settings that lead to both."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from clearance.ledger.engine import Ledger
from tests.fakes.ledgers import new_ledger
from workers.cli import main

RULES = """\
[attributes]
country = "string"
age     = "int"

[[check]]
id     = "licensed-country"
cel    = 'country in ["DE", "AT"]'
reason = "COUNTRY_NOT_LICENSED"

[[check]]
id     = "of-age"
cel    = "age >= 18"
reason = "UNDER_AGE"

[[policy]]
id      = "all"
applies = "true"
checks  = ["licensed-country", "of-age"]
"""
SUPPRESSION = """
[[check]]
id          = "not-suppressed"
reason      = "SUPPRESSED"
suppression = "customers"
"""
HTTP = """
[[check]]
id     = "promotion-active"
reason = "PROMOTION_NOT_ACTIVE"
[check.http]
url     = "env:PROMO_URL"
headers = { Authorization = "env:PROMO_AUTHORIZATION" }
"""
PYTHON = """
[[check]]
id     = "fraud"
reason = "FRAUD"
python = "fraud-score"
"""
CAMPAIGN = '{"lane": "send_group", "tags": ["bonus"]}'
CUSTOMERS = "customer_id,country,age\nC1,DE,30\nC2,FR,17\nC3,AT,\n"


def with_check(check: str, check_id: str) -> str:
    """The rules with one check more, in their policy."""
    return RULES.replace('"of-age"]', f'"of-age", "{check_id}"]') + check


@dataclass
class RulesCli:
    """A directory that is the present one, with `rules.toml`, `campaign.json` and `customers.csv`."""

    directory: Path
    ledger: Ledger

    def write(self, name: str, text: str) -> None:
        (self.directory / name).write_text(text)

    def run(self, *arguments: str) -> Result:
        result = CliRunner().invoke(main, ["rules", *arguments])
        assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
        return result

    def done(self, *arguments: str) -> str:
        result = self.run(*arguments)
        assert result.exit_code == 0, result.output
        return result.stdout

    def json(self, *arguments: str) -> Any:
        return json.loads(self.done(*arguments, "--json"))

    def refused(self, *arguments: str, exit_code: int = 1) -> list[str]:
        """What is told on standard error."""
        result = self.run(*arguments)
        assert result.exit_code == exit_code, result.output
        return result.stderr.splitlines()


def rules_cli(directory: Path, monkeypatch: pytest.MonkeyPatch) -> RulesCli:
    """The directory, filled, and the settings of this test."""
    monkeypatch.chdir(directory)
    for name in ("PROMO_URL", "PROMO_AUTHORIZATION"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("CLEARANCE_LEDGER_URL", f"sqlite:///{directory / 'ledger.db'}")
    monkeypatch.setenv("CLEARANCE_RULES_PATH", "rules.toml")
    monkeypatch.setenv("COLUMNS", "200")
    made = RulesCli(directory, new_ledger(directory))
    made.write("rules.toml", RULES)
    made.write("campaign.json", CAMPAIGN)
    made.write("customers.csv", CUSTOMERS)
    return made
