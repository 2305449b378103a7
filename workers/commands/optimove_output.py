"""How the commands `clearance optimove ...` speak: URLs without secrets, errors in a line."""

from http import HTTPStatus
from urllib.parse import parse_qsl, urlsplit

from clearance.errors import (
    Park,
    RetryLater,
    VendorCredentialsRefused,
    VendorRefused,
    VendorThrottled,
    VendorUnavailable,
)
from workers.commands.listing import printable

HIDDEN = "***"


def shown(url: str) -> str:
    """The URL without what may be secret in it: credentials, and the values of its query."""
    try:
        parts = urlsplit(url)
        query = "&".join(f"{name}={HIDDEN}" for name, _ in parse_qsl(parts.query, keep_blank_values=True))
    except ValueError:
        return HIDDEN
    host = parts.netloc.rpartition("@")[2]
    return printable(parts._replace(netloc=host, query=query, fragment="").geturl())


def told(error: RetryLater | Park) -> str:
    """What went wrong and what to look at, in one line."""
    match error:
        case VendorCredentialsRefused(status=status):
            line = f"Optimove refused the API key ({status}): check CLEARANCE_OPTIMOVE_API_KEY"
        case VendorRefused(status=HTTPStatus.NOT_FOUND):
            line = (
                "Optimove does not know this (404): check the id, and the paths of Optimove in the settings"
            )
        case VendorThrottled(retry_after_s=None):
            line = "Optimove asks to wait (429): try again later"
        case VendorThrottled(retry_after_s=retry_after_s):
            line = f"Optimove asks to wait (429): try again in {retry_after_s:.0f} s"
        case VendorUnavailable(may_have_arrived=True):
            line = f"{error}; it may have been done all the same: look before you repeat a change"
        case VendorUnavailable():
            line = f"{error}: check CLEARANCE_OPTIMOVE_BASE_URL"
        case _:
            line = str(error)
    return line
