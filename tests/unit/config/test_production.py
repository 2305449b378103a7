"""Production refuses what a laptop may do: everything at once, by name, without a value."""

import pytest

from config import settings
from config.production import laptop_defaults
from config.settings import Settings, SettingsError

RIGHT = {
    "LEDGER_URL": "postgresql://clearance:x9@db.example/clearance?sslmode=verify-full",
    "BROKER_URL": "rediss://:x9@redis.example:6380/0",
    "OPTIMOVE_BASE_URL": "https://api4.optimove.net",
    "OPTIMOVE_API_KEY": "short",
    "OPTIMOVE_WEBHOOK_SECRETS": "0123456789abcdef,fedcba9876543210",
    "OPTIMOVE_LISTENER_TOKEN": "0123456789abcdef",
    "RELAY_API_KEYS": "0123456789abcdef",
    "FLOWER_PASSWORD": "0123456789abcdef",
}


def _load(monkeypatch: pytest.MonkeyPatch, **values: str) -> tuple[str, ...]:
    for name, value in ({"ENV": "production"} | RIGHT | values).items():
        monkeypatch.setenv(f"CLEARANCE_{name}", value)
    try:
        settings.load()
    except SettingsError as error:
        return error.problems
    return ()


def test_a_laptop_may_use_every_default() -> None:
    assert settings.load().env == "development"


def test_what_is_made_for_production_is_taken(monkeypatch) -> None:
    assert _load(monkeypatch) == ()


def test_secrets_that_a_process_does_not_need_may_be_missing(monkeypatch) -> None:
    for name in RIGHT:
        if name not in ("LEDGER_URL", "BROKER_URL"):
            monkeypatch.setitem(RIGHT, name, "")

    assert _load(monkeypatch) == ()


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        ("LEDGER_URL", "", "embedded database"),
        ("LEDGER_URL", "sqlite:///clearance.db", "absolute path"),
        ("LEDGER_URL", "postgresql://u:postgres@h/hunter2", "everybody knows"),
        ("BROKER_URL", "", "embedded broker"),
        ("BROKER_URL", "amqp://guest:guest@h//", "everybody knows"),
        ("BROKER_URL", "amqps://hunter2//", "everybody knows"),
        ("BROKER_URL", "sentinel://a:1;sentinel://:Password@hunter2:2", "everybody knows"),
        ("REDIS_URL", "redis://:redis@h", "everybody knows"),
        ("OPTIMOVE_BASE_URL", "http://hunter2", "https://"),
        ("OPTILYZ_BASE_URL", "http://hunter2", "https://"),
        ("BLOOMREACH_BASE_URL", "http://hunter2", "https://"),
        ("OPTIMOVE_WEBHOOK_SECRETS", "0123456789abcdef,hunter2", "16 characters"),
        ("OPTIMOVE_LISTENER_TOKEN", "hunter2", "16 characters"),
        ("RELAY_API_KEYS", "hunter2", "16 characters"),
        ("FLOWER_PASSWORD", "hunter2", "16 characters"),
        ("OPTIMOVE_API_KEY", "sandbox-api-key", "sandbox"),
        ("OPTILYZ_API_KEY", "changeme", "example"),
        ("BLOOMREACH_API_KEY_ID", "sandbox-key", "sandbox"),
        ("BLOOMREACH_API_SECRET", "sandbox-api-key", "sandbox"),
        ("BLOOMREACH_PROJECT_TOKEN", "your-project-token", "example"),
        ("LOG_LEVEL", "DEBUG", "INFO"),
    ],
)
def test_what_is_for_a_laptop_is_refused_by_name(monkeypatch, name: str, value: str, told: str) -> None:
    (problem,) = _load(monkeypatch, **{name: value})

    assert problem.startswith(f"CLEARANCE_{name}: ")
    assert told in problem
    assert "CLEARANCE_ENV is production" in problem
    assert "hunter2" not in problem


def test_an_embedded_ledger_that_somebody_chose_is_taken(monkeypatch) -> None:
    assert _load(monkeypatch, LEDGER_URL="sqlite:////srv/clearance/ledger.db") == ()


def test_it_is_told_together_with_what_cannot_be_read_at_all(monkeypatch) -> None:
    problems = _load(monkeypatch, LEDGER_URL="mysql://x/y", INGEST_PORT="many", LOG_LEVEL="DEBUG")

    assert [problem.split(":")[0] for problem in problems] == [
        "CLEARANCE_INGEST_PORT",
        "CLEARANCE_LEDGER_URL",
        "CLEARANCE_LOG_LEVEL",
    ]
    assert "must begin with one of" in problems[1]


def test_a_laptop_can_ask_what_production_would_refuse() -> None:
    assert set(laptop_defaults(Settings())) == {"ledger_url", "broker_url"}
