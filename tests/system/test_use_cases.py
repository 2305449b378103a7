"""The vendor's use cases, as docs/use-cases tells them: what the documents print is what the commands say."""

import asyncio
import json
from pathlib import Path

import pytest

from clearance.sandbox.options import SandboxOptions
from clearance.sandbox.server import running
from tests.system.worked_examples import USE_CASES, Said, commands, install, run, said_after
from workers.judges import read_rules

COMPLIANCE = USE_CASES / "compliance.md"
PROMOTION = USE_CASES / "promotion-activation.md"
OWN_CHECK = USE_CASES / "python-check/README.md"


def _tried(arguments: list[str], **environ: str) -> list[tuple[str, str, tuple[str, ...]]]:
    """What `clearance rules try` says of each customer."""
    done = run([*arguments, "--json"], environ=environ)
    assert done.returncode == 0, done.stderr
    return [
        (row["customer"], row["answer"], tuple(row["reasons"]))
        for row in json.loads(done.stdout)["customers"]
    ]


def _told(said: list[Said]) -> list[tuple[str, str, tuple[str, ...]]]:
    return [(row.customer_id, row.answer, row.reasons) for row in said]


def _lines_tried(arguments: list[str], **environ: str) -> list[list[str]]:
    """The same for a person: the words of each customer's line."""
    done = run(arguments, environ={**environ, "COLUMNS": "200"})
    assert done.returncode == 0, done.stderr
    lines = (line.replace(",", " ").split() for line in done.stdout.splitlines())
    return [words for words in lines if words and words[0][0] == "C" and words[0][1:].isdigit()]


def test_the_compliance_rules_are_right_as_their_document_prints_it() -> None:
    (command,) = [each for each in commands(COMPLIANCE) if each[1] == "check"]

    done = run(command, environ={})

    assert (done.returncode, done.stderr) == (0, "")
    assert f"```\n{done.stdout}```\n" in COMPLIANCE.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("heading", "position"),
    [
        ("## Try it on a bonus campaign", 0),
        ("## The same customers, a service message", 1),
        ("## The same customers, a newsletter", 2),
    ],
)
def test_the_compliance_example_decides_as_its_document_says(heading: str, position: int) -> None:
    command = [each for each in commands(COMPLIANCE) if each[1] == "try"][position]
    said = _told(said_after(COMPLIANCE, heading))

    assert _tried(command) == said
    assert _lines_tried(command) == [[customer, answer, *reasons] for customer, answer, reasons in said]


def test_the_compliance_document_shows_every_reason_that_its_rules_have() -> None:
    rules = read_rules(str(USE_CASES / "compliance/rules.toml"))
    shown = {reason for row in said_after(COMPLIANCE, "## Try it on a bonus") for reason in row.reasons}

    assert {check.reason for check in rules.check_by_id.values()} <= shown
    assert {reason.partition(":")[0] for reason in shown} >= {"MISSING", "MALFORMED"}


def test_the_promotion_example_decides_as_its_document_says_when_it_asks_the_sandbox(tmp_path: Path) -> None:
    (command,) = commands(PROMOTION)
    assert "--ask" in command

    async def play() -> list[tuple[str, str, tuple[str, ...]]]:
        async with running(SandboxOptions(port=0)) as url:
            environ = {
                "PROMOTIONS_URL": f"{url}/promotions/activate",
                "PROMOTIONS_AUTHORIZATION": "none",
                "CLEARANCE_LEDGER_URL": f"sqlite:///{tmp_path}/ledger.db",
            }
            return await asyncio.to_thread(_tried, command, **environ)

    assert asyncio.run(play()) == _told(said_after(PROMOTION, "## Who gets the email"))


def test_the_own_check_can_be_installed_and_decides_as_its_document_says(tmp_path: Path) -> None:
    install(USE_CASES / "python-check", tmp_path / "site")
    environ = {
        "PYTHONPATH": str(tmp_path / "site"),
        "CLEARANCE_LEDGER_URL": f"sqlite:///{tmp_path}/ledger.db",
    }
    check, tried = commands(OWN_CHECK)

    done = run(check, environ=environ)

    assert (done.returncode, done.stderr) == (0, "")
    assert _tried(tried, **environ) == _told(said_after(OWN_CHECK, "## Try it"))


def test_rules_that_name_a_check_which_is_not_installed_cannot_be_used() -> None:
    check, _ = commands(OWN_CHECK)

    done = run(check, environ={})

    assert done.returncode == 1
    assert "no check `holdout` is installed" in done.stderr
