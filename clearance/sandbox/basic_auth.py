"""Which user and password does a request bring? Basic authorization, as RFC 7617 writes it."""

import base64
import binascii
from collections.abc import Mapping


def read_basic(headers: Mapping[str, str]) -> tuple[str, str] | None:
    """User name and password; None: there is no such header, or it cannot be read."""
    scheme, _, encoded = headers.get("Authorization", "").partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        text = base64.b64decode(encoded.strip(), validate=True).decode()
    except (binascii.Error, UnicodeDecodeError):
        return None
    user, colon, password = text.partition(":")
    return (user, password) if colon else None
