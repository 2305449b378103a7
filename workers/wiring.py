"""How the parts become processes; with `connections` and `deciding` the only place that knows settings and parts.

Everything below is made from values; nothing below reads the environment. Each function builds what one process needs
and gives back what that process has to close.
"""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

from celery import Celery
from kombu.transport import TRANSPORT_ALIASES

from clearance.clock import utc_now
from clearance.errors import LedgerUnavailable
from clearance.fleet_watch import FleetWatch, QueueWatch
from clearance.guardian import Guardian
from clearance.ingest.acceptance import Acceptance
from clearance.ingest.app import IngestParts, Readiness
from clearance.ingest.listener_token import ListenerToken
from clearance.ingest.refusals import Refusals
from clearance.ingest.relay import RelayIntake
from clearance.ingest.relay_door import RelayDoor
from clearance.ingest.relay_keys import RelayKeys
from clearance.ingest.scheduled import ScheduledIntake
from clearance.ingest.source_limit import SourceLimit
from clearance.ingest.triggered import TriggeredIntake
from clearance.ledger import migrate
from clearance.ledger.engine import Ledger
from clearance.ledger.group_commit import GroupCommit
from clearance.limits.cooldown import RedisCoolDown
from clearance.optimove.signature import SignatureCheck
from clearance.publishing import BackgroundPublisher
from config.celery_options import celery_options
from config.metrics import CONTENT_TYPE
from config.setting_choices import SignatureMode
from config.settings import PREFIX, Settings, SettingsError
from tasks.base import ObligationTask
from tasks.closing import CloseGroup
from tasks.deciding import NotificationDecider
from tasks.fetching import FetchGroup
from tasks.heartbeat import Heartbeat
from tasks.leases import Leases
from tasks.posting import PostBatch
from tasks.publisher import CeleryPublisher
from tasks.queue_depths import QueueDepths
from tasks.reviewing import ReviewChunk
from tasks.sending import SendCommands
from tasks.submitting import SubmitGroup
from tasks.triggered import ApproveTriggered, TriggeredServices
from workers import otel, scheduled, track
from workers.connections import ledger, metrics, optimove_client, shared_redis, shared_redis_url
from workers.deciding import require_rules
from workers.mail import posting_services
from workers.mail_plan import batch_plan, feedback
from workers.rules_keeper import RulesKeeper

# Ours for every `redis://` and `rediss://` of this process.
TRANSPORT_ALIASES.update(dict.fromkeys(("redis", "rediss"), "tasks.redis_transport:Transport"))

LANES_THAT_DECIDE = ("triggered", "review", "submit")
# Whom a lane calls.
_OPTIMOVE = ("optimove_base_url", "optimove_api_key")
_REQUIRED_BY_LANE = {
    "triggered": _OPTIMOVE,
    "submit": _OPTIMOVE,
    "mail": ("optilyz_base_url", "optilyz_api_key"),
    "track": (
        "bloomreach_base_url",
        "bloomreach_project_token",
        "bloomreach_api_key_id",
        "bloomreach_api_secret",
    ),
}

# What lets its notifications in, and with them all the work that it will ever have.
_DOOR_BY_LANE = {
    "triggered": "optimove_webhook_secrets",
    "review": "optimove_listener_token",
    "submit": "optimove_listener_token",
    "mail": "relay_api_keys",
}

# Requests to the relay that share a transaction, and that wait for one: each may have a thousand recipients.
_MOST_REQUESTS_TOGETHER = 4
_MOST_REQUESTS_WAITING = 64


def celery_app(
    settings: Settings, lane: str | None = None, rules: Callable[[], RulesKeeper] | None = None
) -> Celery:
    """Celery for a worker of `lane`, with that lane's tasks; without a lane, for publishing only.

    `rules` gives the rules of the process that decides, when it is first asked there.
    """
    app = Celery("clearance", set_as_current=lane is not None, amqp="tasks.reconnect:Amqp")
    app.conf.update(celery_options(settings, lane))
    if lane is not None and rules is not None:
        for task in _tasks(settings, lane, rules):
            app.register_task(task)
        app.register_task(Heartbeat(lane, lambda: ledger(settings), utc_now))
    return app


