"""The compose file: what the processes need from it to keep their promises."""

import shutil
import subprocess
from pathlib import Path, PurePosixPath
from typing import Any

import pytest
import yaml

from config.queues import LANE_QUEUES
from workers.wiring import LANES_THAT_DECIDE

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def services() -> dict[str, dict[str, Any]]:
    """The services of docker-compose.yml by name."""
    found: dict[str, dict[str, Any]] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
    return found


def test_every_lane_has_a_service_that_is_given_longer_than_its_longest_task(
    services: dict[str, dict[str, Any]],
) -> None:
    for lane in LANE_QUEUES:
        service = services[f"worker-{lane.lane}"]
        assert service["command"] == ["worker", lane.lane]
        assert int(service["stop_grace_period"].removesuffix("s")) > lane.stop_grace_s


def test_every_lane_that_decides_reads_the_rules_from_a_directory_that_it_cannot_write(
    services: dict[str, dict[str, Any]],
) -> None:
    for lane in LANES_THAT_DECIDE:
        service = services[f"worker-{lane}"]
        path = PurePosixPath(service["environment"]["CLEARANCE_RULES_PATH"])
        assert any(volume.endswith(f":{path.parent}:ro") for volume in service["volumes"]), lane


def test_there_are_two_guardians(services: dict[str, dict[str, Any]]) -> None:
    assert services["guardian"]["deploy"]["replicas"] == 2


def test_the_broker_keeps_what_it_has_and_evicts_nothing(services: dict[str, dict[str, Any]]) -> None:
    command = services["redis"]["command"]
    assert command[command.index("--appendonly") + 1] == "yes"
    assert command[command.index("--maxmemory-policy") + 1] == "noeviction"


def test_every_process_that_stays_has_a_health_check(services: dict[str, dict[str, Any]]) -> None:
    without = {name for name, service in services.items() if "healthcheck" not in service}
    assert without == {"migrate"}


def test_processes_start_after_the_migration_and_the_broker(services: dict[str, dict[str, Any]]) -> None:
    for name in ("ingest", "guardian", "worker-triggered", "flower"):
        waits_for = services[name]["depends_on"]
        assert waits_for["migrate"]["condition"] == "service_completed_successfully"
        assert waits_for["redis"]["condition"] == "service_healthy"


def test_no_secret_has_a_default(services: dict[str, dict[str, Any]]) -> None:
    text = (ROOT / "docker-compose.yml").read_text()
    for line in text.splitlines():
        if "PASSWORD" in line and "${" in line:
            assert ":?" in line, line


def test_the_sandbox_runs_only_when_it_is_asked_for(services: dict[str, dict[str, Any]]) -> None:
    assert services["sandbox"]["profiles"] == ["sandbox"]


def test_compose_itself_accepts_the_file(tmp_path: Path) -> None:
    docker = shutil.which("docker")
    if (
        docker is None
        or subprocess.run([docker, "compose", "version"], capture_output=True, check=False).returncode
    ):
        pytest.skip("the Docker client has no compose plugin here; the client is not a service of ours")
    checked = subprocess.run(
        [docker, "compose", "-f", str(ROOT / "docker-compose.yml"), "config", "--quiet"],
        env={"POSTGRES_PASSWORD": "for-this-check", "HOME": str(tmp_path), "PATH": str(Path(docker).parent)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert checked.returncode == 0, checked.stderr
