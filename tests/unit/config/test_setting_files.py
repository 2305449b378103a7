"""A secret may come from a file: as it is, but for one newline; and what is wrong is told without value or path."""

from dataclasses import fields
from pathlib import Path

import pytest

from config import settings
from config.settings import Settings, SettingsError

SECRETS = [item for item in fields(Settings) if item.metadata["secret"]]


@pytest.fixture
def given_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    def write(name: str, content: str | bytes) -> Path:
        path = tmp_path / "hunter2-path"
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        monkeypatch.setenv(f"CLEARANCE_{name}_FILE", str(path))
        return path

    return write


def _problem() -> str:
    with pytest.raises(SettingsError) as caught:
        settings.load()
    (problem,) = caught.value.problems
    assert "hunter2" not in problem
    return problem


@pytest.mark.parametrize("item", SECRETS, ids=lambda item: item.name)
@pytest.mark.parametrize("end", ["", "\n", "\r\n"])
def test_every_secret_may_be_in_a_file_that_ends_with_a_newline_or_not(given_file, item, end: str) -> None:
    value = "postgresql://u:p@h/d" if item.name == "ledger_url" else "redis://:p@h"
    value = value if item.name.endswith("_url") else "s3cret"
    given_file(item.name.upper(), value + end)

    loaded = getattr(settings.load(), item.name)

    assert loaded == ((value,) if isinstance(item.default, tuple) else value)


def test_a_list_of_secrets_in_a_file_has_commas_between_them(given_file) -> None:
    given_file("RELAY_API_KEYS", "one, two,\n")

    assert settings.load().relay_api_keys == ("one", "two")


def test_a_file_with_nothing_in_it_counts_as_unset(given_file) -> None:
    given_file("OPTIMOVE_LISTENER_TOKEN", "\n")

    assert settings.load() == Settings()


@pytest.mark.parametrize("content", ["hunter2\n\n", " hunter2", "hunter2 \n"])
def test_more_white_space_than_one_newline_is_a_mistake(given_file, content: str) -> None:
    given_file("FLOWER_PASSWORD", content)

    assert "CLEARANCE_FLOWER_PASSWORD: begins or ends with white space" in _problem()


def test_a_secret_in_its_variable_and_in_a_file_is_a_mistake(given_file, monkeypatch) -> None:
    given_file("FLOWER_PASSWORD", "hunter2")
    monkeypatch.setenv("CLEARANCE_FLOWER_PASSWORD", "hunter2")

    assert "so is CLEARANCE_FLOWER_PASSWORD_FILE" in _problem()


def test_a_variable_that_is_blank_beside_a_file_is_none(given_file, monkeypatch) -> None:
    given_file("FLOWER_PASSWORD", "word")
    monkeypatch.setenv("CLEARANCE_FLOWER_PASSWORD", " ")

    assert settings.load().flower_password == "word"


def test_a_secret_written_where_its_path_belongs_is_not_repeated(monkeypatch) -> None:
    monkeypatch.setenv("CLEARANCE_OPTIMOVE_API_KEY_FILE", "hunter2")

    assert _problem() == (
        "CLEARANCE_OPTIMOVE_API_KEY: CLEARANCE_OPTIMOVE_API_KEY_FILE names a file that cannot be read:"
        " No such file or directory."
    )


def test_a_directory_or_what_is_no_path_cannot_be_read(monkeypatch, tmp_path: Path) -> None:
    monkeypatch.setenv("CLEARANCE_OPTIMOVE_API_KEY_FILE", str(tmp_path))

    assert "cannot be read" in _problem()


@pytest.mark.parametrize(
    ("content", "told"), [(b"hunter2\xff", "not UTF-8"), (b"hunter2" * 10_000, "more than 65536 bytes")]
)
def test_a_file_that_holds_no_secret_is_refused(given_file, content: bytes, told: str) -> None:
    given_file("OPTIMOVE_API_KEY", content)

    assert told in _problem()


def test_what_is_in_a_file_keeps_the_rule_of_its_setting(given_file) -> None:
    given_file("LEDGER_URL", "mysql://user:hunter2@host/db\n")

    assert "must begin with one of sqlite://, postgresql://" in _problem()


def test_what_is_no_secret_has_no_file(given_file) -> None:
    given_file("INGEST_PORT", "9000")

    assert settings.load().ingest_port == 8080
    assert settings.unknown_names() == ("CLEARANCE_INGEST_PORT_FILE",)


def test_what_a_file_holds_is_given(given_file) -> None:
    assert not settings.is_given("broker_url")

    given_file("BROKER_URL", "redis://h")

    assert settings.is_given("broker_url")
    assert settings.unknown_names() == ()


def test_a_variable_that_a_rules_file_names_may_be_in_a_file(tmp_path: Path, monkeypatch) -> None:
    (tmp_path / "key").write_text("Bearer word\n")
    monkeypatch.setenv("CRM_AUTHORIZATION_FILE", str(tmp_path / "key"))

    assert settings.named_secret("CRM_AUTHORIZATION") == "Bearer word"
    (tmp_path / "key").unlink()
    assert settings.named_secret("CRM_AUTHORIZATION") is None
