"""The generated documents say what the tables say."""

from dataclasses import fields
from pathlib import Path

import pytest

from config import reference
from config.metric_registry import METRICS, PREFIX
from config.settings import Settings, variable


def test_the_generated_documents_of_this_checkout_are_up_to_date() -> None:
    assert reference.stale() == []


def test_every_setting_is_in_both_of_its_documents_with_its_meaning() -> None:
    documents = reference.documents()

    for item in fields(Settings):
        assert f"| `{variable(item)}` |" in documents[Path("docs/configuration.md")]
        assert f"\n#{variable(item)}=" in documents[Path(".env.example")]


def test_every_metric_is_in_its_document() -> None:
    shown = reference.documents()[Path("docs/metrics.md")]

    for metric in METRICS:
        assert f"| `{PREFIX}{metric.name}` | {metric.kind} |" in shown


def test_no_secret_of_the_example_has_a_value_that_could_be_real() -> None:
    for item in fields(Settings):
        if item.metadata["secret"] and not item.name.endswith("_url"):
            assert not item.default


def test_the_example_is_a_set_of_settings_that_loads_when_uncommented(monkeypatch) -> None:
    from config import settings

    for line in reference.documents()[Path(".env.example")].splitlines():
        if line.startswith("#CLEARANCE_"):
            name, _, value = line.removeprefix("#").partition("=")
            monkeypatch.setenv(name, value)

    assert settings.load() == Settings()


def test_writing_creates_the_documents_and_a_second_check_finds_nothing(tmp_path: Path) -> None:
    assert reference.main(["--root", str(tmp_path)]) == 0
    assert reference.main(["--root", str(tmp_path), "--check"]) == 0


def test_a_check_names_what_is_stale_and_writes_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    reference.main(["--root", str(tmp_path)])
    (tmp_path / "docs/metrics.md").write_text("old", encoding="utf-8")

    assert reference.main(["--root", str(tmp_path), "--check"]) == 1
    assert capsys.readouterr().err.startswith("docs/metrics.md is stale")
    assert (tmp_path / "docs/metrics.md").read_text(encoding="utf-8") == "old"
