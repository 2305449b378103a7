"""`clearance rules check` says whether a file can be used, and everything that is in the way, at once."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.unit.workers.rules_cli import HTTP, PYTHON, RULES, RulesCli, rules_cli, with_check

BROKEN = RULES.replace("country in", "county in").replace('"UNDER_AGE"', '"under age"')


@pytest.fixture
def cli(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[RulesCli]:
    made = rules_cli(tmp_path, monkeypatch)
    yield made
    made.ledger.close()


def test_a_file_that_is_right_has_a_version(cli: RulesCli) -> None:
    told = cli.done("check")

    assert told.startswith("rules.toml can be used: version ")
    assert told.endswith(", 2 checks, 1 policy\n")


def test_a_file_that_is_named_is_checked_without_any_settings(
    cli: RulesCli, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CLEARANCE_RULES_PATH", "not-there.toml")
    monkeypatch.setenv("CLEARANCE_LEDGER_URL", "nonsense")

    assert "rules.toml can be used" in cli.done("check", "rules.toml")


def test_every_mistake_is_told_at_once_with_its_line(cli: RulesCli) -> None:
    cli.write("new.toml", BROKEN)

    told = cli.refused("check", "new.toml")

    assert [line.partition(": ")[0] for line in told] == ["new.toml:7", "new.toml:13"]
    assert "`country`" in told[0]
    assert cli.run("check", "new.toml").stdout == ""


def test_mistakes_are_told_to_scripts(cli: RulesCli) -> None:
    cli.write("new.toml", BROKEN)

    result = cli.run("check", "new.toml", "--json")

    assert result.exit_code == 1
    assert result.stderr == ""
    assert '"can_be_used": false' in result.stdout
    assert '"line": 7' in result.stdout
    assert '"version": null' in result.stdout


def test_a_right_file_is_told_to_scripts(cli: RulesCli) -> None:
    found = cli.json("check")

    assert found["can_be_used"] is True
    assert found["checks"] == ["licensed-country", "of-age"]
    assert found["policies"] == ["all"]
    assert found["problems"] == found["warnings"] == []
    assert f"version {found['version']}," in cli.done("check")


def test_a_warning_is_told_and_refuses_nothing(cli: RulesCli) -> None:
    cli.write("rules.toml", RULES.replace("[[check]]", 'tier = "string"\n[[check]]', 1))

    result = cli.run("check")

    assert result.exit_code == 0
    assert result.stderr.startswith("rules.toml:5: warning: ")
    assert "tier" in result.stderr


def test_a_variable_that_is_not_set_here_is_a_warning(cli: RulesCli, monkeypatch: pytest.MonkeyPatch) -> None:
    cli.write("rules.toml", with_check(HTTP, "promotion-active"))
    monkeypatch.setenv("PROMO_URL", "https://canary.example")

    result = cli.run("check")

    assert result.exit_code == 0
    assert result.stderr == (
        "rules.toml:23: warning: check `promotion-active`: the variable PROMO_AUTHORIZATION is not set here;"
        " workers do not start without it\n"
    )


def test_a_function_that_is_not_installed_is_a_mistake(cli: RulesCli) -> None:
    cli.write("rules.toml", with_check(PYTHON, "fraud"))

    (told,) = cli.refused("check")

    assert told.startswith("rules.toml:23: check `fraud`: no check `fraud-score` is installed")


@pytest.mark.parametrize("name", ["not-there.toml", "directory"])
def test_a_file_that_cannot_be_read_is_told(cli: RulesCli, name: str) -> None:
    (cli.directory / "directory").mkdir()

    (told,) = cli.refused("check", name)

    assert told.startswith(f"{name}: cannot be read: ")


def test_wrong_settings_end_with_2(cli: RulesCli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLEARANCE_RULES_LOOK_EVERY_S", "0")

    (told,) = cli.refused("check", exit_code=2)

    assert told.startswith("CLEARANCE_RULES_LOOK_EVERY_S: ")


def test_what_a_file_holds_gives_the_terminal_no_orders(cli: RulesCli) -> None:
    cli.write("rules.toml", RULES + '\n"evil\\u001b[2J" = 1\n')

    result = cli.run("check")

    assert result.exit_code == 1
    assert "\x1b" not in result.output
