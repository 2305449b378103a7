"""Which requests `clearance.optimove.client` makes, and what it makes of the replies."""

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta, timezone

import pytest

from clearance.errors import VendorRefused, VendorUnavailable
from clearance.optimove.client import Listener, OptimoveClient, OptimovePaths, Webhook, WebhookSettings
from tests.fakes.peer import Peer, Request, hang, reply

pytestmark = pytest.mark.loopback

PATHS = OptimovePaths(triggered_approval="/approval", webhooks="/webhooks/", webhook_settings="/settings")
AT = datetime(2026, 7, 28, 12, 0, 0, 123_000, tzinfo=UTC)
BERLIN = timezone(timedelta(hours=2))
MOMENTS = [
    AT,
    AT.astimezone(BERLIN),
    AT + timedelta(microseconds=999),
    *(AT + timedelta(milliseconds=i) for i in range(1, 99, 17)),
]


@pytest.fixture
def client(peer: Peer) -> Iterator[OptimoveClient]:
    client = OptimoveClient(peer.url, "the-key", paths=PATHS, timeout_s=2.0, pool_size=2)
    yield client
    client.close()


def submit(client: OptimoveClient, at: datetime = AT, timeout_s: float | None = None) -> int:
    answer = client.submit_triggered_approval(request_uid="r-1", approved=True, at=at, timeout_s=timeout_s)
    assert 0 < answer.latency_s < 2
    return answer.status


def only(peer: Peer) -> Request:
    (request,) = peer.requests
    return request


def test_an_approval_has_the_vendors_form(client: OptimoveClient, peer: Peer) -> None:
    assert submit(client) == 200
    request = only(peer)
    assert (request.method, request.path) == ("POST", "/approval")
    assert request.headers["x-api-key"] == "the-key"
    assert request.headers["content-type"] == "application/json"
    assert json.loads(request.body) == {
        "timestamp": 1785240000123,
        "request_uid": "r-1",
        "approved": True,
        "additional_data": {},
    }


def test_a_rejection_is_sent_as_not_approved(client: OptimoveClient, peer: Peer) -> None:
    client.submit_triggered_approval(request_uid="r-1", approved=False, at=AT, timeout_s=1.0)
    assert json.loads(only(peer).body)["approved"] is False


@pytest.mark.parametrize("at", MOMENTS, ids=str)
def test_an_approvals_timestamp_is_exact_to_the_millisecond(
    client: OptimoveClient, peer: Peer, at: datetime
) -> None:
    submit(client, at)
    expected_ms = (at - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(milliseconds=1)
    assert json.loads(only(peer).body)["timestamp"] == expected_ms


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (200, b""),
        (202, b'{"accepted": true}'),
        (204, b""),
        (200, b'{"ResponseCode":200}'),
        (200, b"fine"),
        (200, b'""'),
    ],
)
def test_any_2xx_takes_an_approval(client: OptimoveClient, peer: Peer, status: int, body: bytes) -> None:
    peer.answers(reply(status, body))
    assert submit(client) == status


@pytest.mark.parametrize("body", [b'"canary C234638 is unknown"', b' "canary"\n'])
def test_a_bare_text_in_a_success_reply_is_a_refusal_that_does_not_repeat_it(
    client: OptimoveClient, peer: Peer, body: bytes
) -> None:
    peer.answers(reply(200, body))
    with pytest.raises(VendorRefused) as caught:
        submit(client)
    assert caught.value.status == 200
    assert f"{len(body)} bytes" in str(caught.value)
    assert "canary" not in str(caught.value)


def test_an_approval_keeps_to_its_own_timeout(client: OptimoveClient, peer: Peer) -> None:
    peer.answers(hang)
    with pytest.raises(VendorUnavailable, match="in time"):
        submit(client, timeout_s=0.05)


def test_without_a_timeout_of_its_own_a_call_keeps_to_the_clients(peer: Peer) -> None:
    peer.answers(hang)
    client = OptimoveClient(peer.url, "the-key", paths=PATHS, timeout_s=0.05, pool_size=1)
    with pytest.raises(VendorUnavailable, match="in time"):
        submit(client)


def test_a_webhook_is_created(client: OptimoveClient, peer: Peer) -> None:
    peer.answers(reply(201, b'{"url": "https://example.com/webhook", "id": "webhook1", "more": 1}'))
    assert client.create_webhook("https://example.com/webhook") == Webhook(
        id="webhook1", url="https://example.com/webhook"
    )
    request = only(peer)
    assert (request.method, request.path) == ("POST", "/webhooks/")
    assert json.loads(request.body) == {"url": "https://example.com/webhook"}


@pytest.mark.parametrize(
    ("body", "expected"),
    [(b'[{"url": "u", "id": 7}]', (Webhook(id="7", url="u"),)), (b"[]", ()), (b"", ())],
)
def test_webhooks_are_listed(
    client: OptimoveClient, peer: Peer, body: bytes, expected: tuple[Webhook, ...]
) -> None:
    peer.answers(reply(200, body))
    assert client.list_webhooks() == expected
    assert (only(peer).method, only(peer).path, only(peer).body) == ("GET", "/webhooks/", b"")