def _tasks(settings: Settings, lane: str, rules: Callable[[], RulesKeeper]) -> list[ObligationTask[Any, Any]]:
    if lane == ApproveTriggered.lane:
        return [ApproveTriggered(lambda: triggered_services(settings, rules()))]
    if lane == ReviewChunk.lane:
        return [ReviewChunk(lambda: scheduled.review_services(settings, rules()))]
    if lane == SubmitGroup.lane:
        shared = scheduled.SubmitLane(settings, rules)
        return [FetchGroup(shared.fetching), SubmitGroup(shared.submitting), CloseGroup(shared.closing)]
    if lane == PostBatch.lane:
        return [PostBatch(lambda: posting_services(settings))]
    if lane == SendCommands.lane:
        return [SendCommands(lambda: track.send_services(settings))]
    return []


def warm_up(app: Celery) -> None:
    """Make now what the first message would otherwise wait for."""
    for task in app.tasks.values():
        if isinstance(task, ObligationTask):
            task.warm_up()


def unset_by_lane(settings: Settings, lane: str) -> list[str]:
    """The variables of its vendor that a lane needs and that are not set."""
    wanted = _REQUIRED_BY_LANE.get(lane, ())
    return [f"{PREFIX}{name.upper()}" for name in wanted if not getattr(settings, name)]


def closed_doors_by_lane(settings: Settings, lane: str) -> list[str]:
    """The variable without which nobody is let in with work for a lane, if it is not set."""
    door = _DOOR_BY_LANE.get(lane)
    return [] if door is None or getattr(settings, door) else [f"{PREFIX}{door.upper()}"]


def require_lane(settings: Settings, lane: str) -> None:
    """Refuse to start a lane without what it needs.

    Raises:
        SettingsError: With everything that is missing, and every mistake in the rules.
    """
    problems = [f"{name}: required by the {lane} lane" for name in unset_by_lane(settings, lane)]
    if not shared_redis_url(settings):
        problems.append(
            "CLEARANCE_REDIS_URL: required for what the fleet shares when the broker is not Redis"
        )
    if problems:
        raise SettingsError(tuple(problems))
    if lane in LANES_THAT_DECIDE:
        require_rules(settings)


def triggered_services(settings: Settings, rules: RulesKeeper) -> TriggeredServices:
    """What the triggered task works with, in the process that runs it."""
    commits = GroupCommit(ledger(settings), metrics)
    lease = timedelta(milliseconds=settings.triggered_lease_ms)
    return TriggeredServices(
        commits=commits,
        leases=Leases(commits=commits, clock=utc_now, lease=lease),
        metrics=metrics,
        clock=utc_now,
        pause=time.sleep,
        at_once=ThreadPoolExecutor(settings.triggered_threads, thread_name_prefix="approvals").map,
        eta_window=timedelta(seconds=settings.eta_window_s),
        decider=NotificationDecider(
            judge=lambda: rules.judge,
            commits=commits,
            clock=utc_now,
            metrics=metrics,
            reserve=timedelta(milliseconds=settings.check_reserve_ms),
        ),
        vendor=optimove_client(settings, pool_size=settings.triggered_threads),
        cooldown=RedisCoolDown(shared_redis(settings), "optimove-triggered-approval"),
        send_margin=timedelta(milliseconds=settings.send_margin_ms),
        attempt_timeout_s=settings.attempt_timeout_ms / 1000,
        limit=scheduled.rate_limit(settings) if settings.optimove_rate_reserved else None,
    )


def guardian(settings: Settings) -> Guardian:
    """The guardian of one process."""
    return Guardian(
        ledger=ledger(settings),
        publish=CeleryPublisher(celery_app(settings), metrics, publisher="guardian"),
        metrics=metrics,
        clock=utc_now,
        hedge_after=timedelta(milliseconds=settings.hedge_after_ms),
    )


def fleet_watch(settings: Settings) -> FleetWatch:
    """What a guardian tells of lanes, groups and rules."""
    return FleetWatch(ledger=ledger(settings), metrics=metrics, clock=utc_now)


def queue_watch(settings: Settings) -> QueueWatch:
    """What a guardian tells of the broker."""
    return QueueWatch(depths=QueueDepths(celery_app(settings)), metrics=metrics)


def require_ingest(settings: Settings) -> None:
    """Refuse to open a door that would refuse everything.

    Raises:
        SettingsError: There is no webhook secret, no listener token and no relay key.
    """
    keys = ("OPTIMOVE_WEBHOOK_SECRETS", "OPTIMOVE_LISTENER_TOKEN", "RELAY_API_KEYS")
    if not any(getattr(settings, name.lower()) for name in keys):
        told = " or ".join(f"CLEARANCE_{name}" for name in keys)
        raise SettingsError((f"{told}: required by ingest, or nobody is let in",))


