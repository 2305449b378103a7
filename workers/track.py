"""How do settings become what tells Bloomreach: the track lane, and the door for mailing states?

In: settings. Out: what the task and the route work with, in the process that runs them.
"""

import time
from datetime import timedelta

from clearance.bloomreach.client import BloomreachClient
from clearance.clock import utc_now
from clearance.ingest.mailings import MailingIntake, MailingKeys
from clearance.ledger.group_commit import GroupCommit
from clearance.limits.cooldown import RedisCoolDown
from clearance.limits.rate import RedisRateLimit
from config.settings import Settings
from tasks.leases import Leases
from tasks.sending import SendServices
from workers.connections import ledger, metrics, shared_redis
from workers.mail_plan import feedback

_GROUP = "bloomreach"
_WINDOW_S = 60.0


def send_services(settings: Settings) -> SendServices:
    """What `clearance.track.send` works with."""
    commits = GroupCommit(ledger(settings), metrics)
    redis = shared_redis(settings)
    return SendServices(
        commits=commits,
        leases=Leases(commits=commits, clock=utc_now, lease=timedelta(seconds=settings.track_lease_s)),
        metrics=metrics,
        clock=utc_now,
        pause=time.sleep,
        eta_window=timedelta(seconds=settings.eta_window_s),
        vendor=BloomreachClient(
            settings.bloomreach_base_url,
            project_token=settings.bloomreach_project_token,
            key_id=settings.bloomreach_api_key_id,
            secret=settings.bloomreach_api_secret,
            timeout_s=settings.bloomreach_timeout_s,
            pool_size=settings.track_threads,
        ),
        limit=RedisRateLimit(redis, _GROUP, calls=settings.bloomreach_calls_per_minute, window_s=_WINDOW_S),
        cooldown=RedisCoolDown(redis, _GROUP),
        commands_per_call=settings.bloomreach_commands_per_call,
    )


def mailing_intake(settings: Settings, commits: GroupCommit) -> MailingIntake:
    """What the door for mailing states is made of."""
    return MailingIntake(
        keys=MailingKeys(settings.relay_api_keys),
        id_kind_by_field=dict(pair.split("=", 1) for pair in settings.optilyz_id_fields),
        campaign_field=settings.bloomreach_campaign_field,
        feedback=feedback(settings),
        commits=commits,
        clock=utc_now,
        metrics=metrics,
        timeout_s=settings.ledger_timeout_s,
    )
