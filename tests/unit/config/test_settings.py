"""Settings: every default holds, every wrong value is told by name, and no value is ever repeated."""

from dataclasses import FrozenInstanceError, fields

import pytest

from config import settings
from config.setting_choices import LogFormat, SignatureMode
from config.settings import Settings, SettingsError


@pytest.fixture
def given(monkeypatch: pytest.MonkeyPatch):
    def set_all(**values: str) -> None:
        for name, value in values.items():
            monkeypatch.setenv(f"CLEARANCE_{name}", value)

    return set_all


def test_an_empty_environment_gives_the_defaults() -> None:
    assert settings.load() == Settings()


def test_every_default_passes_its_own_rule(given) -> None:
    for item in fields(Settings):
        if item.default not in ("", ()):
            default = item.default
            given(**{item.name.upper(): ",".join(default) if isinstance(default, tuple) else str(default)})

    assert settings.load() == Settings()


def test_values_arrive_with_their_types(given) -> None:
    given(
        INGEST_PORT="9000",
        ETA_WINDOW_S="0.5",
        OPTIMOVE_SIGNATURE_MODE="minified",
        LOG_FORMAT="json",
        OPTIMOVE_WEBHOOK_SECRETS="new, old,",
    )

    loaded = settings.load()

    assert loaded.ingest_port == 9000
    assert loaded.eta_window_s == 0.5
    assert loaded.optimove_signature_mode is SignatureMode.MINIFIED
    assert loaded.log_format is LogFormat.JSON
    assert loaded.optimove_webhook_secrets == ("new", "old")


@pytest.mark.parametrize("blank", ["", "  ", "\n"])
def test_a_blank_variable_counts_as_unset(given, blank: str) -> None:
    given(INGEST_PORT=blank, OPTIMOVE_API_KEY=blank, OPTIMOVE_WEBHOOK_SECRETS=blank, LOG_FORMAT=blank)

    assert settings.load() == Settings()


def test_all_problems_are_reported_at_once_in_the_order_of_their_names(given) -> None:
    given(TRIGGERED_THREADS="many", INGEST_PORT="70000", LOG_LEVEL="LOUD", RULES_LOOK_EVERY_S="0")

    with pytest.raises(SettingsError) as caught:
        settings.load()

    assert [problem.split(":")[0] for problem in caught.value.problems] == [
        "CLEARANCE_INGEST_PORT",
        "CLEARANCE_LOG_LEVEL",
        "CLEARANCE_RULES_LOOK_EVERY_S",
        "CLEARANCE_TRIGGERED_THREADS",
    ]


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        ("BROKER_URL", "http://user:hunter2@host", "must begin with one of redis://"),
        ("BROKER_URL", "user:hunter2@host", "must begin with one of redis://"),
        ("BROKER_URL", "redis://user:hunter2@", "names no host"),
        ("BROKER_URL", "redis://user:hunter2@host:port", "cannot be read"),
        ("BROKER_URL", "redis://user:hunter2@[::1", "cannot be read"),
        ("BROKER_URL", "sentinel://a:1;http://user:hunter2@b:2", "must begin with one of redis://"),
        ("REDIS_URL", "amqp://user:hunter2@host", "must begin with one of redis://"),
        ("LEDGER_URL", "mysql://user:hunter2@host/db", "must begin with one of sqlite://, postgresql://"),
        ("LEDGER_URL", "postgresql://user:hunter2@host", "names no database"),
        ("LEDGER_URL", "postgresql://user:hunter2@host/", "names no database"),
        ("LEDGER_URL", "sqlite:///", "names no database"),
        ("OPTIMOVE_BASE_URL", "ftp://user:hunter2@host", "must begin with one of https://, http://"),
        ("OPTIMOVE_API_KEY", "hunter2\n", "white space"),
        ("OPTIMOVE_WEBHOOKS_PATH", "hunter2", "begins with a slash"),
        ("FLOWER_PASSWORD", " hunter2", "white space"),
        ("OPTIMOVE_SIGNATURE_MODE", "hunter2", "raw, minified"),
        ("INGEST_PORT", "hunter2", "integer"),
        ("ETA_WINDOW_S", "nan", "not permitted"),
        ("ETA_WINDOW_S", "-1", "greater than or equal to 0"),
        ("LEDGER_TIMEOUT_S", "0", "greater than 0"),
    ],
)
def test_a_wrong_value_is_told_by_its_name_and_never_repeated(
    given, name: str, value: str, told: str
) -> None:
    given(**{name: value})

    with pytest.raises(SettingsError) as caught:
        settings.load()

    (problem,) = caught.value.problems
    assert problem.startswith(f"CLEARANCE_{name}: ")
    assert told in problem
    assert "hunter2" not in problem


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("BROKER_URL", "rediss://user:p%40ss@redis.example:6380/2"),
        ("BROKER_URL", "sentinel://a:26379;sentinel://b:26379"),
        ("BROKER_URL", "amqp://guest:guest@127.0.0.1:5672//"),
        ("BROKER_URL", "amqps://broker.example"),
        ("LEDGER_URL", "sqlite:////srv/clearance.db"),
        ("LEDGER_URL", "postgresql://user@[::1]:5432/clearance?sslmode=require"),
        ("OPTIMOVE_BASE_URL", "http://127.0.0.1:9100/prefix"),
    ],
)
def test_what_the_vendors_write_is_accepted_as_it_is(given, name: str, value: str) -> None:
    given(**{name: value})

    assert getattr(settings.load(), name.lower()) == value


def test_a_slash_at_the_end_of_the_base_url_makes_no_difference(given) -> None:
    given(OPTIMOVE_BASE_URL="https://api4.optimove.net/")

    assert settings.load().optimove_base_url == "https://api4.optimove.net"


def test_a_margin_that_leaves_no_time_to_answer_is_refused(given) -> None:
    given(SEND_MARGIN_MS="5000", TRIGGERED_TIMEOUT_MS="5000")

    with pytest.raises(SettingsError, match="CLEARANCE_SEND_MARGIN_MS: must be less than"):
        settings.load()


def test_no_secret_is_shown_with_the_settings() -> None:
    shown = repr(
        Settings(
            broker_url="redis://:hunter2@host",
            ledger_url="postgresql://u:hunter2@h/d",
            redis_url="redis://:hunter2@host",
            optimove_api_key="hunter2",
            optimove_webhook_secrets=("hunter2",),
            flower_password="hunter2",
        )
    )

    assert "hunter2" not in shown
    assert "ingest_port=8080" in shown


def test_settings_cannot_be_changed_after_loading() -> None:
    with pytest.raises(FrozenInstanceError):
        settings.load().ingest_port = 1  # type: ignore[misc]


def test_a_misspelt_variable_is_found(given) -> None:
    given(INGEST_PROT="8080", INGEST_PORT="8080")

    assert settings.unknown_names() == ("CLEARANCE_INGEST_PROT",)


def test_individualisation_fields_may_be_written_either_way(given) -> None:
    given(
        OPTILYZ_ID_FIELDS="individualization1=registered,individualisation2=cookie",
        BLOOMREACH_CAMPAIGN_FIELD="individualization3",
    )

    loaded = settings.load()

    assert loaded.optilyz_id_fields == ("individualisation1=registered", "individualisation2=cookie")
    assert loaded.bloomreach_campaign_field == "individualisation3"
