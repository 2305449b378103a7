"""Did Optimove send this body?

In: the raw body and the header `optimove-signature-content`. Out: nothing, or a `Reject` with 401.
Invariants: the comparison takes the same time whatever differs, every live secret is always compared, and
without a secret everything is refused.

The vendor's sample signs text, and does not say which bytes of a JSON request are signed. So there are two
modes:

- raw: the body as it arrived. The default.
- minified: the body parsed and written again without white space, as `JSON.stringify(JSON.parse(body))` would
  in JavaScript. Key order, the last of two equal keys, text and integers up to 2**53 come out alike. These do
  not, and make a genuine signature fail: numbers with a point or an exponent that JavaScript writes otherwise
  (`1.0` -> `1`, `1e21` -> `1e+21`), integers above 2**53, keys that look like array indexes (JavaScript moves
  them to the front), lone surrogates, and nesting beyond 254. All fail closed: choose raw where a site sends
  any of these.

Source: vendor page, "Signature Verification"; facts sheet, "Signature".
"""

import hmac
from http import HTTPStatus

import orjson

from clearance.errors import Reject

HEADER = "optimove-signature-content"


def sign(body: bytes, secret: str) -> str:
    """The signature of `body`: HMAC-SHA256 under the secret's bytes (UTF-8), as 64 lower-case hex digits."""
    # Not `hmac.digest`: it hands the interpreter to another thread at every call, however short the body.
    return hmac.new(secret.encode("utf-8", "surrogateescape"), body, "sha256").hexdigest()


class SignatureCheck:
    """Holds the live secrets: two while one is being rotated, in any order.

    Raises:
        ValueError: A secret is empty. Anybody could sign with it: correct the setting.
    """

    def __init__(self, secrets: tuple[str, ...], *, minified: bool = False) -> None:
        if not all(secrets):
            raise ValueError("an empty webhook secret would let anybody sign")
        self._secrets = secrets
        self._minified = minified

    def verify(self, body: bytes, header: str | None) -> None:
        """Return if `header` is the signature of `body` under a live secret.

        White space around the signature is ignored: it carries no meaning in HTTP (RFC 9110, section 5.5).
        Upper-case digits and prefixes are refused: the vendor sends neither.

        Raises:
            Reject: 401, reason `signature`. The sender or the secret is wrong; answer and store nothing.
        """
        if header is None:
            raise _refusal(f"header {HEADER} is missing")
        signed = _minified(body) if self._minified else body
        if signed is None or not self._matches(signed, header):
            raise _refusal(f"header {HEADER} does not match the body")

    def _matches(self, signed: bytes, header: str) -> bool:
        # Bytes: compare_digest refuses text outside ASCII. backslashreplace: nothing may raise here.
        given = header.strip(" \t").encode("ascii", "backslashreplace")
        is_match = False
        for secret in self._secrets:
            is_match |= hmac.compare_digest(sign(signed, secret).encode(), given)
        return is_match


def _minified(body: bytes) -> bytes | None:
    """The body without white space; None if it is not JSON. The time this takes tells no secret."""
    try:
        return orjson.dumps(orjson.loads(body))
    except (orjson.JSONDecodeError, orjson.JSONEncodeError):
        return None


def _refusal(message: str) -> Reject:
    return Reject(HTTPStatus.UNAUTHORIZED, "signature", message)
