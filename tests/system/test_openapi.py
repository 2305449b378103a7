"""The OpenAPI document is true: whatever it allows, and much that it does not, gets an answer that it documents."""

from collections import Counter
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

from tests.system.fleet import SECRET, Fleet
from tests.system.signed import HEADER, notification, signed

pytestmark = pytest.mark.timeout(150)

_WEBHOOK = "/webhooks/optimove/triggered"
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


def _schema(fleet: Fleet) -> Any:
    document = fleet.get("/openapi.json").json()
    schema = schemathesis.openapi.from_dict(document)
    schema.config.update(base_url=fleet.ingest_url)
    return schema


def test_the_document_names_every_route(fleet: Fleet) -> None:
    assert set(_schema(fleet)) == {_WEBHOOK, *_PROBES}


@pytest.mark.parametrize("path", _PROBES)
def test_every_probe_answers_as_documented(fleet: Fleet, path: str) -> None:
    _schema(fleet)[path]["GET"].Case().call_and_validate(checks=_CHECKS)


@pytest.mark.parametrize("mode", list(GenerationMode), ids=lambda mode: mode.value)
@pytest.mark.parametrize("is_signed", [True, False], ids=["signed", "unsigned"])
def test_whatever_is_sent_to_the_webhook_gets_a_documented_answer_and_never_a_5xx(
    fleet: Fleet, mode: GenerationMode, is_signed: bool
) -> None:
    operation, seen = _schema(fleet)[_WEBHOOK]["POST"], Counter[int]()

    @settings(_SETTINGS, max_examples=150 if is_signed else 50)
    @given(case=operation.as_strategy(generation_mode=mode))
    def send(case: Case) -> None:
        seen[_answer(case, is_signed=is_signed)] += 1

    send()
    fleet.note(f"{mode.value}, signed {is_signed}: {dict(seen)}")
    assert sum(seen.values()) >= 50
    assert set(seen) <= ({202, 400, 422} if is_signed else {400, 401})


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
        seen[_answer(case, is_signed=True)] += 1

    send()
    fleet.note(f"good ones with parts replaced: {dict(seen)}")
    assert seen[202] > 10
    assert seen[422] > 10
    assert set(seen) == {202, 422}


def _answer(case: Case, *, is_signed: bool) -> int:
    hypothesis.note(f"signed: {is_signed}")
    response = case.call(auth=_Signed() if is_signed else None)
    case.validate_response(response, checks=_CHECKS)
    return response.status_code
