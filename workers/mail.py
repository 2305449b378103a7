"""How do settings become the mail lane: the slots of the fleet, Optilyz, and what a batch is posted with?

In: settings. Out: what the task works with, in the process that runs it.
"""

import time
from collections.abc import Callable
from datetime import timedelta

from clearance.clock import utc_now
from clearance.ledger.engine import Ledger
from clearance.ledger.group_commit import GroupCommit
from clearance.ledger.mail_posting import posting_until
from clearance.limits.cooldown import RedisCoolDown
from clearance.limits.slots import RedisSlots
from clearance.obligations import Lane
from clearance.optilyz.client import OptilyzClient
from config.setting_choices import OptilyzAuth
from config.settings import Settings
from tasks.leases import Leases
from tasks.pauses import PauseWatch
from tasks.posting_batches import LONGEST_GAP_S, PostingServices
from tasks.slot_keeping import SlotKeeper
from workers.connections import ledger, metrics, shared_redis
from workers.ending import asked_to_end
from workers.mail_plan import SLOTS_GROUP, feedback

# A slot is held for longer than a request can last by this: for what a worker does beside it, and for Redis' answers.
_SLOT_MARGIN_S = 5.0
# Hosts of one fleet keep the same time to within this.
_CLOCKS_APART_S = 1.0


def posting_services(settings: Settings) -> PostingServices:
    """What `clearance.mail.post` works with."""
    the_ledger = ledger(settings)
    commits = GroupCommit(the_ledger, metrics)
    lease = timedelta(seconds=settings.mail_lease_s)
    slot_lease_s = settings.optilyz_timeout_s + _SLOT_MARGIN_S
    slots = RedisSlots(
        shared_redis(settings),
        SLOTS_GROUP,
        most=settings.optilyz_max_concurrency,
        lease_s=slot_lease_s,
        quiet_in_s=_quiet_in_s(the_ledger, settings.optilyz_timeout_s),
    )
    return PostingServices(
        commits=commits,
        leases=Leases(commits=commits, clock=utc_now, lease=lease),
        metrics=metrics,
        clock=utc_now,
        pause=time.sleep,
        eta_window=timedelta(seconds=settings.eta_window_s),
        ledger=the_ledger,
        slots=slots,
        keep=SlotKeeper(slots, lease_s=slot_lease_s).keeping,
        vendor=_client(settings),
        cooldown=RedisCoolDown(shared_redis(settings), SLOTS_GROUP),
        pauses=PauseWatch(the_ledger, Lane.MAIL),
        feedback=feedback(settings),
        is_dry_run=settings.mail_dry_run,
        timeout_s=settings.optilyz_timeout_s,
        is_stopping=asked_to_end().is_set,
        time=time.monotonic,
    )


def _client(settings: Settings) -> OptilyzClient:
    has_token = settings.optilyz_auth is OptilyzAuth.TOKEN
    return OptilyzClient(
        settings.optilyz_base_url,
        settings.optilyz_api_key,
        recipients_path=settings.optilyz_recipients_path,
        authenticate_path=settings.optilyz_authenticate_path if has_token else None,
        pool_size=settings.optilyz_max_concurrency,
    )


def _quiet_in_s(the_ledger: Ledger, timeout_s: float) -> Callable[[], float]:
    """In how many seconds no request is under way that the ledger knows of."""
    over_after = timedelta(seconds=timeout_s + LONGEST_GAP_S + _CLOCKS_APART_S)

    def quiet_in_s() -> float:
        now = utc_now()
        with the_ledger.read() as connection:
            until = posting_until(connection, now, over_after)
        return 0.0 if until is None else max(0.0, (until - now).total_seconds())

    return quiet_in_s
