"""The compose file, alone and with its overrides: what the processes need from it to keep their promises."""

import re
from dataclasses import fields
from pathlib import Path, PurePosixPath
from secrets import token_hex
from typing import Any

import pytest
import yaml
from compose_spec import PyCompose

from config import settings
from config.queues import LANE_QUEUES
from config.settings import Settings, variable
from workers.wiring import LANES_THAT_DECIDE

ROOT = Path(__file__).parents[3]
COMPOSE = ROOT / "docker-compose.yml"
OVERRIDES = sorted((ROOT / "deploy" / "compose").glob("*.yml"))
_SERVERS = {"redis", "postgres"}
# A secret may come as a file.
_SECRETS = {variable(item) for item in fields(Settings) if item.metadata["secret"]}


@pytest.fixture(scope="module")
def services() -> dict[str, dict[str, Any]]:
    """The services of docker-compose.yml by name."""
    found: dict[str, dict[str, Any]] = yaml.safe_load(COMPOSE.read_text())["services"]
    return found


@pytest.fixture(scope="module")
def ours(services: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Those that run our image."""
    return {name: service for name, service in services.items() if name not in _SERVERS}


def test_every_lane_has_a_service_that_is_given_as_long_as_the_lane_to_stop(
    services: dict[str, dict[str, Any]],
) -> None:
    for lane in LANE_QUEUES:
        service = services[f"worker-{lane.lane}"]
        assert service["command"] == ["worker", lane.lane]
        assert service["stop_grace_period"] == f"{lane.stop_grace_s}s"


def test_whoever_works_on_groups_stands_back_for_those_that_have_seconds(
    services: dict[str, dict[str, Any]],
) -> None:
    assert {name: told["cpu_shares"] for name, told in services.items() if "cpu_shares" in told} == {
        "worker-review": 205,
        "worker-submit": 205,
    }


def test_every_lane_that_decides_reads_the_rules_from_a_directory_that_it_cannot_write(
    services: dict[str, dict[str, Any]],
) -> None:
    for lane in LANES_THAT_DECIDE:
        service = services[f"worker-{lane}"]
        path = PurePosixPath(service["environment"]["CLEARANCE_RULES_PATH"])
        assert any(volume.endswith(f":{path.parent}:ro") for volume in service["volumes"]), lane


def test_there_are_two_of_what_others_wait_for(services: dict[str, dict[str, Any]]) -> None:
    for name in ("guardian", "worker-triggered", "worker-submit"):
        assert services[name]["deploy"]["replicas"] == 2, name


def test_whoever_serves_metrics_does_so_where_a_neighbour_can_read_them_and_nobody_outside(
    ours: dict[str, dict[str, Any]],
) -> None:
    serving = {name: each for name, each in ours.items() if "CLEARANCE_METRICS_PORT" in each["environment"]}

    assert set(serving) == {"guardian", *(f"worker-{lane.lane}" for lane in LANE_QUEUES)}
    for name, service in serving.items():
        assert service["environment"]["CLEARANCE_METRICS_HOST"] == "0.0.0.0", name  # noqa: S104
        assert "data" in service["networks"], name
        assert "ports" not in service, name


def test_every_file_that_must_be_there_is_said_and_made_by_the_page(
    services: dict[str, dict[str, Any]],
) -> None:
    page = (ROOT / "docs" / "deployment.md").read_text()
    needed = set(yaml.safe_load(COMPOSE.read_text())["secrets"])

    assert {name for name in needed if f"| `{name}` |" not in page} == set()
    made = {
        word.rpartition("/")[2] for line in page.splitlines() if "secrets/" in line for word in line.split()
    }
    assert needed - made == set()


def test_the_broker_keeps_what_it_has_and_evicts_nothing(services: dict[str, dict[str, Any]]) -> None:
    command = services["redis"]["command"]
    assert command[command.index("--appendonly") + 1] == "yes"
    assert command[command.index("--maxmemory-policy") + 1] == "noeviction"


def test_every_process_that_stays_has_a_health_check_comes_back_and_has_a_limit(
    services: dict[str, dict[str, Any]],
) -> None:
    for name, service in services.items():
        stays = name != "migrate"
        assert ("healthcheck" in service, service["restart"] == "unless-stopped") == (stays, stays), name
        assert "mem_limit" in service, name


def test_processes_start_after_the_migration_and_the_broker(ours: dict[str, dict[str, Any]]) -> None:
    for name, service in ours.items():
        if name == "migrate":
            continue
        waits_for = service["depends_on"]
        assert waits_for["migrate"]["condition"] == "service_completed_successfully"
        assert waits_for["redis"]["condition"] == "service_healthy"


def test_ours_cannot_write_to_their_image_nor_become_more_than_they_are(
    ours: dict[str, dict[str, Any]],
) -> None:
    for service in ours.values():
        assert service["read_only"] is True
        assert service["cap_drop"] == ["ALL"]
        assert service["security_opt"] == ["no-new-privileges:true"]


def test_nothing_is_published_beyond_this_host_and_the_servers_have_no_way_out(
    services: dict[str, dict[str, Any]],
) -> None:
    published = [port for service in services.values() for port in service.get("ports", [])]
    assert published == ["${PUBLISH_AT:-127.0.0.1:8080}:8080", "127.0.0.1:5555:5555"]
    assert yaml.safe_load(COMPOSE.read_text())["networks"]["data"] == {"internal": True}
    for name in _SERVERS:
        assert services[name]["networks"] == ["data"]


def test_secrets_are_files_and_each_process_is_given_those_that_it_reads(
    services: dict[str, dict[str, Any]],
) -> None:
    for name, service in services.items():
        environment = service.get("environment", {})
        read = {value for key, value in environment.items() if key.endswith("_FILE")}
        assert read == {f"/run/secrets/{secret}" for secret in service.get("secrets", [])}, name
        assert not _SECRETS.intersection(environment) - {"CLEARANCE_BROKER_URL"}, name


def test_a_lane_has_the_credentials_of_the_vendor_that_it_calls_and_of_no_other(
    services: dict[str, dict[str, Any]],
) -> None:
    given = {
        name: {secret for secret in service["secrets"] if secret != "ledger_url"}
        for name, service in services.items()
        if name.startswith("worker-")
    }
    assert given == {
        "worker-triggered": {"optimove_api_key"},
        "worker-review": set(),
        "worker-submit": {"optimove_api_key"},
        "worker-mail": {"optilyz_api_key"},
        "worker-track": {"bloomreach_api_secret"},
    }


@pytest.mark.parametrize("path", [COMPOSE, *OVERRIDES], ids=lambda path: path.name)
def test_what_is_set_there_are_settings_and_what_is_given_as_a_file_is_a_secret(path: Path) -> None:
    known = {variable(item) for item in fields(Settings)} | {"CLEARANCE_ENV"}
    for name, service in yaml.safe_load(path.read_text())["services"].items():
        for each in service.get("environment", {}):
            if each.startswith("CLEARANCE_"):
                allowed = _SECRETS if each.endswith("_FILE") else known
                assert each.removesuffix("_FILE") in allowed, f"{name}: {each}"


@pytest.mark.parametrize("path", OVERRIDES, ids=lambda path: path.name)
def test_another_broker_is_that_of_every_process(path: Path, ours: dict[str, dict[str, Any]]) -> None:
    changed = yaml.safe_load(path.read_text())["services"]
    for name in ours:
        if name != "migrate":
            assert changed[name]["environment"]["CLEARANCE_BROKER_URL_FILE"] == "/run/secrets/broker_url"
            assert changed[name]["environment"]["CLEARANCE_BROKER_URL"] == ""
            assert "broker_url" in changed[name]["secrets"]


@pytest.mark.parametrize("path", [COMPOSE, *OVERRIDES], ids=lambda path: path.name)
def test_a_file_says_only_what_the_specification_knows(path: Path) -> None:
    # Variables have their defaults, and what is merged is merged: a tag with `${` in it is none.
    resolved = yaml.safe_load(re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", path.read_text()))
    read = PyCompose.from_yaml(yaml.safe_dump(resolved))
    if path == COMPOSE:
        read.validate()  # an override names networks and secrets of the file that it is laid over


def test_what_each_process_is_given_is_enough_for_it_to_start_in_production(
    ours: dict[str, dict[str, Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = {"ledger_url": f"postgresql://clearance:{token_hex(24)}@postgres/clearance"}
    for service in ours.values():
        for name in service["secrets"]:
            (tmp_path / name).write_text(made.get(name, token_hex(24)))
        with monkeypatch.context() as patch:
            for key, value in service["environment"].items():
                patch.setenv(key, value.replace("/run/secrets", str(tmp_path)))
            assert settings.load().env == "production"