def ingest_parts(settings: Settings) -> IngestParts:
    """What the door is made of."""
    the_ledger = ledger(settings)
    commits = GroupCommit(the_ledger, metrics)
    publish = CeleryPublisher(celery_app(settings), metrics, publisher="ingest")
    publisher = BackgroundPublisher(publish)
    refusals = Refusals(commits=commits, metrics=metrics, clock=utc_now, kept=settings.rejections_kept)
    # A transaction of its own: a thousand letters are not to hold up a notification that has five seconds.
    letters = GroupCommit(
        the_ledger, metrics, max_group=_MOST_REQUESTS_TOGETHER, max_waiting=_MOST_REQUESTS_WAITING
    )
    # One item a transaction, written in the order of its keys: two processes that hear the same wait in turn.
    mailings = GroupCommit(the_ledger, metrics, max_group=1, max_waiting=_MOST_REQUESTS_WAITING)
    sources = SourceLimit(
        rate_per_s=settings.ingest_rate_per_s, trusted_proxies=settings.ingest_trusted_proxies
    )
    return IngestParts(
        acceptance=Acceptance(commits=commits, publisher=publisher, timeout_s=settings.ledger_timeout_s),
        refusals=refusals,
        sources=sources,
        metrics=metrics,
        triggered=_triggered_intake(settings),
        scheduled=_scheduled_intake(settings),
        relay=RelayDoor(
            keys=RelayKeys(settings.relay_api_keys),
            intake=_relay_intake(settings),
            acceptance=Acceptance(commits=letters, publisher=publisher, timeout_s=settings.ledger_timeout_s),
            refusals=refusals,
            sources=sources,
            metrics=metrics,
            max_body_bytes=settings.relay_max_body_bytes,
            body_timeout_s=settings.ingest_body_timeout_s,
        ),
        mailings=track.mailing_intake(settings, mailings),
        max_body_bytes=settings.ingest_max_body_bytes,
        body_timeout_s=settings.ingest_body_timeout_s,
        exposition=metrics.exposition,
        exposition_type=CONTENT_TYPE,
        readiness=_readiness(the_ledger),
        on_shutdown=(
            mailings.close,
            letters.close,
            commits.close,
            publisher.close,
            publish.close,
            the_ledger.close,
            otel.end,
        ),
    )


def _triggered_intake(settings: Settings) -> TriggeredIntake:
    return TriggeredIntake(
        signatures=SignatureCheck(
            settings.optimove_webhook_secrets,
            minified=settings.optimove_signature_mode is SignatureMode.MINIFIED,
        ),
        clock=utc_now,
        metrics=metrics,
        freshness=timedelta(seconds=settings.optimove_freshness_s),
        timeout=timedelta(milliseconds=settings.triggered_timeout_ms),
        send_margin=timedelta(milliseconds=settings.send_margin_ms),
        hedge_after=timedelta(milliseconds=settings.hedge_after_ms),
        skew_alert=timedelta(seconds=settings.clock_skew_alert_s),
    )


def _scheduled_intake(settings: Settings) -> ScheduledIntake:
    return ScheduledIntake(
        api=settings.scheduled_api.value,
        token=ListenerToken(settings.optimove_listener_token),
        site_time=scheduled.site_time(settings),
        plan=scheduled.Planning(settings),
        clock=utc_now,
        metrics=metrics,
        hedge_after=timedelta(milliseconds=settings.hedge_after_ms),
        eta_window=timedelta(seconds=settings.eta_window_s),
    )


def _relay_intake(settings: Settings) -> RelayIntake:
    return RelayIntake(
        plan=batch_plan(settings),
        feedback=feedback(settings),
        id_kind_by_field=dict(pair.split("=", 1) for pair in settings.optilyz_id_fields),
        campaign_field=settings.bloomreach_campaign_field,
        is_dry_run=settings.mail_dry_run,
        clock=utc_now,
    )


def _readiness(the_ledger: Ledger) -> Callable[[], Readiness]:
    newest = migrate.newest_revision()

    def readiness() -> Readiness:
        try:
            revision = migrate.current_revision(the_ledger)
        except LedgerUnavailable:
            return Readiness(is_ready=False, checks={"ledger": "unavailable"})
        # A newer schema than this release knows is fine: fleets are upgraded ledger first.
        if revision is None or revision < newest:
            return Readiness(is_ready=False, checks={"ledger": "run `clearance db upgrade`"})
        return Readiness(is_ready=True, checks={"ledger": "ok"})

    return readiness
