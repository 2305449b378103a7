"""Do all clocks tell the same time? Those of this host, the workers, the ledger's server, Redis and Optimove.

Deadlines are Optimove's, slots and limits go by Redis' clock, leases by those of the workers. Each is compared with
this host's, half-way between question and answer; Optimove's by the timestamps that it signed.
"""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta

from redis import RedisError

from clearance.ledger import clock_reads, heartbeats
from workers.connections import shared_redis, shared_redis_url
from workers.doctor.findings import Finding, Runbook, fail, ok, warn
from workers.doctor.means import Means

_LATELY = timedelta(hours=1)


def look_at_ledger_clock(means: Means) -> Iterator[Finding]:
    """The clock of PostgreSQL's host."""
    with means.read() as connection:
        if clock_reads.server_time(connection) is None:
            return
        # Asked again: the first question may have waited for the connection.
        offset = _offset(lambda: clock_reads.server_time(connection) or means.now, means)
    yield judged(means, "clock ledger", offset)


def look_at_redis_clock(means: Means) -> Iterator[Finding]:
    """The clock of the server that keeps slots and limits."""
    if not shared_redis_url(means.settings):
        return
    try:
        with shared_redis(means.settings) as redis:
            redis.ping()

            def told() -> datetime:
                seconds, microseconds = redis.time()
                return datetime.fromtimestamp(seconds, UTC) + timedelta(microseconds=microseconds)

            offset = _offset(told, means)
    except (RedisError, OSError, ValueError):
        yield warn("clock redis", "not known while Redis is away")
        return
    yield judged(means, "clock redis", offset)


def look_at_workers_clocks(means: Means) -> Iterator[Finding]:
    """The clocks of those who answered heartbeats: none came before it was sent, none from the future."""
    now, limit = means.now, timedelta(seconds=means.settings.clock_skew_alert_s)
    with means.read() as connection:
        known = heartbeats.known(connection).values()
    # The last word of a lane that nobody works on any more says nothing of a clock that is mended since.
    heard = [each.heard for each in known if each.heard and now - each.heard.sent_at <= _LATELY]
    ahead = [each.process for each in heard if each.received_at > now + limit]
    behind = [each.process for each in heard if each.received_at < each.sent_at - limit]
    if ahead or behind:
        told = f"ahead of this host: {len(ahead)}, behind the guardian's: {len(behind)}, of {len(heard)}"
        yield fail("clock workers", told, _DO, Runbook.CLOCKS_APART)
    elif heard:
        yield ok("clock workers", f"{len(heard)} processes within {limit.total_seconds():g} s")


def look_at_optimove_clock(means: Means) -> Iterator[Finding]:
    """Optimove's clock, by what it signed lately."""
    with means.read() as connection:
        offset = clock_reads.signed_offset(connection, means.now - _LATELY)
    if offset is not None:
        yield judged(means, "clock optimove", -offset)


def judged(means: Means, check: str, ahead: timedelta, *, accuracy_s: float = 0.0) -> Finding:
    """How far a clock is ahead of ours, in words; `accuracy_s`: what the measuring itself may be wrong by."""
    seconds, limit_s = ahead.total_seconds(), means.settings.clock_skew_alert_s + accuracy_s
    told = f"{abs(seconds):.3f} s {'ahead of' if seconds >= 0 else 'behind'} this host's"
    if abs(seconds) > limit_s:
        return fail(check, told, _DO, Runbook.CLOCKS_APART)
    return ok(check, told)


def _offset(ask: Callable[[], datetime], means: Means) -> timedelta:
    before = means.now
    told = ask()
    after = means.now
    return told - (before + (after - before) / 2)


_DO = "set the hosts' clocks by NTP: deadlines are counted by them"
