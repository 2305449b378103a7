"""Which customers does the vendor give for a group? Row by row, and from where it broke off if it comes by the page.

A V1 campaign comes in pages: one that fails is asked for again from the first row that is missing, so that a group of a
hundred pages does not begin anew for one of them. What that takes for granted (rows keep their places) pages take for
granted, too. A V2 group comes as one reply, of which nobody can ask for a part: its failure is the caller's, who begins
anew and knows whom it has.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import structlog

from clearance.clock import Clock
from clearance.decisions.decision import Customer
from clearance.errors import RetryLater, VendorThrottled
from clearance.ledger.group_facts import Group
from clearance.optimove.customer_stream import MalformedRow
from tasks.calling import Calling, NoTurn

log = structlog.get_logger()

_FIRST_PAUSE_S = 0.2
_LONGEST_PAUSE_S = 5.0
# Of one page in a row: about a minute. Then the obligation is given back, and its thread with it.
_MOST_FAILURES = 15

Row = Customer | MalformedRow


class FetchesCustomers(Protocol):
    """Where customers come from: `clearance.optimove.scheduled_calls.ScheduledCalls`, or a fake."""

    def fetch_customers_v2(
        self, group_id: str, attributes: Sequence[str], *, before_call: Callable[[], None] | None = None
    ) -> Iterator[Row]:
        """Every customer of a send group, as they arrive. Raises `RetryLater` or a `Park`."""

    def fetch_customers_v1(
        self,
        campaign_id: str,
        attributes: Sequence[str],
        *,
        start: int = 0,
        before_call: Callable[[], None] | None = None,
    ) -> Iterator[Row]:
        """The customers of a campaign from row `start` on, page by page. Raises `RetryLater` or a `Park`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CustomerRows:
    """Asks the vendor, within the fleet's limits. `pause` is `time.sleep`, `jitter` gives 0 to 1."""

    vendor: FetchesCustomers
    calling: Calling
    clock: Clock
    pause: Callable[[float], None]
    jitter: Callable[[], float]

    def of(self, group: Group, attributes: Sequence[str]) -> Iterator[Row]:
        """Every row, in the order of the vendor. Raises `RetryLater` or a `Park`; what it gave before holds."""
        position = failures = 0
        while True:
            try:
                for row in self._from(group, attributes, position):
                    position, failures = position + 1, 0
                    yield row
            except NoTurn:
                raise
            except RetryLater as error:
                failures += 1
                if isinstance(error, VendorThrottled):
                    self.calling.throttled(error)
                if group.api == "v2" or not self._may_go_on(group, failures, error):
                    raise
                log.warning("group.page_failed", group=group.group_id, position=position, error=str(error))
            else:
                return

    def _from(self, group: Group, attributes: Sequence[str], start: int) -> Iterator[Row]:
        def before_call() -> None:
            self.calling.wait_for_turn(group.hard_stop_at)

        if group.api == "v2":
            return self.vendor.fetch_customers_v2(group.vendor_id, attributes, before_call=before_call)
        return self.vendor.fetch_customers_v1(
            group.vendor_id, attributes, start=start, before_call=before_call
        )

    def _may_go_on(self, group: Group, failures: int, error: RetryLater) -> bool:
        """Wait, if there is time and sense in it."""
        backoff_s = min(_FIRST_PAUSE_S * 2 ** (failures - 1), _LONGEST_PAUSE_S)
        wait_s = max(backoff_s * (0.5 + self.jitter()), error.retry_after_s or 0.0)
        if failures > _MOST_FAILURES or wait_s >= (group.hard_stop_at - self.clock()).total_seconds():
            return False
        self.pause(wait_s)
        return True
