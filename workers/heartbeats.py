"""Which guardian asks whether the lanes are worked on? Each, in a thread of its own, every few seconds.

In: the ledger, the broker. Out: heartbeats through the queues of all lanes, and the guardian's own: when it last
looked. Its looks wait for none of this; `clearance doctor` and an alert depend on it, and no work does.
"""

from collections.abc import Callable
from datetime import datetime, timedelta
from socket import gethostname

import structlog
from celery import Celery

from clearance.clock import Clock, utc_now
from clearance.errors import BrokerUnavailable, LedgerUnavailable
from clearance.ledger import heartbeats
from clearance.ledger.engine import Ledger
from clearance.ledger.heartbeats import GUARDIAN, Heard
from config.queues import LANE_QUEUES
from config.settings import Settings
from tasks import heartbeat
from workers.connections import ledger

log = structlog.get_logger()

# Turns between two heartbeats of a lane: another guardian's are seen, and none is late by more than half.
TURNS = 2


class Heartbeats:
    """The heartbeats of one guardian.

    Args:
        every: How often a lane is asked that answers.
        looked_at: When this guardian's last look ended; None before the first.
    """

    def __init__(
        self,
        *,
        ledger: Ledger,
        app: Celery,
        every: timedelta,
        looked_at: Callable[[], datetime | None],
        clock: Clock,
        process: str,
    ) -> None:
        self._ledger = ledger
        self._app = app
        self._every = every
        self._looked_at = looked_at
        self._clock = clock
        self._process = process
        self._told_at: datetime | None = None

    def turn(self) -> None:
        """Say when this guardian last looked, and ask whichever lane is due; what fails is left to the next turn."""
        try:
            self._say()
            self._ask()
        except (LedgerUnavailable, BrokerUnavailable) as error:
            log.warning("heartbeats.not_sent", error=str(error))

    def _say(self) -> None:
        looked_at = self._looked_at()
        # A guardian that hangs has nothing new to say, and must not cover what another says.
        if looked_at is None or looked_at == self._told_at:
            return
        said = Heard(lane=GUARDIAN, process=self._process, sent_at=looked_at, received_at=looked_at)
        with self._ledger.write() as connection:
            heartbeats.note(connection, said)
        self._told_at = looked_at

    def _ask(self) -> None:
        now = self._clock()
        with self._ledger.read() as connection:
            beats = heartbeats.known(connection)
        due = heartbeats.due(beats, [queue.lane for queue in LANE_QUEUES], now, self._every)
        if not due:
            return
        heartbeat.send(self._app, due, now)
        # After it, so that a broker that is away does not count as lanes that do not answer.
        with self._ledger.write() as connection:
            heartbeats.asked(connection, due, now)


def of_guardian(settings: Settings, app: Celery, looked_at: Callable[[], datetime | None]) -> Heartbeats:
    """Those of the guardian in this process."""
    return Heartbeats(
        ledger=ledger(settings),
        app=app,
        every=timedelta(seconds=settings.heartbeat_every_s),
        looked_at=looked_at,
        clock=utc_now,
        process=f"guardian@{gethostname()}",
    )