def test_a_webhook_is_fetched_by_its_id_whatever_the_id_holds(client: OptimoveClient, peer: Peer) -> None:
    peer.answers(reply(200, b'{"url": "u", "id": "a/b?c"}'))
    assert client.get_webhook("a/b?c") == Webhook(id="a/b?c", url="u")
    assert (only(peer).method, only(peer).path) == ("GET", "/webhooks/a%2Fb%3Fc")


def test_a_webhook_is_deleted_by_its_id(client: OptimoveClient, peer: Peer) -> None:
    client.delete_webhook("webhook1")
    assert (only(peer).method, only(peer).path) == ("DELETE", "/webhooks/webhook1")


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b'{"timeout": 5000, "secret": "canary"}', WebhookSettings(timeout_ms=5000, has_secret=True)),
        (b'{"timeout": 5000, "secret": ""}', WebhookSettings(timeout_ms=5000, has_secret=False)),
        (b'{"timeout": null, "secret": null}', WebhookSettings(timeout_ms=None, has_secret=False)),
        (b"{}", WebhookSettings(timeout_ms=None, has_secret=False)),
    ],
)
def test_settings_are_told_without_the_secret(
    client: OptimoveClient, peer: Peer, body: bytes, expected: WebhookSettings
) -> None:
    peer.answers(reply(200, body))
    got = client.get_settings()
    assert got == expected
    assert "canary" not in repr(got)
    assert (only(peer).method, only(peer).path) == ("GET", "/settings")


@pytest.mark.parametrize(
    ("given", "sent"),
    [
        ({"timeout_ms": 3000}, {"timeout": 3000}),
        ({"secret": "s"}, {"secret": "s"}),
        ({"timeout_ms": 3000, "secret": "s"}, {"timeout": 3000, "secret": "s"}),
    ],
)
def test_only_the_settings_that_are_given_are_sent(
    client: OptimoveClient, peer: Peer, given: dict[str, object], sent: dict[str, object]
) -> None:
    peer.answers(reply(200, b'{"timeout": 3000, "secret": "s"}'))
    assert client.update_settings(**given).timeout_ms == 3000
    assert (only(peer).method, only(peer).path) == ("PUT", "/settings")
    assert json.loads(only(peer).body) == sent


def test_a_listener_is_registered_and_unregistered(client: OptimoveClient, peer: Peer) -> None:
    client.register_listener(5, "https://example.com/events?token=t")
    client.unregister_listener(18)
    assert [(request.method, request.path, json.loads(request.body)) for request in peer.requests] == [
        (
            "POST",
            "/current/general/RegisterEventListener",
            {"EventTypeID": 5, "ListenerURL": "https://example.com/events?token=t"},
        ),
        ("POST", "/current/general/UnregisterEventListener", {"EventTypeID": 18}),
    ]


@pytest.mark.parametrize("keys", [("EventTypeID", "ListenerURL"), ("eventTypeId", "listenerUrl")])
def test_listeners_are_listed_whatever_the_case_of_their_keys(
    client: OptimoveClient, peer: Peer, keys: tuple[str, str]
) -> None:
    peer.answers(reply(200, json.dumps([{keys[0]: 18, keys[1]: "u", "more": 1}]).encode()))
    assert client.list_listeners() == (Listener(event_type_id=18, url="u"),)
    assert (only(peer).method, only(peer).path) == ("GET", "/current/general/GetRegisteredEventListeners")


@pytest.mark.parametrize(
    "body", [b"", b"<html>canary</html>", b'{"url": ["canary"], "id": 1}', b'["canary"]', b"null"]
)
@pytest.mark.parametrize(
    "call",
    [
        lambda client: client.create_webhook("u"),
        lambda client: client.get_webhook("w"),
    ],
    ids=["create", "get"],
)
def test_a_reply_of_another_shape_is_refused_without_being_repeated(
    client: OptimoveClient, peer: Peer, body: bytes, call: Callable[[OptimoveClient], object]
) -> None:
    peer.answers(reply(200, body))
    with pytest.raises(VendorRefused, match="a reply") as caught:
        call(client)
    assert "canary" not in str(caught.value)


@pytest.mark.parametrize(
    "body", [b"<html>canary</html>", b'{"canary": 1}', b'[{"EventTypeID": "canary"}]', b'["canary"]', b"null"]
)
def test_a_listing_of_another_shape_is_refused_without_being_repeated(
    client: OptimoveClient, peer: Peer, body: bytes
) -> None:
    peer.answers(reply(200, body))
    with pytest.raises(VendorRefused, match="a reply") as caught:
        client.list_listeners()
    assert "canary" not in str(caught.value)
