"""Whom does Optilyz let in? The API key as the user name of Basic auth, or a token that the key was exchanged for.

Source: facts sheet, "auth" (the password is ignored) and "token auth" (`POST /v1/authenticate`, an hour).
"""

import hmac
import secrets
from collections.abc import Callable, Mapping
from http import HTTPStatus

from clearance.sandbox.answers import RefusedError
from clearance.sandbox.basic_auth import read_basic

TOKEN_LIFE_S = 3600.0
# The oldest is forgotten first.
TOKENS_KEPT = 1000


class OptilyzCredentials:
    """One API key and its tokens. `refused` counts the requests that were turned away."""

    def __init__(self, *, api_key: str, monotonic_s: Callable[[], float]) -> None:
        self.refused = 0
        self._api_key = api_key.encode()
        self._monotonic_s = monotonic_s
        self._made_at_s_by_token: dict[str, float] = {}

    def identify(self, headers: Mapping[str, str]) -> str:
        """Raises: RefusedError: 401, no credentials, or none that are known; answer with it."""
        given = read_basic(headers)
        if given is None:
            raise self._refused("authorization is missing")
        user, _any_password = given
        if hmac.compare_digest(user.encode(), self._api_key):
            return "key"
        made_at_s = self._made_at_s_by_token.get(user)
        if made_at_s is None or self._monotonic_s() - made_at_s >= TOKEN_LIFE_S:
            raise self._refused("the key or token is not valid")
        return "token"

    def authenticate(self, key: object) -> str:
        """A token for the key.

        Raises:
            RefusedError: 401, it is another key; answer with it.
        """
        if not hmac.compare_digest(str(key).encode(), self._api_key):
            raise self._refused("the key is not valid")
        token = secrets.token_urlsafe(24)
        self._made_at_s_by_token[token] = self._monotonic_s()
        if len(self._made_at_s_by_token) > TOKENS_KEPT:
            del self._made_at_s_by_token[next(iter(self._made_at_s_by_token))]
        return token

    def revoke_tokens(self) -> None:
        """Every token is unknown from now on."""
        self._made_at_s_by_token.clear()

    def _refused(self, message: str) -> RefusedError:
        self.refused += 1
        return RefusedError(message, status=HTTPStatus.UNAUTHORIZED)
