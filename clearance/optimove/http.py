"""As whom do we talk to Optimove? Its name in errors and metrics, and the headers of every call.

What an exchange is and how it fails: `clearance.http.exchange`.
"""

from clearance.clock import Clock, utc_now
from clearance.http.exchange import BoundedHttp
from clearance.http.streamed import StreamedHttp

VENDOR = "optimove"


def open_http(base_url: str, api_key: str, *, pool_size: int, now: Clock = utc_now) -> BoundedHttp:
    """Exchanges with one tenant's API.

    Raises:
        ValueError: The base URL or the key cannot be used. The text holds neither.
    """
    return BoundedHttp(VENDOR, base_url, _headers(api_key), pool_size=pool_size, now=now)


def open_streamed_http(
    base_url: str, api_key: str, *, pool_size: int, silence_s: float, now: Clock = utc_now
) -> StreamedHttp:
    """The same for long replies, which may be silent for `silence_s` at most.

    Raises:
        ValueError: The base URL or the key cannot be used. The text holds neither.
    """
    headers = _headers(api_key)
    return StreamedHttp(VENDOR, base_url, headers, pool_size=pool_size, silence_s=silence_s, now=now)


def _headers(api_key: str) -> dict[str, str]:
    return {
        "X-API-KEY": api_key,
        "Content-Type": "application/json",
        "Accept": "application/json",
        "User-Agent": "clearance",
    }
