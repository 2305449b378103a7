"""Which requests `clearance.optilyz.client` makes, and what it makes of refusals and silence."""

import json
from base64 import b64encode
from collections.abc import Callable, Iterator
from threading import Thread
from time import monotonic

import pytest

from clearance.errors import VendorCredentialsRefused, VendorRefused, VendorThrottled, VendorUnavailable
from clearance.optilyz.client import OptilyzClient
from tests.fakes.peer import Answer, Peer, hang, reply, reset, trickle

pytestmark = pytest.mark.loopback

_PAYLOADS = [
    b'{"address":{"lastName":"M\xc3\xbcller"},"variation":1}',
    b'{ "address": {"lastName": "Muster"} }',
]
_TOKEN = reply(200, b'{"token": "t-1"}')


def _client(
    url: str, *, authenticate_path: str | None = None, time: Callable[[], float] = monotonic
) -> OptilyzClient:
    return OptilyzClient(
        url + "/api",
        "the-key",
        recipients_path="/v2/automations/{id}/recipients",
        authenticate_path=authenticate_path,
        pool_size=2,
        time=time,
    )


@pytest.fixture
def peer() -> Iterator[Peer]:
    peer = Peer()
    yield peer
    peer.stop()


@pytest.fixture
def client(peer: Peer) -> Iterator[OptilyzClient]:
    made = _client(peer.url)
    yield made
    made.close()


@pytest.fixture
def with_token(peer: Peer) -> Iterator[OptilyzClient]:
    made = _client(peer.url, authenticate_path="/v1/authenticate")
    yield made
    made.close()


def _post(client: OptilyzClient, timeout_s: float = 2.0) -> int:
    return client.post("5fc6ca6a", _PAYLOADS, timeout_s=timeout_s).status


def _user(user: str) -> str:
    return "Basic " + b64encode(f"{user}:".encode()).decode()


def _calls(peer: Peer) -> list[tuple[str, str | None]]:
    return [(each.path.removeprefix("/api"), each.headers.get("authorization")) for each in peer.requests]


def test_payloads_go_out_byte_for_byte_with_the_key_as_user_name(client: OptilyzClient, peer: Peer) -> None:
    assert _post(client) == 200

    (request,) = peer.requests
    assert (request.method, request.path) == ("POST", "/api/v2/automations/5fc6ca6a/recipients")
    assert request.headers["authorization"] == _user("the-key")
    assert request.headers["content-type"] == "application/json"
    assert request.body == b'{"addresses":[' + _PAYLOADS[0] + b"," + _PAYLOADS[1] + b"]}"
    assert [each["address"]["lastName"] for each in json.loads(request.body)["addresses"]] == [
        "Müller",
        "Muster",
    ]


def test_an_automation_cannot_lead_to_another_path(client: OptilyzClient, peer: Peer) -> None:
    client.post("../x?y=1#z", [], timeout_s=2.0)

    assert peer.requests[0].path == "/api/v2/automations/..%2Fx%3Fy%3D1%23z/recipients"


@pytest.mark.parametrize(
    ("answer", "raised"),
    [
        (reply(401), VendorCredentialsRefused),
        (reply(403), VendorCredentialsRefused),
        (reply(404), VendorRefused),
        (reply(302, headers={"Location": "/elsewhere"}), VendorRefused),
        (reply(429, headers={"Retry-After": "7"}), VendorThrottled),
        (reply(503), VendorUnavailable),
    ],
)
def test_a_refusal_is_the_callers_to_judge_and_is_not_repeated(
    client: OptilyzClient, peer: Peer, answer: Answer, raised: type[Exception]
) -> None:
    peer.answers(answer)

    with pytest.raises(raised):
        _post(client)

    assert len(peer.requests) == 1


@pytest.mark.parametrize("answer", [hang, reset, trickle(b"HTTP/1.1 200 OK\r\n", b"x", every_s=0.02)])
def test_silence_a_reset_and_a_dripping_reply_are_doubt_within_the_time_and_are_not_repeated(
    client: OptilyzClient, peer: Peer, answer: Answer
) -> None:
    peer.answers(answer)

    with pytest.raises(VendorUnavailable) as raised:
        _post(client, timeout_s=0.3)

    assert raised.value.is_unconfirmed
    assert len(peer.requests) == 1


