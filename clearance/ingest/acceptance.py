"""How a notification is acknowledged: committed first, then published, then answered.

Whatever arrived together is one transaction and one batch. The answer waits for the commit only: a broker that is down
or hangs is the publisher's trouble, and the guardian's.
"""

import asyncio

from clearance.errors import LedgerUnavailable
from clearance.ledger.group_commit import GroupCommit
from clearance.ledger.notifications import Accepted, NewNotification, accept_many
from clearance.obligations import Due
from clearance.publishing import BackgroundPublisher


class Acceptance:
    """The way from a verified request into the ledger and onto the broker.

    Args:
        timeout_s: How long a commit may take before the sender is told to come again.
    """

    def __init__(self, *, commits: GroupCommit, publisher: BackgroundPublisher, timeout_s: float) -> None:
        self._commits = commits
        self._publisher = publisher
        self._timeout_s = timeout_s

    async def accept(self, new: NewNotification) -> Accepted:
        """Commit it, with its obligation, and have it published.

        Raises:
            LedgerUnavailable: Nothing is acknowledged. It may have been written all the same: when the sender repeats
                it, it is recognised.
        """
        try:
            async with asyncio.timeout(self._timeout_s):
                accepted = await asyncio.wrap_future(self._commits.submit(accept_many, new))
        except TimeoutError:
            raise LedgerUnavailable("ledger: the commit took too long") from None
        if not accepted.is_duplicate and new.obligation.missed is None:
            self._publisher.enqueue(_due(new))
        return accepted


def _due(new: NewNotification) -> Due:
    obligation = new.obligation
    return Due(
        obligation_id=obligation.obligation_id,
        lane=obligation.lane,
        task=obligation.task,
        eta=None,
        deadline_at=obligation.deadline_at,
        attempts=0,
        trace_id=obligation.trace_id,
    )
