"""How often may one address come? As often as is set, and then it is told when to come again.

In: a request, before anything of it is read. Out: nothing, or a `Reject` with 429. Each address has a bucket that holds
a second's worth of requests. Each process counts for itself: what it protects is its own time. Addresses are personal
data: none is logged, kept or told.

Behind proxies of ours the address is what the outermost of them saw: each adds an entry at the end of
`X-Forwarded-For`, and what stands before those entries is the sender's own to invent.
Source: MDN, "X-Forwarded-For", "Selecting an IP address".
"""

from collections import OrderedDict
from collections.abc import Callable
from http import HTTPStatus
from ipaddress import IPv6Address, ip_address
from time import monotonic

from starlette.requests import Request

from clearance.errors import Reject

REASON = "too_often"
# Beyond so many the one that was silent longest is forgotten: it comes back with a full bucket.
_MOST_SOURCES = 10_000
_LONGEST_SOURCE_CHARS = 64
# A customer of a provider has a whole network of so many bits (RFC 6177).
_IPV6_NETWORK_BITS = 64


class SourceLimit:
    """The buckets of one process.

    Args:
        rate_per_s: 0 for no limit.
        trusted_proxies: How many of ours are before us.
    """

    def __init__(
        self, *, rate_per_s: float, trusted_proxies: int, clock_s: Callable[[], float] = monotonic
    ) -> None:
        self._rate_per_s = rate_per_s
        self._holds = max(1.0, rate_per_s)
        self._trusted_proxies = trusted_proxies
        self._clock_s = clock_s
        self._bucket_by_source: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def verify(self, request: Request) -> None:
        """Count this request.

        Raises:
            Reject: 429. The sender must come again later; nothing was read.
        """
        if not self._rate_per_s:
            return
        source = source_of(request, trusted_proxies=self._trusted_proxies)
        now_s = self._clock_s()
        left, at_s = self._bucket_by_source.pop(source, (self._holds, now_s))
        left = min(self._holds, left + (now_s - at_s) * self._rate_per_s)
        is_over = left < 1
        self._bucket_by_source[source] = (left if is_over else left - 1, now_s)
        if len(self._bucket_by_source) > _MOST_SOURCES:
            self._bucket_by_source.popitem(last=False)
        if is_over:
            text = f"more than {self._rate_per_s:g} requests a second from one address"
            raise Reject(HTTPStatus.TOO_MANY_REQUESTS, REASON, text)


def source_of(request: Request, *, trusted_proxies: int) -> str:
    """Whose request it is: an IPv4 address, or an IPv6 network; one for all whose address is not known."""
    connected = request.client.host if request.client else ""
    if not trusted_proxies:
        return _network(connected)
    entries = ",".join(request.headers.getlist("x-forwarded-for")).split(",")
    # Fewer than there are proxies: it came past one of them.
    told = entries[-trusted_proxies].strip() if len(entries) >= trusted_proxies else ""
    return _network(told or connected)


def _network(address: str) -> str:
    try:
        parsed = ip_address(_without_port(address))
    except ValueError:
        return address[:_LONGEST_SOURCE_CHARS]
    if not isinstance(parsed, IPv6Address):
        return str(parsed)
    if parsed.ipv4_mapped is not None:
        return str(parsed.ipv4_mapped)
    return f"{int(parsed) >> _IPV6_NETWORK_BITS:x}::/{_IPV6_NETWORK_BITS}"


def _without_port(address: str) -> str:
    """Some proxies add the port, which is another one for each connection."""
    if address.startswith("["):
        return address[1:].partition("]")[0]
    return address.partition(":")[0] if address.count(":") == 1 else address
