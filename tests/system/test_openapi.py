"""The OpenAPI document is true: whatever it allows, and much that it does not, gets an answer that it documents."""

from collections import Counter
from collections.abc import Iterator
from typing import Any

import hypothesis
import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from schemathesis import Case, GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from tests.system.fleet import SECRET, Fleet, FleetPlan, running
from tests.system.signed import HEADER, notification, signed
from tests.system.told import EVENTS, SEND_GROUPS, TOKEN, event, send_group

pytestmark = pytest.mark.timeout(150)

_WEBHOOK = "/webhooks/optimove/triggered"
_RELAY = ("/api/v2/automations/{id}/recipient", "/api/v2/automations/{id}/recipients")
_MAILINGS = "/webhooks/optilyz/mailings"
_PROBES = ("/healthz", "/readyz", "/metrics", "/openapi.json")
_CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
]
# Derandomized: the same examples in every run.
_SETTINGS = settings(
    max_examples=200, derandomize=True, deadline=None, suppress_health_check=list(HealthCheck), database=None
)


class _Signed(requests.auth.AuthBase):
    """Signs the bytes that are sent, whatever they are."""

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        body = request.body or b""
        body = body.encode() if isinstance(body, str) else body
        request.headers[HEADER] = signed(body, SECRET)[HEADER]
        return request


_PASSWORD = requests.auth.HTTPBasicAuth("optimove", TOKEN)
_RELAY_KEY = "relay-key"
_KEY = requests.auth.HTTPBasicAuth(_RELAY_KEY, " ")
_GOOD = {SEND_GROUPS: send_group(), EVENTS: event()}


