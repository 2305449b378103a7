"""The call to Bloomreach, over real sockets: its form, and what each answer means."""

from collections.abc import Iterator

import orjson
import pytest

from clearance.bloomreach.client import BloomreachClient
from clearance.bloomreach.commands import Command, CommandName
from clearance.bloomreach.replies import Result, UnreadableAnswer, load_results
from clearance.errors import VendorCredentialsRefused, VendorRefused, VendorThrottled, VendorUnavailable
from tests.fakes.peer import Peer, hang, reply

_COMMANDS = [
    Command(name=CommandName.EVENT, data={"customer_ids": {"registered": "ä@example.com"}}, about="r1"),
    Command(name=CommandName.CUSTOMER, data={"properties": {"valid": False}}, about="r2"),
]


@pytest.fixture
def peer() -> Iterator[Peer]:
    started = Peer()
    yield started
    started.stop()


@pytest.fixture
def client(peer: Peer) -> Iterator[BloomreachClient]:
    made = BloomreachClient(
        f"{peer.url}/base", project_token="a/b", key_id="key", secret="s:ecret", timeout_s=0.5, pool_size=1
    )
    yield made
    made.close()


def _answer(*results: object) -> bytes:
    return orjson.dumps({"success": True, "results": results})


@pytest.mark.loopback
def test_a_call_is_what_bloomreach_documents(peer: Peer, client: BloomreachClient) -> None:
    peer.answers(reply(200, _answer({"success": True}, {"success": False, "errors": ["no"]})))

    results = client.send(_COMMANDS)

    (request,) = peer.requests
    assert (request.method, request.path) == ("POST", "/base/track/v2/projects/a%2Fb/batch")
    assert request.headers["authorization"] == "Basic a2V5OnM6ZWNyZXQ="
    assert request.headers["content-type"] == "application/json"
    assert orjson.loads(request.body) == {
        "commands": [
            {"name": "customers/events", "data": {"customer_ids": {"registered": "ä@example.com"}}},
            {"name": "customers", "data": {"properties": {"valid": False}}},
        ]
    }
    assert results == [Result(is_taken=True), Result(is_taken=False, error="no")]


@pytest.mark.loopback
@pytest.mark.parametrize(
    ("status", "error"),
    [
        (400, VendorRefused),
        (401, VendorCredentialsRefused),
        (403, VendorCredentialsRefused),
        (429, VendorThrottled),
        (500, VendorUnavailable),
    ],
)
@pytest.mark.parametrize(
    "body", [b"", b'{"error": "x"}', b'{"message": "x"}', b'{"errors": {"a": ["x"]}}', b"<html>"]
)
def test_what_is_no_success_is_told_by_its_status_whatever_its_body_says(
    peer: Peer, client: BloomreachClient, status: int, error: type[Exception], body: bytes
) -> None:
    peer.answers(reply(status, body))

    with pytest.raises(error):
        client.send(_COMMANDS)


@pytest.mark.loopback
def test_no_answer_is_doubt(peer: Peer, client: BloomreachClient) -> None:
    peer.answers(hang)

    with pytest.raises(VendorUnavailable) as caught:
        client.send(_COMMANDS)

    assert caught.value.is_unconfirmed


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>",
        b"[]",
        b"{}",
        b'{"success": true, "results": {}}',
        b'{"success": false, "results": null, "errors": ["x"]}',
        _answer({"success": True}),
        _answer(*[{"success": True}] * 3),
        _answer({"success": True}, "taken"),
    ],
)
def test_an_answer_that_cannot_be_laid_beside_the_commands_is_doubt(body: bytes) -> None:
    with pytest.raises(UnreadableAnswer) as caught:
        load_results(body, 2, status=200)

    assert caught.value.is_unconfirmed


@pytest.mark.parametrize(
    ("result", "text"),
    [
        ({"success": False, "errors": ["a", "b"]}, "a; b"),
        (
            {"success": False, "errors": {"customer_ids": ["missing"], "x": "y"}},
            "customer_ids: missing; x: y",
        ),
        ({"success": False, "error": "unknown"}, "unknown"),
        ({"success": False, "message": "malformed", "errors": []}, "malformed"),
        ({"success": False}, "no error was given"),
        ({"success": None, "errors": None}, "no error was given"),
        ({}, "no error was given"),
        ({"success": "true"}, "no error was given"),
        ({"success": False, "errors": ["x" * 900]}, "x" * 500),
        ({"success": False, "errors": ["no \0 of ours"]}, "no  of ours"),
    ],
)
def test_a_refused_command_has_what_bloomreach_says_in_whatever_shape(
    result: dict[str, object], text: str
) -> None:
    assert load_results(_answer(result), 1, status=200) == [Result(is_taken=False, error=text)]
