"""The Kubernetes manifests, as `kubectl kustomize` builds them: valid, complete, and as the processes need them."""

import subprocess
import sys
from collections.abc import Iterator
from dataclasses import fields
from functools import cache
from pathlib import Path
from typing import Any

import click
import kubernetes_validate
import pytest
import yaml

from clearance.decisions import rules_file
from config.metric_registry import METRICS
from config.queues import LANE_QUEUES
from config.settings import Settings, variable
from tests.unit.deploy.test_compose import ROOT
from workers import cli
from workers.wiring import LANES_THAT_DECIDE

_KUBERNETES = ROOT / "deploy" / "kubernetes"
_OVERLAYS = ["production", "rabbitmq"]
_PLACES = ["base", *(f"overlays/{name}" for name in _OVERLAYS)]
# The oldest release that has all that is used (`matchLabelKeys`), and the newest whose schemas are known.
_VERSIONS = ["1.29", "1.37"]
_SECRETS = {variable(item) for item in fields(Settings) if item.metadata["secret"]}
_KNOWN = {variable(item) for item in fields(Settings)} | {"CLEARANCE_ENV"}
_KEDA = "keda.sh/v1alpha1"
# Source: https://keda.sh/docs/latest/reference/scaledobject-spec/ and .../scalers/prometheus/.
_SCALED_OBJECT = {
    "scaleTargetRef",
    "minReplicaCount",
    "maxReplicaCount",
    "pollingInterval",
    "advanced",
    "triggers",
}
_PROMETHEUS = {"serverAddress", "query", "threshold"}

Manifest = dict[str, Any]


@cache
def _built(place: str) -> tuple[Manifest, ...]:
    done = subprocess.run(
        [Path(sys.executable).parent / "kubectl", "kustomize", _KUBERNETES / place],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return tuple(yaml.safe_load_all(done.stdout))


def _of(place: str, kind: str) -> dict[str, Manifest]:
    return {each["metadata"]["name"]: each for each in _built(place) if each["kind"] == kind}


def _pods(place: str) -> dict[str, Manifest]:
    """The pods of every Deployment by its name."""
    return {name: each["spec"]["template"]["spec"] for name, each in _of(place, "Deployment").items()}


def _containers(pod: Manifest) -> Iterator[Manifest]:
    yield from pod["initContainers"]
    yield from pod["containers"]


@pytest.mark.parametrize("version", _VERSIONS)
@pytest.mark.parametrize("place", _PLACES)
def test_every_manifest_is_what_kubernetes_expects(place: str, version: str) -> None:
    for manifest in _built(place):
        if manifest["apiVersion"] != _KEDA:
            kubernetes_validate.validate(manifest, version, strict=True)


@pytest.mark.parametrize("place", _PLACES)
def test_every_lane_is_scaled_by_the_age_of_what_is_due(place: str) -> None:
    scaled = _of(place, "ScaledObject")
    assert set(scaled) == {f"worker-{lane.lane}" for lane in LANE_QUEUES}
    for lane in LANE_QUEUES:
        spec = scaled[f"worker-{lane.lane}"]["spec"]
        assert set(spec) == _SCALED_OBJECT
        assert spec["scaleTargetRef"] == {"name": f"worker-{lane.lane}"}
        assert 1 <= spec["minReplicaCount"] < spec["maxReplicaCount"]
        (trigger,) = spec["triggers"]
        assert (trigger["type"], trigger["metricType"]) == ("prometheus", "Value")
        assert set(trigger["metadata"]) == _PROMETHEUS
        assert float(trigger["metadata"]["threshold"]) > 0
        query = f'max(clearance_obligations_oldest_due_seconds{{lane="{lane.lane}"}})'
        assert trigger["metadata"]["query"] == query
    (measured,) = [metric for metric in METRICS if metric.name == "obligations_oldest_due_seconds"]
    assert measured.labels == ("lane",)


@pytest.mark.parametrize("place", _PLACES)
def test_a_number_of_replicas_is_said_in_one_place(place: str) -> None:
    scaled = {*_of(place, "ScaledObject"), *_of(place, "HorizontalPodAutoscaler")}
    replicas = {name: each["spec"].get("replicas") for name, each in _of(place, "Deployment").items()}
    assert {name for name, number in replicas.items() if number is None} == scaled
    assert {name: number for name, number in replicas.items() if number} == {"guardian": 2, "flower": 1}


@pytest.mark.parametrize("place", _PLACES)
def test_a_pod_is_given_as_long_as_its_lane_to_stop(place: str) -> None:
    pods = _pods(place)
    for lane in LANE_QUEUES:
        assert pods[f"worker-{lane.lane}"]["terminationGracePeriodSeconds"] == lane.stop_grace_s
    for pod in pods.values():
        assert "terminationGracePeriodSeconds" in pod


@pytest.mark.parametrize("place", _PLACES)
def test_every_process_is_a_command_and_none_is_forgotten(place: str) -> None:
    commands = {name: pod["containers"][0]["args"] for name, pod in _pods(place).items()}
    assert commands == {
        "ingest": ["ingest"],
        "guardian": ["guardian"],
        "flower": ["flower"],
        **{f"worker-{lane.lane}": ["worker", lane.lane] for lane in LANE_QUEUES},
    }
    context = click.Context(cli.main)
    for args in commands.values():
        assert cli.main.get_command(context, args[0]) is not None


@pytest.mark.parametrize("place", _PLACES)
def test_the_schema_is_there_before_any_process_starts(place: str) -> None:
    for pod in _pods(place).values():
        (first,) = pod["initContainers"]
        assert first["args"] == ["db", "upgrade"]
        assert first["image"] == pod["containers"][0]["image"]


@pytest.mark.parametrize("place", _PLACES)
def test_no_process_is_root_or_may_write_to_its_image_or_speaks_to_the_cluster(place: str) -> None:
    for pod in _pods(place).values():
        assert pod["automountServiceAccountToken"] is False
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["securityContext"]["runAsUser"] == 10001
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        for container in _containers(pod):
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }
            assert {"requests", "limits"} == set(container["resources"])


