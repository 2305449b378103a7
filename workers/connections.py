"""What does a process talk to? The ledger, the Redis that the fleet shares, Optimove; and what counts what it does.

Nothing here connects before it is used.
"""

from redis import Redis

from clearance.ledger.engine import Ledger, open_ledger
from clearance.optimove.client import OptimoveClient, OptimovePaths
from config.metrics import PrometheusMetrics
from config.settings import Settings
from config.tls import redis_tls
from workers import sentinel

_REDIS = ("redis://", "rediss://", sentinel.SCHEME)

# One counts for the whole process, whoever in it asks.
metrics = PrometheusMetrics()


def ledger(settings: Settings, *, is_bulk: bool = False) -> Ledger:
    """The ledger, not yet connected."""
    return open_ledger(settings.ledger_url, timeout_s=settings.ledger_timeout_s, is_bulk=is_bulk)


def shared_redis_url(settings: Settings) -> str:
    """Where the fleet keeps what it shares; empty when there is nowhere."""
    if settings.redis_url:
        return settings.redis_url
    return settings.broker_url if settings.broker_url.startswith(_REDIS) else ""


def shared_redis(settings: Settings) -> Redis:
    """Redis for what the fleet shares; gives up early, because whoever waits for it has a deadline."""
    url, timeout_s = shared_redis_url(settings), settings.broker_socket_timeout_s / 4
    if url.startswith(sentinel.SCHEME):
        return sentinel.primary(url, settings.sentinel_master, timeout_s)
    return Redis.from_url(
        url,
        socket_timeout=timeout_s,
        socket_connect_timeout=timeout_s,
        **redis_tls(url, settings),
    )


def optimove_client(settings: Settings, *, pool_size: int) -> OptimoveClient:
    """The client for every call to Optimove."""
    return OptimoveClient(
        settings.optimove_base_url,
        settings.optimove_api_key,
        paths=OptimovePaths(
            triggered_approval=settings.optimove_triggered_approval_path,
            webhooks=settings.optimove_webhooks_path,
            webhook_settings=settings.optimove_webhook_settings_path,
        ),
        timeout_s=settings.optimove_timeout_s,
        pool_size=pool_size,
    )