@pytest.fixture(scope="module")
def url_by_route(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """An ingest where the API of each scheduled route is in force; nobody works what is owed."""
    own = {"CLEARANCE_OPTIMOVE_LISTENER_TOKEN": TOKEN, "CLEARANCE_RELAY_API_KEYS": _RELAY_KEY}
    plan = FleetPlan(workers=0, guardians=0, settings=own)
    with (
        running(tmp_path_factory.mktemp("scheduled"), plan) as fleet,
        fleet.second_ingest({"CLEARANCE_SCHEDULED_API": "v1"}) as webhook_url,
    ):
        yield {SEND_GROUPS: fleet.ingest_url, EVENTS: webhook_url.removesuffix(_WEBHOOK)}


def _schema(fleet: Fleet, *, url: str = "") -> Any:
    document = fleet.get("/openapi.json").json()
    schema = schemathesis.openapi.from_dict(document)
    schema.config.update(base_url=url or fleet.ingest_url)
    return schema


def test_the_document_names_every_route(fleet: Fleet) -> None:
    assert set(_schema(fleet)) == {_WEBHOOK, SEND_GROUPS, EVENTS, _MAILINGS, *_RELAY, *_PROBES}


@pytest.mark.parametrize("path", _PROBES)
def test_every_probe_answers_as_documented(fleet: Fleet, path: str) -> None:
    _schema(fleet)[path]["GET"].Case().call_and_validate(checks=_CHECKS)


@pytest.mark.parametrize("mode", list(GenerationMode), ids=lambda mode: mode.value)
@pytest.mark.parametrize("is_signed", [True, False], ids=["signed", "unsigned"])
def test_whatever_is_sent_to_the_webhook_gets_a_documented_answer_and_never_a_5xx(
    fleet: Fleet, mode: GenerationMode, is_signed: bool
) -> None:
    operation, seen = _schema(fleet)[_WEBHOOK]["POST"], Counter[int]()

    @settings(_SETTINGS, max_examples=70 if is_signed else 50)
    @given(case=operation.as_strategy(generation_mode=mode))
    def send(case: Case) -> None:
        seen[_answer(case, _Signed() if is_signed else None)] += 1

    send()
    fleet.note(f"{mode.value}, signed {is_signed}: {dict(seen)}")
    assert sum(seen.values()) >= 50
    # 401 for a signed one: whatever else is right, its timestamp may be years from now.
    assert set(seen) <= ({202, 400, 401, 422} if is_signed else {400, 401})


def test_a_good_notification_with_parts_replaced_gets_a_documented_answer_and_never_a_5xx(
    fleet: Fleet,
) -> None:
    """Deeper than what is made from the document alone: most of it is right, so that every check is reached."""
    operation, seen = _schema(fleet)[_WEBHOOK]["POST"], Counter[int]()

    @_SETTINGS
    @given(
        case=operation.as_strategy(generation_mode=GenerationMode.POSITIVE),
        replaced=st.sets(st.sampled_from(sorted(notification())), max_size=2),
    )
    def send(case: Case, replaced: set[str]) -> None:
        generated = case.body if isinstance(case.body, dict) else {}
        case.body = notification() | {name: generated[name] for name in replaced & generated.keys()}
        seen[_answer(case, _Signed())] += 1

    send()
    fleet.note(f"good ones with parts replaced: {dict(seen)}")
    assert seen[202] > 10
    assert seen[422] > 2
    assert set(seen) == {202, 422}


@pytest.mark.parametrize("mode", list(GenerationMode), ids=lambda mode: mode.value)
@pytest.mark.parametrize("has_token", [True, False], ids=["with the token", "without"])
@pytest.mark.parametrize("route", [SEND_GROUPS, EVENTS])
def test_whatever_is_sent_to_a_scheduled_route_gets_a_documented_answer_and_never_a_5xx(
    fleet: Fleet, url_by_route: dict[str, str], route: str, has_token: bool, mode: GenerationMode
) -> None:
    operation, seen = _schema(fleet, url=url_by_route[route])[route]["POST"], Counter[int]()

    @settings(_SETTINGS, max_examples=70 if has_token else 50)
    @given(case=operation.as_strategy(generation_mode=mode))
    def send(case: Case) -> None:
        seen[_answer(case, _PASSWORD if has_token else None)] += 1

    send()
    fleet.note(f"{route}, {mode.value}, token {has_token}: {dict(seen)}")
    assert sum(seen.values()) >= 50
    assert set(seen) <= ({202, 400, 422} if has_token else {400, 401})
    assert seen[202] > 10 or not has_token or mode is GenerationMode.NEGATIVE


@pytest.mark.parametrize("route", [SEND_GROUPS, EVENTS])
def test_a_good_heads_up_with_parts_replaced_gets_a_documented_answer_and_never_a_5xx(
    fleet: Fleet, url_by_route: dict[str, str], route: str
) -> None:
    operation, seen = _schema(fleet, url=url_by_route[route])[route]["POST"], Counter[int]()

    @_SETTINGS
    @given(
        case=operation.as_strategy(generation_mode=GenerationMode.POSITIVE),
        replaced=st.sets(st.sampled_from(sorted(_GOOD[route])), max_size=2),
    )
    def send(case: Case, replaced: set[str]) -> None:
        generated = case.body if isinstance(case.body, dict) else {}
        case.body = _GOOD[route] | {name: generated[name] for name in replaced & generated.keys()}
        seen[_answer(case, _PASSWORD)] += 1

    send()
    fleet.note(f"{route}, good ones with parts replaced: {dict(seen)}")
    assert seen[202] > 10
    assert seen[422] > 2
    assert set(seen) == {202, 422}


@pytest.mark.parametrize("mode", list(GenerationMode), ids=lambda mode: mode.value)
@pytest.mark.parametrize("has_key", [True, False], ids=["with a key", "without"])
@pytest.mark.parametrize("route", [*_RELAY, _MAILINGS])
def test_whatever_is_sent_to_a_route_for_letters_gets_a_documented_answer_and_never_a_5xx(
    fleet: Fleet, url_by_route: dict[str, str], route: str, has_key: bool, mode: GenerationMode
) -> None:
    operation, seen = _schema(fleet, url=url_by_route[SEND_GROUPS])[route]["POST"], Counter[int]()

    @settings(_SETTINGS, max_examples=40 if has_key else 10)
    @given(case=operation.as_strategy(generation_mode=mode))
    def send(case: Case) -> None:
        seen[_answer(case, _KEY if has_key else None)] += 1

    send()
    fleet.note(f"{route}, {mode.value}, key {has_key}: {dict(seen)}")
    # At the relay nothing about content is answered with anything but 200.
    assert set(seen) <= (({200} if route in _RELAY else {202, 400, 413, 422}) if has_key else {400, 401})
    assert seen[401] or has_key


def _answer(case: Case, auth: requests.auth.AuthBase | None) -> int:
    hypothesis.note(f"sent with {type(auth).__name__}")
    response = case.call(auth=auth)
    case.validate_response(response, checks=_CHECKS)
    return response.status_code