@pytest.mark.parametrize("place", _PLACES)
def test_every_process_that_serves_is_probed_and_no_probe_that_ends_one_asks_for_what_it_outlives(
    place: str,
) -> None:
    for name, pod in _pods(place).items():
        container = pod["containers"][0]
        assert "livenessProbe" in container, name
        liveness = container["livenessProbe"].get("httpGet", {}).get("path")
        assert liveness == {"ingest": "/healthz", "flower": None}.get(name, "/metrics")
        if name != "flower":
            assert {"startupProbe", "readinessProbe"} <= set(container)


@pytest.mark.parametrize("place", _PLACES)
def test_replicas_are_spread_each_kind_for_itself(place: str) -> None:
    for pod in _pods(place).values():
        spread = pod["topologySpreadConstraints"]
        assert {each["topologyKey"] for each in spread} == {
            "kubernetes.io/hostname",
            "topology.kubernetes.io/zone",
        }
        for each in spread:
            assert "app.kubernetes.io/component" in each["matchLabelKeys"]


@pytest.mark.parametrize("place", _PLACES)
def test_secrets_are_named_never_told_and_every_file_that_is_read_is_mounted(place: str) -> None:
    assert _of(place, "Secret") == {}
    settings = next(each["data"] for name, each in _of(place, "ConfigMap").items() if "settings" in name)
    for name, pod in _pods(place).items():
        secrets = {each["name"]: each["secret"] for each in pod["volumes"] if "secret" in each}
        for container in _containers(pod):
            told = {each["name"]: each["value"] for each in container.get("env", [])} | settings
            for key, value in told.items():
                allowed = _SECRETS if key.endswith("_FILE") else _KNOWN - _SECRETS
                assert key.removesuffix("_FILE") in allowed, f"{name}: {key}"
                if key.endswith("_FILE"):
                    mounts = {each["mountPath"]: each["name"] for each in container["volumeMounts"]}
                    assert mounts[str(Path(value).parent)] in secrets, f"{name}: {key}"
    mounted = {
        name: {each["secret"]["secretName"] for each in pod["volumes"] if "secret" in each}
        - {"clearance-ledger", "clearance-broker"}
        for name, pod in _pods(place).items()
    }
    assert mounted == {
        "ingest": {"clearance-webhooks"},
        "guardian": set(),
        "flower": {"clearance-flower"},
        "worker-triggered": {"clearance-optimove"},
        "worker-review": set(),
        "worker-submit": {"clearance-optimove"},
        "worker-mail": {"clearance-optilyz"},
        "worker-track": {"clearance-bloomreach"},
    }


