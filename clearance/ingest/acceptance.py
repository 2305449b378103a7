"""How a notification is acknowledged: committed first, then published, then answered.

Whatever arrived together is one transaction and one batch. The answer waits for the commit only: a broker that is down
or hangs is the publisher's trouble, and the guardian's.
"""

import asyncio
from concurrent.futures import Future

from clearance import tracing
from clearance.errors import LedgerUnavailable
from clearance.ledger.group_commit import GroupCommit, Item, Operation, Result
from clearance.ledger.groups import Heard, NewCancellation, NewHeadsUp, cancel_many, hear_many
from clearance.ledger.mail_intake import NewRequest, TakenRequest, take_many
from clearance.ledger.notifications import Accepted, NewNotification, accept_many
from clearance.obligations import Due, Obligation
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

        def publish(commit: Future[Accepted]) -> None:
            if new.obligation.missed is not None or commit.cancelled() or commit.exception() is not None:
                return
            if not commit.result().is_duplicate:
                self._publisher.enqueue(_due(new.obligation))

        with tracing.span("notification.accept", new.obligation.trace_id, is_first=True):
            commit = self._commits.submit(accept_many, new)
            # By whoever has committed it: the event loop may have others to answer first.
            commit.add_done_callback(publish)
            return await written(commit, timeout_s=self._timeout_s)

    async def hear(self, new: NewHeadsUp | NewCancellation) -> Heard:
        """Commit what was told of a group, and have published what is owed at once.

        What is owed later is the guardian's to publish.

        Raises:
            LedgerUnavailable: As for `accept`.
        """
        with tracing.span("group.hear", new.trace_id, is_first=True):
            if isinstance(new, NewHeadsUp):
                heard = await self._written(hear_many, new)
            else:
                heard = await self._written(cancel_many, new)
        for obligation in heard.owed:
            if obligation.run_at <= new.received_at:
                self._publisher.enqueue(_due(obligation))
        return heard

    async def take(self, new: NewRequest) -> TakenRequest:
        """Commit the recipients of a request, and have published what is full.

        Raises:
            LedgerUnavailable: As for `accept`.
        """
        with tracing.span("recipients.take", new.trace_id, is_first=True, recipients=len(new.letters)):
            taken = await self._written(take_many, new)
        for obligation in taken.due:
            self._publisher.enqueue(_due(obligation))
        return taken

    async def _written(self, operation: Operation[Item, Result], item: Item) -> Result:
        return await written(self._commits.submit(operation, item), timeout_s=self._timeout_s)


async def written(commit: Future[Result], *, timeout_s: float) -> Result:
    """What a commit says, once it is done.

    Raises:
        LedgerUnavailable: It failed, or took longer: it may be written all the same.
    """
    try:
        async with asyncio.timeout(timeout_s):
            return await asyncio.wrap_future(commit)
    except TimeoutError:
        raise LedgerUnavailable("ledger: the commit took too long") from None


def _due(obligation: Obligation) -> Due:
    return Due(
        obligation_id=obligation.obligation_id,
        lane=obligation.lane,
        task=obligation.task,
        eta=None,
        deadline_at=obligation.deadline_at,
        attempts=0,
        trace_id=obligation.trace_id,
    )
