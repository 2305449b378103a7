"""How do settings become the scheduled lanes: fetch, review, submit and close?

In: settings. Out: what each task works with, in the process that runs it.
"""

import random
import time
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from clearance.clock import utc_now
from clearance.decisions.decision import Campaign, Decision
from clearance.ledger.call_speed import seconds_per_call
from clearance.ledger.engine import Ledger
from clearance.ledger.group_commit import GroupCommit
from clearance.limits.cooldown import RedisCoolDown
from clearance.limits.rate import RedisRateLimit
from clearance.optimove.customer_stream import CampaignFields
from clearance.optimove.scheduled_calls import ScheduledCalls, ScheduledOptions
from clearance.optimove.scheduled_paths import ScheduledPaths
from clearance.optimove.site_time import SiteTime
from clearance.schedule import Schedule, Speed, schedule_of
from config.settings import Settings
from tasks.calling import Calling
from tasks.closing import CloseServices
from tasks.fetching import FetchServices
from tasks.leases import Leases
from tasks.reviewing import ReviewServices
from tasks.submitting import SubmitServices
from workers.connections import ledger, metrics, shared_redis
from workers.ending import asked_to_end
from workers.rules_keeper import RulesKeeper

_GROUP = "optimove-scheduled"
# A stream that says nothing for so long is broken; one that goes on for longer than this is somebody's mistake.
_SILENCE_S = 30.0
_LONGEST_FETCH_S = 3600.0


def site_time(settings: Settings) -> SiteTime:
    """The wall clock of the site."""
    return SiteTime(ZoneInfo(settings.site_timezone))


class Planning:
    """When a group's approvals must leave, by the speed that was measured."""

    def __init__(self, settings: Settings, the_ledger: Ledger | None = None) -> None:
        """Without a ledger, by the speed that is assumed."""
        self._settings = settings
        self._ledger = the_ledger

    def __call__(self, deadline_at: datetime, customers: int | None) -> Schedule:
        """The schedule for so many customers; None for a number that nobody told."""
        here = self._settings
        speed = Speed(
            seconds_per_call=self._measured_s() or here.submit_call_estimate_s,
            calls_per_window=here.optimove_rate_calls,
            window_s=here.optimove_rate_window_s,
            customers_per_call=here.optimove_approvals_per_call,
        )
        return schedule_of(
            deadline_at,
            customers,
            speed,
            min_margin_s=here.submit_min_margin_s,
            safety_factor=here.submit_safety_factor,
            stop_margin_s=here.submit_stop_margin_s,
        )

    def _measured_s(self) -> float | None:
        if self._ledger is None:
            return None
        with self._ledger.read() as connection:
            return seconds_per_call(connection)


def rate_limit(settings: Settings) -> RedisRateLimit:
    """The fleet's, of the API group that scheduled calls belong to."""
    return RedisRateLimit(
        shared_redis(settings),
        _GROUP,
        calls=settings.optimove_rate_calls,
        window_s=settings.optimove_rate_window_s,
        reserved=settings.optimove_rate_reserved,
    )


class SubmitLane:
    """What the tasks of the submit lane share, made when the first of them needs it."""

    def __init__(self, settings: Settings, rules: Callable[[], RulesKeeper]) -> None:
        self._settings = settings
        self._rules = rules
        self._shared: dict[str, Any] | None = None

    def fetching(self) -> FetchServices:
        """What `clearance.groups.fetch` works with."""
        here, shared = self._settings, self._made()
        return FetchServices(
            **shared["services"],
            vendor=shared["vendor"],
            calling=shared["calling"],
            attributes_of=self._attributes_of,
            plan=Planning(here, shared["services"]["ledger"]),
            chunk_customers=here.review_chunk_customers,
            hedge_after=timedelta(0),  # the guardian hands reviews over at its next look
            computed_s=time.thread_time,
        )

    def submitting(self) -> SubmitServices:
        """What `clearance.groups.submit` works with."""
        here, shared = self._settings, self._made()
        return SubmitServices(
            **shared["services"],
            vendor=shared["vendor"],
            calling=shared["calling"],
            customers_per_call=here.optimove_approvals_per_call,
            call_timeout_s=here.optimove_timeout_s,
            is_stopping=asked_to_end().is_set,
        )

    def closing(self) -> CloseServices:
        """What `clearance.groups.close` works with."""
        return CloseServices(**self._made()["services"])

    def _made(self) -> dict[str, Any]:
        if self._shared is None:
            self._shared = self._make()
        return self._shared

    def _make(self) -> dict[str, Any]:
        here = self._settings
        the_ledger = ledger(here, is_bulk=True)
        redis = shared_redis(here)
        return {
            "services": _services(here, the_ledger) | {"ledger": the_ledger},
            "vendor": _calls(here),
            "calling": Calling(
                limit=rate_limit(here),
                cooldown=RedisCoolDown(redis, _GROUP),
                clock=utc_now,
                pause=time.sleep,
                jitter=random.random,
                metrics=metrics,
            ),
        }

    def _attributes_of(self, campaign: Campaign) -> tuple[str, ...]:
        engine = self._rules().judge.engine
        policy = engine.policy_for(campaign)
        return () if isinstance(policy, Decision) else engine.attributes_of(policy)


def review_services(settings: Settings, rules: RulesKeeper) -> ReviewServices:
    """What `clearance.groups.review` works with, in a child of the worker."""
    return ReviewServices(**_services(settings, ledger(settings, is_bulk=True)), judge=lambda: rules.judge)


def _services(settings: Settings, the_ledger: Ledger) -> dict[str, Any]:
    commits = GroupCommit(the_ledger, metrics)
    lease = timedelta(seconds=settings.scheduled_lease_s)
    return {
        "commits": commits,
        "leases": Leases(commits=commits, clock=utc_now, lease=lease),
        "metrics": metrics,
        "clock": utc_now,
        "pause": time.sleep,
        "eta_window": timedelta(seconds=settings.eta_window_s),
    }


def _calls(settings: Settings) -> ScheduledCalls:
    return ScheduledCalls(
        settings.optimove_base_url,
        settings.optimove_api_key,
        options=ScheduledOptions(
            timeout_s=settings.optimove_timeout_s,
            silence_s=_SILENCE_S,
            fetch_s=_LONGEST_FETCH_S,
            pool_size=settings.submit_threads,
            send_group_page_size=settings.optimove_customers_page_size,
            campaign_page_size=settings.optimove_campaign_customers_page_size,
        ),
        site_time=site_time(settings),
        paths=ScheduledPaths(
            send_group_customers=settings.optimove_send_group_customers_path,
            send_group_approvals=settings.optimove_send_group_approvals_path,
            campaign_customers=settings.optimove_campaign_customers_path,
            promotion_status=settings.optimove_promotion_status_path,
        ),
        fields=CampaignFields(
            customer_id=settings.optimove_v1_customer_id_field,
            promo_code=settings.optimove_v1_promo_code_field,
            attributes=settings.optimove_v1_attributes_field,
        ),
    )
