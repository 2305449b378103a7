"""The runbooks have one form, hang together, and name only what there is."""

import re
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.system.drill_runbooks import SECTIONS, slugs, text_of
from workers.doctor.findings import Runbook

ROOT = Path(__file__).resolve().parents[2]
_PAGES = ["README", *slugs()]
_ALERTS = yaml.safe_load((ROOT / "deploy" / "prometheus" / "alerts.yml").read_text(encoding="utf-8"))
_MOST_LINES = 110


@cache
def alerts_by_slug() -> dict[str, set[str]]:
    """The alerts that link each page."""
    found: dict[str, set[str]] = {}
    for group in _ALERTS["groups"]:
        for rule in group["rules"]:
            page = Path(rule["annotations"]["runbook_url"]).stem
            found.setdefault(page, set()).add(rule["alert"])
    return found


@pytest.mark.parametrize("slug", slugs())
def test_a_page_says_what_to_see_check_do_and_undo_in_that_order(slug: str) -> None:
    text = text_of(slug)

    assert tuple(re.findall(r"^## (.+)$", text, re.MULTILINE)) == SECTIONS
    assert len(text.splitlines()) <= _MOST_LINES, "nobody reads so much at three in the morning"
    assert "at stake" in text
    assert "time left" in text


@pytest.mark.parametrize("slug", slugs())
def test_a_page_names_the_alerts_that_link_it_and_no_others(slug: str) -> None:
    assert set(re.findall(r"`(Clearance\w+)`", text_of(slug))) == alerts_by_slug().get(slug, set())


def test_every_page_is_linked_by_an_alert_by_the_doctor_and_by_the_index() -> None:
    indexed = set(re.findall(r"\]\(([a-z0-9-]+)\.md\)", text_of("README")))

    assert set(alerts_by_slug()) == {each.value for each in Runbook} == indexed == set(slugs())


def test_a_page_is_called_by_the_index_as_it_calls_itself() -> None:
    titles = {slug: text_of(slug).splitlines()[0].removeprefix("# ") for slug in slugs()}

    assert dict(re.findall(r"\[([^\]]+)\]\(([a-z0-9-]+)\.md\)", text_of("README"))) == {
        title: slug for slug, title in titles.items()
    }


@pytest.mark.parametrize("page", _PAGES)
def test_units_of_systemd_that_a_page_names_are_there(page: str) -> None:
    named = set(re.findall(r"systemctl \w+ (clearance-[a-z]+)(@?)", text_of(page)))

    missing = {
        unit + at for unit, at in named if not (ROOT / "deploy" / "systemd" / f"{unit}{at}.service").is_file()
    }
    assert missing == set()


@pytest.mark.parametrize("page", _PAGES)
def test_services_of_compose_that_a_page_names_are_there(page: str) -> None:
    services: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
    text = text_of(page)
    named = set(re.findall(r"docker compose (?:restart|exec|ps) ([a-z-]+)", text))
    named |= set(re.findall(r"docker compose up -d --scale ([a-z-]+)=", text))

    assert named - set(services) == set()


@pytest.mark.parametrize("page", _PAGES)
def test_deployments_and_autoscalers_of_kubernetes_that_a_page_names_are_there(page: str) -> None:
    names_by_kind: dict[str, set[str]] = {"Deployment": set(), "ScaledObject": set()}
    for path in (ROOT / "deploy" / "kubernetes" / "base").glob("*.yaml"):
        for each in yaml.safe_load_all(path.read_text(encoding="utf-8")):
            names_by_kind.setdefault(each["kind"], set()).add(each.get("metadata", {}).get("name", ""))
    text = text_of(page)

    deployments = set(re.findall(r"kubectl -n clearance [a-z ]*deploy/([a-z-]+)", text))
    autoscalers = set(re.findall(r"kubectl -n clearance patch scaledobject ([a-z-]+)", text))
    assert deployments - names_by_kind["Deployment"] == set()
    assert autoscalers - names_by_kind["ScaledObject"] == set()
