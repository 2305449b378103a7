"""`clearance doctor` on real servers: what PostgreSQL, Redis and RabbitMQ say of themselves."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from clearance.ledger import migrate
from clearance.ledger.engine import open_ledger

_BIN = Path(sys.executable).parent
_RULES = Path(__file__).parents[1] / "system" / "rules.toml"


def _findings(directory: Path, **settings: str) -> dict[str, dict[str, Any]]:
    environ = {"PATH": str(_BIN), "HOME": str(directory), "CLEARANCE_RULES_PATH": str(_RULES)} | settings
    environ |= {"PROMOTIONS_URL": "http://127.0.0.1:1/"}
    done = subprocess.run(
        [str(_BIN / "clearance"), "doctor", "--json", "--timeout-s", "10"],
        env=environ,
        cwd=directory,
        capture_output=True,
        check=False,
        text=True,
        timeout=60,
    )
    assert not done.stderr, done.stderr
    return {each["check"]: each for each in json.loads(done.stdout)["checks"]}


@pytest.fixture
def migrated_url(postgres_url: str) -> str:
    ledger = open_ledger(postgres_url, timeout_s=10)
    migrate.upgrade(ledger)
    ledger.close()
    return postgres_url


def test_postgresql_and_rabbitmq_with_redis_beside_are_all_looked_at(
    migrated_url: str, rabbitmq_url: str, redis_url: str, tmp_path: Path
) -> None:
    found = _findings(
        tmp_path,
        CLEARANCE_LEDGER_URL=migrated_url,
        CLEARANCE_BROKER_URL=rabbitmq_url,
        CLEARANCE_REDIS_URL=redis_url,
    )

    assert (found["ledger"]["level"], found["ledger"]["told"][:10]) == ("ok", "postgresql")
    assert (found["broker"]["level"], found["broker"]["told"][:8]) == ("ok", "RabbitMQ")
    assert found["redis"]["told"].startswith(("Redis", "Valkey"))
    assert {found[name]["level"] for name in ("clock ledger", "clock redis")} == {"ok"}
    # Nothing runs here.
    assert {found[name]["level"] for name in ("guardian", "lane review")} == {"fail", "warn"}


def test_redis_as_the_broker_is_judged_once_and_what_is_not_there_is_found(
    postgres_url: str, redis_url: str, tmp_path: Path
) -> None:
    gone = f"{postgres_url}_gone"

    found = _findings(tmp_path, CLEARANCE_LEDGER_URL=gone, CLEARANCE_BROKER_URL=redis_url)

    assert "redis" not in found
    assert found["broker"]["level"] in ("ok", "warn")
    assert (found["ledger"]["level"], found["ledger"]["runbook"]) == ("fail", "docs/runbooks/ledger-down.md")
    assert found["deadlines"]["told"] == "not known while the ledger is away"
    assert "_gone" not in str(found)
