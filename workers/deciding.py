"""How do settings become somebody who decides by the rules?

In: settings. Out: who makes judges, and who keeps the rules of a process; or every mistake in the rules at once.
"""

import os
from hashlib import sha256
from socket import gethostname

from clearance.checks.suppression import SuppressionAsks
from clearance.clock import utc_now
from clearance.decisions.rules import RulesError
from clearance.ledger.group_commit import GroupCommit
from clearance.limits.cooldown import RedisCoolDown
from config.settings import Settings, SettingsError, named_secret
from workers.connections import ledger, metrics, shared_redis
from workers.judges import Judges, Means, read_rules
from workers.rules_keeper import RulesKeeper


def require_rules(settings: Settings) -> None:
    """Refuse to start on rules that are not right.

    Raises:
        SettingsError: With every mistake.
    """
    commits = GroupCommit(ledger(settings), metrics)
    tried = judges(settings, commits)
    try:
        tried.judge(read_rules(settings.rules_path), source=settings.rules_path)
    except RulesError as error:
        raise SettingsError(tuple(map(str, error.problems))) from None
    finally:
        tried.close()
        commits.close()


def judges(settings: Settings, commits: GroupCommit) -> Judges:
    """Who makes judges of rules, in the process that asks them."""
    redis = shared_redis(settings)
    return Judges(
        Means(
            asks_list=lambda check: SuppressionAsks(check, commits=commits, clock=utc_now, metrics=metrics),
            # A key names no address: those of internal systems are nobody's business.
            cooldown=lambda name: RedisCoolDown(redis, f"check-{sha256(name.encode()).hexdigest()[:16]}"),
            named_secret=named_secret,
            breaker_failures=settings.check_breaker_failures,
            breaker_rest_s=settings.check_breaker_rest_s,
            threads=settings.triggered_threads,
            clock=utc_now,
            metrics=metrics,
        )
    )


def rules_keeper(settings: Settings, lane: str) -> RulesKeeper:
    """The rules of a worker process; begin it in the process that decides.

    Raises:
        SettingsError: With every mistake in the rules.
    """
    the_ledger = ledger(settings)
    asking = judges(settings, GroupCommit(the_ledger, metrics))
    return RulesKeeper(
        settings.rules_path,
        open_judge=lambda rules: asking.judge(rules, source=settings.rules_path),
        ledger=the_ledger,
        process=f"{lane}@{gethostname()}:{os.getpid()}",
        lane=lane,
        look_every_s=settings.rules_look_every_s,
        clock=utc_now,
        metrics=metrics,
    )
