"""What all who touch letters agree on, from the settings: how they are batched, and what Bloomreach is told of them.

In: settings. Out: values for ingest, the mail workers, guardians and the command line.
"""

from datetime import timedelta

from clearance.bloomreach.feedback import Feedback
from clearance.clock import utc_now
from clearance.ledger.mail_intake import BatchPlan
from clearance.limits.slots_seen import slots_held
from clearance.mail_watch import MailWatch
from config.settings import Settings
from workers.connections import ledger, metrics, shared_redis, shared_redis_url

# The name of the fleet's slots at Optilyz, in Redis.
SLOTS_GROUP = "optilyz"
# What an operator writes to have no property set: empty would mean the default.
_NO_PROPERTY = "-"


def batch_plan(settings: Settings) -> BatchPlan:
    """How letters become batches, and for how long the same letter is recognised."""
    return BatchPlan(
        batch_size=settings.optilyz_batch_size,
        max_wait=timedelta(seconds=settings.optilyz_max_wait_s),
        dedupe_window=timedelta(hours=settings.relay_dedupe_window_h),
    )


def feedback(settings: Settings) -> Feedback | None:
    """What Bloomreach is told; None while no Bloomreach is set."""
    if not settings.bloomreach_base_url:
        return None
    address_property = settings.bloomreach_address_property
    return Feedback(
        address_property=None if address_property == _NO_PROPERTY else address_property,
        consent_category=settings.bloomreach_consent_category or None,
        campaign_name=settings.bloomreach_campaign_name or None,
    )


def slots_in_use(settings: Settings) -> int | None:
    """How many requests to Optilyz the fleet may have under way; None when there is no Redis, or it is away."""
    if not shared_redis_url(settings):
        return None
    with shared_redis(settings) as redis:
        return slots_held(redis, SLOTS_GROUP)


def mail_watch(settings: Settings) -> MailWatch:
    """What a guardian tells of mail."""
    return MailWatch(
        ledger=ledger(settings), metrics=metrics, clock=utc_now, slots_held=lambda: slots_in_use(settings)
    )
