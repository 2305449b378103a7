"""Where is Redis now? Where the Sentinels of a URL say, asked again whenever a connection was lost.

In: `sentinel://:password@a:26379/0;sentinel://:password@b:26379/0`. User, password and database are those of Redis,
and said with each Sentinel, because kombu takes them from whichever it asks.
"""

from urllib.parse import unquote, urlsplit

from redis import Redis
from redis.sentinel import Sentinel

from config.sentinel import asking

SCHEME = "sentinel://"
_PORT = 26379


def primary(url: str, name: str, timeout_s: float) -> Redis:
    """The primary that the Sentinels know as `name`."""
    parts = [urlsplit(part) for part in url.split(";")]
    first = parts[0]
    sentinels = [(part.hostname or "", part.port or _PORT) for part in parts]
    timeouts = {"socket_timeout": timeout_s, "socket_connect_timeout": timeout_s}
    found: Redis = Sentinel(sentinels, sentinel_kwargs=asking(timeout_s), **timeouts).master_for(
        name,
        db=int(first.path.strip("/") or 0),
        username=unquote(first.username or "") or None,
        password=unquote(first.password or "") or None,
    )
    return found
