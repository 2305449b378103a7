"""How are letters handed to Optilyz? One POST for many recipients, sent once.

In: the automation and its recipients' stored payloads, which go out byte for byte. Out: the 2xx reply, which says what
became of each (`replies`); or an error of `clearance.errors`: see `clearance.http.exchange` for which, and what bounds
the whole exchange. There is no key by which Optilyz would recognise a repeat, so nothing that may have arrived is sent
again from here.

With token auth the key becomes a token of an hour first, which is the user name of the calls then; a token that is
refused is exchanged once, and the refused call made again: it was not taken. A token that cannot be had is never doubt
about letters: they had not left. Source: facts sheet, "many", "auth", "token auth".
"""

from base64 import b64encode
from collections.abc import Callable, Sequence
from threading import Lock
from time import monotonic
from urllib.parse import quote

import orjson

from clearance.errors import (
    VendorCredentialsRefused,
    VendorRefused,
    VendorUnavailable,
)
from clearance.http.exchange import BoundedHttp, Reply

VENDOR = "optilyz"
# Tokens live for an hour.
_TOKEN_LIVES_S = 50 * 60.0
_HEADERS = {
    "Content-Type": "application/json",
    "Accept": "application/json",
    "User-Agent": "clearance",
}


class OptilyzClient:
    """Threads share one client; `pool_size` is how many of them call at once.

    Args:
        recipients_path: Where many recipients go; `{id}` stands for the automation.
        authenticate_path: Where the key becomes a token; None where the key itself is the user name.
        time: Seconds that only grow.

    Raises:
        ValueError: The base URL or the key cannot be used. The text holds neither.
    """

    def __init__(
        self,
        base_url: str,
        api_key: str,
        *,
        recipients_path: str,
        authenticate_path: str | None,
        pool_size: int,
        time: Callable[[], float] = monotonic,
    ) -> None:
        self._http = BoundedHttp(VENDOR, base_url, _HEADERS, pool_size=pool_size)
        self._path = recipients_path
        self._key_header = _basic(api_key)
        self._tokens = _Tokens(self._http, api_key, authenticate_path, time) if authenticate_path else None
        self._time = time

    def post(self, automation_id: str, payloads: Sequence[bytes], *, timeout_s: float) -> Reply:
        """Enqueue many recipients; all of it, a token that is needed included, within about `timeout_s`.

        Raises:
            VendorUnavailable: Ask its `may_have_arrived` before the letters are sent again.
            VendorThrottled: Not taken.
            VendorCredentialsRefused: Not taken; a token was renewed before.
            VendorRefused: Not taken, for any other 3xx or 4xx.
        """
        ends_at_s = self._time() + timeout_s
        path = self._path.replace("{id}", quote(automation_id, safe=""))
        body = b'{"addresses":[' + b",".join(payloads) + b"]}"
        if self._tokens is None:
            return self._send(path, body, self._key_header, timeout_s)
        token = self._tokens.current(ends_at_s)
        try:
            return self._send(path, body, _basic(token), ends_at_s - self._time())
        except VendorCredentialsRefused:
            token = self._tokens.after(token, ends_at_s)
            return self._send(path, body, _basic(token), ends_at_s - self._time())

    def close(self) -> None:
        """Close the idle connections."""
        self._http.close()

    def _send(self, path: str, body: bytes, authorization: str, timeout_s: float) -> Reply:
        return self._http.exchange(
            "POST", path, body, timeout_s=timeout_s, headers={"Authorization": authorization}
        )


class _Tokens:
    """The token of this process: one thread asks for it, the others wait for that."""

    def __init__(self, http: BoundedHttp, api_key: str, path: str, time: Callable[[], float]) -> None:
        self._http = http
        self._asked = orjson.dumps({"key": api_key})
        self._path = path
        self._time = time
        self._lock = Lock()
        self._token = ""
        self._ends_at_s = 0.0

    def current(self, by_s: float) -> str:
        """The token in use, or a new one."""
        return self._other_than(None, by_s)

    def after(self, refused: str, by_s: float) -> str:
        """Another one than this, which was refused; who was refused together asks once."""
        return self._other_than(refused, by_s)

    def _other_than(self, refused: str | None, by_s: float) -> str:
        if not self._lock.acquire(timeout=max(0.0, by_s - self._time())):
            raise _no_token("somebody else still waits for one")
        try:
            if not self._token or self._token == refused or self._time() >= self._ends_at_s:
                self._token = ""
                self._token = self._authenticated(by_s)
                self._ends_at_s = self._time() + _TOKEN_LIVES_S
            return self._token
        finally:
            self._lock.release()

    def _authenticated(self, by_s: float) -> str:
        try:
            reply = self._http.exchange("POST", self._path, self._asked, timeout_s=by_s - self._time())
        except VendorUnavailable as error:
            raise _no_token("not answered", error.status, error.retry_after_s) from None
        except VendorRefused as error:
            raise VendorCredentialsRefused(VENDOR, error.status) from None
        try:
            token = orjson.loads(reply.body)["token"]
        except (orjson.JSONDecodeError, TypeError, KeyError):
            raise _no_token("a reply without one") from None
        if not isinstance(token, str) or not token or not token.isascii():
            raise _no_token("a reply without one")
        return token


def _no_token(what: str, status: int | None = None, retry_after_s: float | None = None) -> VendorUnavailable:
    error = VendorUnavailable(VENDOR, f"no token: {what}", status=status, may_have_arrived=False)
    error.retry_after_s = retry_after_s
    return error


def _basic(user: str) -> str:
    """Basic auth without a password. Source: facts sheet, "auth"."""
    if not user or not user.isprintable():
        raise ValueError("the key must be printable text, and not empty")
    return "Basic " + b64encode(f"{user}:".encode()).decode()
