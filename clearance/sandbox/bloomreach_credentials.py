"""Whom does Bloomreach let in? A private key and its secret by Basic auth, or the public key as `Token`.

Source: facts sheet, "Bloomreach Tracking API v2": 401 for a key that is missing or unknown, 403 for a wrong secret.
"""

import hmac
from collections.abc import Mapping

from clearance.sandbox.basic_auth import read_basic
from clearance.sandbox.bloomreach_answers import BloomreachRefused, forbidden, unauthorized


class BloomreachCredentials:
    """One key with its secret. `refused` counts the requests that were turned away."""

    def __init__(self, *, key_id: str, secret: str) -> None:
        self.refused = 0
        self._key_id = key_id.encode()
        self._secret = secret.encode()

    def identify(self, headers: Mapping[str, str]) -> str:
        """Raises: RefusedError: 401 or 403; answer with it."""
        scheme, _, token = headers.get("Authorization", "").partition(" ")
        if scheme.lower() == "token":
            if not self._is_key(token.strip()):
                raise self._refused(unauthorized("unknown API key"))
            return "public"
        given = read_basic(headers)
        if given is None:
            raise self._refused(unauthorized("missing authorization"))
        key_id, secret = given
        if not self._is_key(key_id):
            raise self._refused(unauthorized("unknown API key"))
        if not hmac.compare_digest(secret.encode(), self._secret):
            raise self._refused(forbidden("wrong API secret"))
        return "private"

    def _is_key(self, key_id: str) -> bool:
        return hmac.compare_digest(key_id.encode(), self._key_id)

    def _refused(self, refused: BloomreachRefused) -> BloomreachRefused:
        self.refused += 1
        return refused
