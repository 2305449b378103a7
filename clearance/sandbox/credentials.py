"""Who is asking? `X-API-KEY`, or the legacy `Authorization-Token`.

Source: facts sheet, "auth today" and "legacy auth": a token lives 20 minutes from its last use, then 403.
"""

import hmac
import secrets
from collections.abc import Callable, Mapping
from http import HTTPStatus

from clearance.sandbox.answers import RefusedError

TOKEN_LIFE_S = 20 * 60.0
# The oldest is forgotten first, so that endless logins cannot grow the process.
TOKENS_KEPT = 1000


class Credentials:
    """One API key and one legacy user. `refused` counts the requests that were turned away."""

    def __init__(
        self, *, api_key: str, username: str, password: str, monotonic_s: Callable[[], float]
    ) -> None:
        self.refused = 0
        self._api_key = api_key.encode()
        self._login = f"{username}\0{password}".encode()
        self._monotonic_s = monotonic_s
        self._used_at_s_by_token: dict[str, float] = {}

    def identify(self, headers: Mapping[str, str]) -> str:
        """A name for the limits: every API key and every user has its own.

        Raises:
            RefusedError: 401 for a wrong or missing key, 403 for an expired token; answer with it.
        """
        key = headers.get("X-API-KEY")
        if key is not None:
            if hmac.compare_digest(key.encode(), self._api_key):
                return "api-key"
            raise self._refused(HTTPStatus.UNAUTHORIZED, "Invalid API key")
        token = headers.get("Authorization-Token")
        if token is None:
            raise self._refused(HTTPStatus.UNAUTHORIZED, "X-API-KEY is missing")
        return self._renew(token)

    def log_in(self, username: object, password: object) -> str:
        """A new token.

        Raises:
            RefusedError: 401, the user name or the password is wrong; answer with it.
        """
        if not hmac.compare_digest(f"{username}\0{password}".encode(), self._login):
            raise self._refused(HTTPStatus.UNAUTHORIZED, "Invalid user name or password")
        token = secrets.token_urlsafe(32)
        self._used_at_s_by_token[token] = self._monotonic_s()
        if len(self._used_at_s_by_token) > TOKENS_KEPT:
            del self._used_at_s_by_token[next(iter(self._used_at_s_by_token))]
        return token

    def _renew(self, token: str) -> str:
        used_at_s = self._used_at_s_by_token.get(token)
        if used_at_s is None:
            raise self._refused(HTTPStatus.UNAUTHORIZED, "Authorization-Token Invalid")
        now_s = self._monotonic_s()
        if now_s - used_at_s >= TOKEN_LIFE_S:
            raise self._refused(HTTPStatus.FORBIDDEN, "Authorization-Token Expired")
        self._used_at_s_by_token[token] = now_s
        return "user"

    def _refused(self, status: HTTPStatus, message: str) -> RefusedError:
        self.refused += 1
        return RefusedError(message, status=status)
