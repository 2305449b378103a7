"""Which system does an `http` check ask, and over which connections?

In: the check's URL and headers, with nothing left to resolve. Out: the destination's name, by which checks share what
is the system's and not the check's (the fleet's cool-down, the process's breaker), and an exchange. Path and query of
a URL may hold a secret: the name has neither.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from urllib3.exceptions import LocationParseError
from urllib3.util import Url, parse_url

from clearance.decisions.rules import HttpCheck
from clearance.http.exchange import MAX_REPLY_BYTES, BoundedHttp

_PORT_BY_SCHEME = {"http": 80, "https": 443}
# What every request says; a check may say otherwise, except where the protocol needs it.
_HEADERS = {"Accept": "application/json", "User-Agent": "clearance"}
_OURS = {"Content-Type": "application/json"}
_NOT_A_CHECKS_TO_SAY = frozenset({"content-type", "content-length", "idempotency-key"})
# An answer is about a hundred bytes; this is what one may be on the average.
_REPLY_BYTES_PER_CUSTOMER = 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Destination:
    """A system and the place in it.

    Attributes:
        name: `scheme://host:port`, always with the port: key of breakers and cool-downs.
        target: Path and query, as the request line has it.
    """

    name: str
    target: str


def destination_of(url: str) -> Destination:
    """Where `url` leads.

    Raises:
        ValueError: It is not `http(s)://host[:port][/path][?query]`. The text does not hold it.
    """
    try:
        found = parse_url(url)
    except LocationParseError:  # its text holds the URL
        found = Url()
    if found.scheme not in _PORT_BY_SCHEME or not found.host or found.auth or found.fragment:
        raise ValueError("must be http(s)://host[:port][/path][?query]")
    port = found.port or _PORT_BY_SCHEME[found.scheme]
    return Destination(name=f"{found.scheme}://{found.host}:{port}", target=found.request_uri)


def open_exchange(check: HttpCheck, *, pool_size: int) -> BoundedHttp:
    """Exchanges with the system that `check` asks; errors carry the check's id. Close it when the check is gone.

    Raises:
        ValueError: The URL or a header cannot be used. The text holds neither.
    """
    return BoundedHttp(
        check.id,
        destination_of(check.url).name,
        _headers(check.header_by_name),
        pool_size=pool_size,
        max_reply_bytes=max(MAX_REPLY_BYTES, check.batch * _REPLY_BYTES_PER_CUSTOMER),
    )


def _headers(header_by_name: Mapping[str, str]) -> dict[str, str]:
    told = {name: value for name, value in header_by_name.items() if name.lower() not in _NOT_A_CHECKS_TO_SAY}
    names = {name.lower() for name in told}
    return {name: value for name, value in _HEADERS.items() if name.lower() not in names} | told | _OURS
