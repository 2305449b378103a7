"""Are the ledger and the broker there, and set up so that nothing gets lost?

Source for the least version: PEXPIRE's GT came with Redis 7.0 (Redis documentation, "PEXPIRE").
"""

import shutil
from collections.abc import Iterator, Mapping
from typing import Any

from redis import Redis, RedisError

from clearance.errors import BrokerUnavailable, LedgerUnavailable
from clearance.ledger import migrate
from tasks.queue_depths import QueueDepths
from workers.connections import shared_redis, shared_redis_url
from workers.doctor.findings import Finding, Runbook, fail, ok, warn
from workers.doctor.means import Means

_LEAST_REDIS = 7
# Of the disk with an embedded ledger; at this a full disk is days or hours away.
_LEAST_FREE = 0.05


def look_at_ledger(means: Means) -> Iterator[Finding]:
    """It answers, at this release's schema; an embedded one has room to grow."""
    path = means.sqlite_path
    try:
        with means.read():
            revision = migrate.current_revision(means.ledger)
    except LedgerUnavailable as error:
        do = "check CLEARANCE_LEDGER_URL and the database; ingest answers 503 meanwhile, and nothing is lost"
        yield fail("ledger", str(error).removeprefix("ledger: "), do, Runbook.LEDGER_DOWN)
        return
    newest = migrate.newest_revision()
    if revision is None or revision < newest:
        told = f"at revision {revision or 'none'}, this release needs {newest}"
        yield fail("ledger", told, "run `clearance db upgrade`", Runbook.LEDGER_DOWN)
        return
    if revision > newest:
        told = f"at revision {revision}, newer than this release's {newest}"
        yield warn("ledger", told, "upgrade this host, unless the fleet is being upgraded just now")
        return
    if path is not None:
        disk = shutil.disk_usage(path.parent)
        if disk.free < disk.total * _LEAST_FREE:
            told = f"at revision {revision}, but its disk is {disk.used / disk.total:.0%} full"
            yield warn("ledger", told, "make room; `clearance purge` forgets what its retention allows")
            return
    yield ok("ledger", f"{means.ledger.dialect} at revision {revision}")


def look_at_broker(means: Means) -> Iterator[Finding]:
    """It answers, and would keep over a restart what it holds."""
    is_redis = not means.settings.broker_url.startswith("amqp")
    try:
        with means.app.connection_for_read() as connection, connection.channel() as channel:
            if is_redis:
                yield redis_finding("broker", channel.client)
                return
            told = connection.connection.server_properties
            yield ok("broker", f"RabbitMQ {told.get('version', 'of unknown version')}")
    except Exception as error:  # noqa: BLE001 - transports raise whatever their client library does
        do = "start it or check CLEARANCE_BROKER_URL; what was accepted is in the ledger, and is published then"
        yield fail("broker", _name(error), do, Runbook.BROKER_GONE)


def look_at_redis(means: Means) -> Iterator[Finding]:
    """Where the fleet keeps its limits, when that is not the broker."""
    url = shared_redis_url(means.settings)
    if not url:
        do = "set CLEARANCE_REDIS_URL: without it no worker starts"
        yield fail("redis", "there is nowhere to keep what the fleet shares", do)
        return
    if url == means.settings.broker_url:
        return
    try:
        with shared_redis(means.settings) as redis:
            yield redis_finding("redis", redis)
    except (RedisError, OSError, ValueError) as error:
        do = (
            "start it or check CLEARANCE_REDIS_URL; without it limits are not shared, and no letter is posted"
        )
        yield fail("redis", _name(error), do, Runbook.BROKER_GONE)


def depths_if_known(means: Means) -> dict[str, int] | None:
    """How many messages wait on each lane's queue; None while the broker is away."""
    try:
        return {lane.value: count for lane, count in QueueDepths(means.app)().items()}
    except BrokerUnavailable:
        return None


def redis_finding(check: str, redis: "Redis") -> Finding:
    info: Mapping[str, Any] = redis.info()
    version = str(info.get("redis_version", "0"))
    named = f"Valkey {info['valkey_version']}" if "valkey_version" in info else f"Redis {version}"
    if int(version.partition(".")[0]) < _LEAST_REDIS:
        return fail(check, f"{named}: too old", f"run version {_LEAST_REDIS} or later", Runbook.BROKER_GONE)
    policy = info.get("maxmemory_policy", "noeviction")
    if policy != "noeviction":
        told = f"{named} evicts keys when its memory is full ({policy})"
        do = "set `maxmemory-policy noeviction`: messages, limits and slots would vanish"
        return (fail if info.get("maxmemory") else warn)(check, told, do, Runbook.BROKER_GONE)
    written = {info.get("aof_last_write_status", "ok"), info.get("rdb_last_bgsave_status", "ok")}
    if written != {"ok"}:
        return warn(check, f"{named} could not write to its disk", "see its log and its disk")
    if not info.get("aof_enabled"):
        told = f"{named} does not write every message to disk"
        do = "set `appendonly yes`: a restart costs seconds without it, since the guardian publishes again"
        return warn(check, told, do)
    return ok(check, f"{named}, appendonly, {policy}")


def _name(error: Exception) -> str:
    """The type only: the text may hold an address."""
    return f"does not answer ({type(error.__cause__ or error).__name__})"
