"""Who is let in at the relay: the user name is the key, and nothing else plays a role."""

from base64 import b64encode

import pytest

from clearance.errors import Reject
from clearance.ingest.relay_keys import REASON, RelayKeys

_KEYS = RelayKeys(("first-key", "zweiter-schlüssel"))


def _basic(credentials: bytes, scheme: str = "Basic") -> str:
    return f"{scheme} {b64encode(credentials).decode()}"


@pytest.mark.parametrize("key", ["first-key", "zweiter-schlüssel"])
@pytest.mark.parametrize("password", [":", ": ", ":-", ":secret", ":a:b", ""])
def test_every_key_lets_in_with_any_password_or_none(key: str, password: str) -> None:
    _KEYS.verify(_basic(f"{key}{password}".encode()))


@pytest.mark.parametrize("scheme", ["basic", "BASIC", " Basic"])
def test_the_schemes_case_plays_no_role(scheme: str) -> None:
    _KEYS.verify(_basic(b"first-key:", scheme))


@pytest.mark.parametrize(
    "authorization",
    [
        None,
        "",
        "Basic",
        "Basic ",
        "Basic first-key",
        "Basic %%%",
        "Basic é",
        "Bearer first-key",
        _basic(b"first-key:", "Bearer"),
        _basic(b""),
        _basic(b":"),
        _basic(b":first-key"),
        _basic(b"first-ke:"),
        _basic(b"first-keys:"),
        _basic(b" first-key:"),
        _basic("zweiter-schlüssel".encode("latin-1")),
        _basic(b"\xff\xfe:"),
    ],
)
def test_whoever_has_none_is_refused(authorization: str | None) -> None:
    with pytest.raises(Reject) as caught:
        _KEYS.verify(authorization)

    assert (caught.value.status, caught.value.reason) == (401, REASON)
    assert "key" not in str(caught.value).replace("the key is missing or wrong", "")


@pytest.mark.parametrize("keys", [(), ("",)])
@pytest.mark.parametrize("authorization", [_basic(b":"), _basic(b"x:"), None])
def test_without_keys_nobody_is_let_in(keys: tuple[str, ...], authorization: str | None) -> None:
    with pytest.raises(Reject):
        RelayKeys(keys).verify(authorization)
