"""Which system a check asks: what its checks share, and what must not be told."""

from contextlib import nullcontext

import pytest

from clearance.checks.destination import destination_of, open_exchange
from clearance.decisions.rules import HttpCheck
from clearance.http.exchange import ReplyTooLong
from tests.fakes.peer import Peer, reply

CHECK = HttpCheck(id="promotion-active", reason="PROMOTION_NOT_ACTIVE", url="http://127.0.0.1:1/")


@pytest.mark.parametrize(
    ("url", "name", "target"),
    [
        ("http://127.0.0.1:9000/promotions/activate", "http://127.0.0.1:9000", "/promotions/activate"),
        ("http://promo.internal", "http://promo.internal:80", "/"),
        ("HTTPS://Promo.Internal/a?token=canary", "https://promo.internal:443", "/a?token=canary"),
        ("http://[::1]:9000/a", "http://[::1]:9000", "/a"),
    ],
)
def test_a_destination_is_scheme_host_and_port_and_nothing_that_may_be_secret(
    url: str, name: str, target: str
) -> None:
    found = destination_of(url)
    assert (found.name, found.target) == (name, target)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "canary",
        "/canary",
        "ftp://canary",
        "http://",
        "http://a:canary@h",
        "http://h/#canary",
        "http://h:canary",
    ],
)
def test_a_url_that_cannot_be_asked_is_refused_without_being_repeated(url: str) -> None:
    with pytest.raises(ValueError, match="must be http") as caught:
        destination_of(url)
    assert "canary" not in str(caught.value)
    assert caught.value.__suppress_context__ or caught.value.__context__ is None


@pytest.mark.loopback
def test_a_check_says_its_own_headers_but_not_those_of_the_protocol(peer: Peer) -> None:
    check = HttpCheck(
        id="c",
        reason="C",
        url=peer.url + "/a?b=c",
        header_by_name={
            "authorization": "Bearer canary",
            "user-agent": "ours",
            "content-type": "text/plain",
            "idempotency-key": "always-the-same",
        },
    )
    http = open_exchange(check, pool_size=1)
    http.exchange("POST", destination_of(check.url).target, b"{}", timeout_s=2.0)
    http.close()
    (request,) = peer.requests
    assert request.path == "/a?b=c"
    assert request.headers["authorization"] == "Bearer canary"
    assert request.headers["user-agent"] == "ours"
    assert request.headers["content-type"] == "application/json"
    assert request.headers["accept"] == "application/json"
    assert "idempotency-key" not in request.headers


@pytest.mark.loopback
def test_a_larger_batch_may_have_a_longer_answer(peer: Peer) -> None:
    body = b" " * 1_500_000
    peer.answers(reply(200, body), reply(200, body))
    for batch, fits in {2000: True, 200: False}.items():
        http = open_exchange(HttpCheck(id="c", reason="C", url=peer.url, batch=batch), pool_size=1)
        with nullcontext() if fits else pytest.raises(ReplyTooLong):
            http.exchange("POST", "/", b"{}", timeout_s=5.0)
        http.close()


def test_a_header_that_cannot_be_sent_is_refused_without_being_repeated() -> None:
    for name, value in {"Authorization": "canary\r\nX: y", "canary: x\r\n": "y", "": "canary"}.items():
        check = HttpCheck(id="c", reason="C", url="http://127.0.0.1:1/", header_by_name={name: value})
        with pytest.raises(ValueError, match="header") as caught:
            open_exchange(check, pool_size=1)
        assert "canary" not in str(caught.value)
