"""Which user and password does a request bring? Basic auth, as RFC 7617 writes it."""

import binascii
from base64 import b64decode


def read_basic(authorization: str | None) -> bytes:
    """`user:password`, or what stands in its place; empty without the header, or if it cannot be read."""
    scheme, _, credentials = (authorization or "").strip().partition(" ")
    if scheme.lower() != "basic":
        return b""
    try:
        return b64decode(credentials.strip(), validate=True)
    except (binascii.Error, ValueError):  # not base64, or not ASCII
        return b""
