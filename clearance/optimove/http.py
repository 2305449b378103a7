"""As whom do we talk to Optimove? Its name in errors and metrics, and the headers of every call.

What an exchange is and how it fails: `clearance.http.exchange`.
"""

from clearance.clock import Clock, utc_now
from clearance.http.exchange import BoundedHttp

VENDOR = "optimove"


def open_http(base_url: str, api_key: str, *, pool_size: int, now: Clock = utc_now) -> BoundedHttp:
    """Exchanges with one tenant's API.

    Raises:
        ValueError: The base URL or the key cannot be used. The text holds neither.
    """
    headers = {
        "X-API-KEY": api_key,
        "Content-Type": "application/json",
        "Accept": "application/json",
        "User-Agent": "clearance",
    }
    return BoundedHttp(VENDOR, base_url, headers, pool_size=pool_size, now=now)