@pytest.mark.parametrize("overlay", _OVERLAYS)
def test_whoever_decides_has_the_rules_and_they_are_right(overlay: str) -> None:
    place = f"overlays/{overlay}"
    maps = _of(place, "ConfigMap")
    for lane in LANES_THAT_DECIDE:
        pod = _pods(place)[f"worker-{lane}"]
        (rules,) = [each["configMap"]["name"] for each in pod["volumes"] if "configMap" in each]
        assert rules in maps
        rules_file.load_rules(maps[rules]["data"]["rules.toml"], source="rules.toml")


@pytest.mark.parametrize("overlay", _OVERLAYS)
def test_what_an_overlay_names_is_in_it(overlay: str) -> None:
    place = f"overlays/{overlay}"
    maps, deployments = _of(place, "ConfigMap"), _of(place, "Deployment")
    for pod in _pods(place).values():
        for container in _containers(pod):
            assert container["image"].startswith("registry.example.com/")
            assert {each["configMapRef"]["name"] for each in container["envFrom"]} <= set(maps)
    autoscaler = _of(place, "HorizontalPodAutoscaler")["ingest"]
    assert autoscaler["spec"]["scaleTargetRef"]["name"] in deployments
    assert {each["metadata"]["namespace"] for each in _built(place)} == {"clearance"}


@pytest.mark.parametrize("place", _PLACES)
def test_of_everything_that_stays_one_may_be_drained_at_a_time(place: str) -> None:
    budgets = _of(place, "PodDisruptionBudget")
    assert set(budgets) == set(_of(place, "Deployment")) - {"flower"}
    for name, budget in budgets.items():
        assert budget["spec"]["maxUnavailable"] == 1
        assert budget["spec"]["selector"]["matchLabels"]["app.kubernetes.io/component"] == name


@pytest.mark.parametrize("place", _PLACES)
def test_nobody_talks_to_anybody_but_ingest_to_its_gateway_and_workers_to_vendors(place: str) -> None:
    policies = {name: each["spec"] for name, each in _of(place, "NetworkPolicy").items()}
    assert policies["default-deny"] == {
        "podSelector": {},
        "policyTypes": ["Ingress", "Egress"],
    }
    reached = [name for name, spec in policies.items() if spec.get("ingress")]
    assert set(reached) == {"gateway-to-ingest", "monitoring-to-ours"}
    (selected,) = policies["workers-to-vendors"]["podSelector"]["matchExpressions"]
    # A worker that decides without a vendor of its own has none to call, nor have guardians, ingest and Flower.
    assert set(selected["values"]) == {f"worker-{lane.lane}" for lane in LANE_QUEUES} - {"worker-review"}
    (rule,) = policies["workers-to-vendors"]["egress"]
    assert "10.0.0.0/8" in rule["to"][0]["ipBlock"]["except"]
    ports = {
        port["port"] for rule in policies["ours-to-ledger-and-broker"]["egress"] for port in rule["ports"]
    }
    assert ports == {5432, 6379} | ({5671, 5672} if place.endswith("rabbitmq") else set())
