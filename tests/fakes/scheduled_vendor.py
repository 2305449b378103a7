"""An Optimove of the scheduled APIs: gives a group's customers as a test says, and takes its answers as a test says."""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from clearance.decisions.decision import Customer
from clearance.optimove.customer_stream import MalformedRow
from tests.fakes.clock import ManualClock
from tests.fakes.vendor import Taken

Row = Customer | MalformedRow


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """One submission as it was sent. `answers` are by customer; of V1, `False` is an approval that is taken back."""

    api: str
    vendor_id: str
    answers: dict[str, bool]
    at: datetime
    timeout_s: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Fetched:
    """One fetch as it was asked for."""

    api: str
    vendor_id: str
    attributes: tuple[str, ...]
    start: int = 0


def named(*names: str, **attributes: object) -> list[Row]:
    """Customers called so."""
    return [Customer(customer_id=name, attributes=attributes) for name in names]


class FakeScheduledVendor:
    """Gives `rows` to every fetch, and `answers` in turn to submissions: an error is raised; used up, they are 200.

    `breaks` are for the fetches in turn: after so many rows comes the error. `on_row` is called before each row with
    its position, `on_call` within each submission; `takes_s` is how far the clock moves with one.
    """

    def __init__(self, clock: ManualClock) -> None:
        self._clock = clock
        self.rows: list[Row] = []
        self.breaks: deque[tuple[int, Exception]] = deque()
        self.on_row: Callable[[int], object] = lambda _position: None
        self.fetches: list[Fetched] = []
        self.answers: deque[object] = deque()
        self.takes_s = 0.0
        self.on_call: Callable[[], object] = lambda: None
        self.told: list[Told] = []

    def fetch_customers_v2(
        self, group_id: str, attributes: Sequence[str], *, before_call: Callable[[], None] | None = None
    ) -> Iterator[Row]:
        return self._fetch("v2", group_id, attributes, before_call)

    def fetch_customers_v1(
        self,
        campaign_id: str,
        attributes: Sequence[str],
        *,
        start: int = 0,
        before_call: Callable[[], None] | None = None,
    ) -> Iterator[Row]:
        return self._fetch("v1", campaign_id, attributes, before_call, start)

    def submit_v2(
        self, group_id: str, answers: Sequence[tuple[str, bool]], *, timeout_s: float | None = None
    ) -> Taken:
        return self._take("v2", group_id, answers, timeout_s)

    def submit_v1(
        self,
        campaign_id: str,
        approved: Sequence[str],
        at: datetime,
        *,
        withdrawn: Sequence[str] = (),
        timeout_s: float | None = None,
    ) -> Taken:
        assert at == self._clock(), "a V1 call says when it was made"
        answers = [*((each, True) for each in approved), *((each, False) for each in withdrawn)]
        return self._take("v1", campaign_id, answers, timeout_s)

    def _fetch(
        self,
        api: str,
        vendor_id: str,
        attributes: Sequence[str],
        before_call: Callable[[], None] | None,
        start: int = 0,
    ) -> Iterator[Row]:
        self.fetches.append(Fetched(api=api, vendor_id=vendor_id, attributes=tuple(attributes), start=start))
        if before_call:
            before_call()
        rows_left, error = self.breaks.popleft() if self.breaks else (len(self.rows), None)
        for position, row in enumerate(self.rows[start : start + rows_left], start):
            self.on_row(position)
            yield row
        if error is not None:
            raise error

    def _take(
        self, api: str, vendor_id: str, answers: Sequence[tuple[str, bool]], timeout_s: float | None
    ) -> Taken:
        assert answers, "a call without customers is an error to the vendor"
        assert len(dict(answers)) == len(answers), "a customer is told once a call"
        told = Told(
            api=api, vendor_id=vendor_id, answers=dict(answers), at=self._clock(), timeout_s=timeout_s
        )
        self.told.append(told)
        self.on_call()
        self._clock.advance(self.takes_s)
        answer = self.answers.popleft() if self.answers else Taken(200)
        if isinstance(answer, Exception):
            raise answer
        assert isinstance(answer, Taken)
        return answer
