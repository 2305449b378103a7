"""How a worker keeps what it holds while it works on it: leases renewed in the background.

Most obligations are met long before their lease ends and cost nothing here. A worker that dies renews nothing, and the
guardian hands its obligations to another; one that waits for a slow vendor renews, and nobody repeats its work.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

import structlog

from clearance.clock import Clock
from clearance.errors import LedgerUnavailable
from clearance.ledger.group_commit import GroupCommit
from clearance.ledger.obligations import renew_many
from clearance.obligations import Claimed, ObligationId

log = structlog.get_logger()

# What is held longer than this after its deadline is stuck: it is given up, and recorded as abandoned.
_GRACE = timedelta(seconds=60)


class Leases:
    """What this process holds. Made in the process that holds it (after a fork): its thread renews from then on."""

    def __init__(self, *, commits: GroupCommit, clock: Clock, lease: timedelta) -> None:
        self._commits = commits
        self._clock = clock
        self.lease = lease
        self._held: dict[tuple[ObligationId, int], Claimed] = {}
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="leases", daemon=True)
        self._thread.start()

    @contextmanager
    def holding(self, *claims: Claimed) -> Iterator[None]:
        """Renew the leases for as long as the block runs."""
        held = {(claimed.obligation_id, claimed.attempt): claimed for claimed in claims}
        self._held.update(held)
        try:
            yield
        finally:
            for key in held:
                self._held.pop(key, None)

    def close(self) -> None:
        """Stop renewing."""
        self._stopping.set()
        self._thread.join()

    def renew(self) -> None:
        """Renew every lease of which a third is over, until long after its deadline."""
        now = self._clock()
        ageing = [
            item
            for item in list(self._held.values())
            if item.lease_until - now < self.lease * 2 / 3 and now < item.deadline_at + _GRACE
        ]
        renewals = [(item, self._commits.submit(renew_many, (item, now + self.lease))) for item in ageing]
        for item, renewal in renewals:
            # Not lost if its attempt has ended meanwhile. A loss is counted when the outcome is refused.
            is_held = renewal.result() or self._held.pop((item.obligation_id, item.attempt), None) is None
            if not is_held:
                log.warning("lease.lost", obligation=item.obligation_id, attempt=item.attempt)

    def _run(self) -> None:
        while not self._stopping.wait(self.lease.total_seconds() / 3):
            try:
                self.renew()
            except LedgerUnavailable as error:
                log.warning("lease.not_renewed", held=len(self._held), error=str(error))
            except Exception:
                # The thread must live: without it every slow attempt would be repeated by another worker.
                log.exception("lease.failed_on_a_bug", held=len(self._held))
