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
from clearance.guardian import Guardian
from clearance.ingest.acceptance import Acceptance
from clearance.ingest.app import IngestParts, Readiness
from clearance.ingest.listener_token import ListenerToken
from clearance.ingest.refusals import Refusals
from clearance.ingest.scheduled import ScheduledIntake
from clearance.ingest.triggered import TriggeredIntake
from clearance.ledger import migrate
from clearance.ledger.engine import Ledger
from clearance.ledger.group_commit import GroupCommit
from clearance.limits.cooldown import RedisCoolDown
from clearance.optimove.signature import SignatureCheck
from clearance.publishing import BackgroundPublisher
from config.celery_options import celery_options
from config.metrics import CONTENT_TYPE
from config.settings import Settings, SettingsError, SignatureMode
from tasks.base import ObligationTask
from tasks.closing import CloseGroup
from tasks.deciding import NotificationDecider
from tasks.fetching import FetchGroup
from tasks.leases import Leases
from tasks.publisher import CeleryPublisher
from tasks.reviewing import ReviewChunk
from tasks.submitting import SubmitGroup
from tasks.triggered import ApproveTriggered, TriggeredServices
from workers import scheduled
from workers.connections import ledger, metrics, optimove_client, shared_redis, shared_redis_url
from workers.deciding import require_rules
from workers.rules_keeper import RulesKeeper

# Ours for every `redis://` of this process.
TRANSPORT_ALIASES["redis"] = "tasks.redis_transport:Transport"

LANES_THAT_DECIDE = ("triggered", "review", "submit")
# What asks Optimove, and what the fleet shares in Redis.
_LANES_THAT_CALL = ("triggered", "submit")


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
    return app


def _tasks(settings: Settings, lane: str, rules: Callable[[], RulesKeeper]) -> list[ObligationTask[Any, Any]]:
    if lane == ApproveTriggered.lane:
        return [ApproveTriggered(lambda: triggered_services(settings, rules()))]
    if lane == ReviewChunk.lane:
        return [ReviewChunk(lambda: scheduled.review_services(settings, rules()))]
    if lane == SubmitGroup.lane:
        shared = scheduled.SubmitLane(settings, rules)
        return [FetchGroup(shared.fetching), SubmitGroup(shared.submitting), CloseGroup(shared.closing)]
    return []


def warm_up(app: Celery) -> None:
    """Make now what the first message would otherwise wait for."""
    for task in app.tasks.values():
        if isinstance(task, ObligationTask):
            task.warm_up()


def require_lane(settings: Settings, lane: str) -> None:
    """Refuse to start a lane without what it needs.

    Raises:
        SettingsError: With everything that is missing, and every mistake in the rules.
    """
    problems = []
    if lane in _LANES_THAT_CALL:
        problems = [
            f"CLEARANCE_{name}: required by the {lane} lane"
            for name, value in (
                ("OPTIMOVE_BASE_URL", settings.optimove_base_url),
                ("OPTIMOVE_API_KEY", settings.optimove_api_key),
            )
            if not value
        ]
    if lane in LANES_THAT_DECIDE and not shared_redis_url(settings):
        problems.append(
            "CLEARANCE_REDIS_URL: required for the fleet's cool-downs when the broker is not Redis"
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


def require_ingest(settings: Settings) -> None:
    """Refuse to open a door that would refuse everything.

    Raises:
        SettingsError: Neither a webhook secret nor a listener token is set.
    """
    if not settings.optimove_webhook_secrets and not settings.optimove_listener_token:
        told = "CLEARANCE_OPTIMOVE_WEBHOOK_SECRETS or CLEARANCE_OPTIMOVE_LISTENER_TOKEN: required by ingest"
        raise SettingsError((f"{told}, or nobody is let in",))


def ingest_parts(settings: Settings) -> IngestParts:
    """What the door is made of."""
    the_ledger = ledger(settings)
    commits = GroupCommit(the_ledger, metrics)
    publish = CeleryPublisher(celery_app(settings), metrics, publisher="ingest")
    publisher = BackgroundPublisher(publish)
    return IngestParts(
        acceptance=Acceptance(commits=commits, publisher=publisher, timeout_s=settings.ledger_timeout_s),
        refusals=Refusals(commits=commits, metrics=metrics, clock=utc_now, kept=settings.rejections_kept),
        metrics=metrics,
        triggered=_triggered_intake(settings),
        scheduled=_scheduled_intake(settings),
        max_body_bytes=settings.ingest_max_body_bytes,
        body_timeout_s=settings.ingest_body_timeout_s,
        exposition=metrics.exposition,
        exposition_type=CONTENT_TYPE,
        readiness=_readiness(the_ledger),
        on_shutdown=(commits.close, publisher.close, publish.close, the_ledger.close),
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