def test_no_connection_is_certain() -> None:
    gone = Peer()
    url = gone.url
    gone.stop()

    with pytest.raises(VendorUnavailable) as raised:
        _post(_client(url))

    assert not raised.value.may_have_arrived


def test_a_key_that_cannot_be_sent_is_refused_without_being_told() -> None:
    for key in ("", "a\nb"):
        with pytest.raises(ValueError, match="printable") as raised:
            OptilyzClient("http://vendor.test", key, recipients_path="/", authenticate_path=None, pool_size=1)
        assert not key or key not in str(raised.value)


# --- with a token ---------------------------------------------------------------------------------------------------


def test_the_key_becomes_a_token_once_and_the_token_is_the_user_name(
    with_token: OptilyzClient, peer: Peer
) -> None:
    peer.answers(_TOKEN)

    _post(with_token)
    _post(with_token)

    posted = ("/v2/automations/5fc6ca6a/recipients", _user("t-1"))
    assert _calls(peer) == [("/v1/authenticate", None), posted, posted]
    assert json.loads(peer.requests[0].body) == {"key": "the-key"}


def test_a_token_is_renewed_before_its_hour_is_over(peer: Peer) -> None:
    seconds = [100.0]
    client = _client(peer.url, authenticate_path="/v1/authenticate", time=lambda: seconds[0])
    peer.answers(_TOKEN, reply(200), reply(200, b'{"token": "t-2"}'))
    _post(client)
    seconds[0] += 50 * 60

    _post(client)

    assert [user for _, user in _calls(peer)] == [None, _user("t-1"), None, _user("t-2")]
    client.close()


def test_a_token_that_is_refused_is_exchanged_once(with_token: OptilyzClient, peer: Peer) -> None:
    peer.answers(_TOKEN, reply(401), reply(200, b'{"token": "t-2"}'), reply(200))

    assert _post(with_token) == 200
    assert [user for _, user in _calls(peer)] == [None, _user("t-1"), None, _user("t-2")]


def test_a_new_token_that_is_refused_as_well_is_refused_for_good(
    with_token: OptilyzClient, peer: Peer
) -> None:
    peer.answers(_TOKEN, reply(401), reply(200, b'{"token": "t-2"}'), reply(401))

    with pytest.raises(VendorCredentialsRefused):
        _post(with_token)

    assert len(peer.requests) == 4


def test_a_key_that_gets_no_token_is_refused_credentials(with_token: OptilyzClient, peer: Peer) -> None:
    for status in (401, 403, 400, 404):
        peer.answers(reply(status))
        with pytest.raises(VendorCredentialsRefused):
            _post(with_token)


@pytest.mark.parametrize(
    "answer",
    [
        hang,
        reset,
        reply(502),
        reply(200),
        reply(200, b"<html>"),
        reply(200, b'["t"]'),
        reply(200, b'{"token": ""}'),
        reply(200, b'{"token": 7}'),
        reply(200, b'{"token": "\xc3\xbc"}'),
    ],
)
def test_a_token_that_cannot_be_had_is_no_doubt_about_letters(
    with_token: OptilyzClient, peer: Peer, answer: Answer
) -> None:
    peer.answers(answer)

    with pytest.raises(VendorUnavailable) as raised:
        _post(with_token, timeout_s=0.3)

    assert not raised.value.may_have_arrived
    assert [path for path, _ in _calls(peer)] == ["/v1/authenticate"]


def test_threads_that_need_a_token_at_once_ask_for_it_once(with_token: OptilyzClient, peer: Peer) -> None:
    peer.answers(_TOKEN)
    threads = [Thread(target=_post, args=(with_token,)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert [path for path, _ in _calls(peer)].count("/v1/authenticate") == 1
    assert {user for _, user in _calls(peer)} == {None, _user("t-1")}
