"""A broker that keeps what it is given, or fails as a test says: `clearance.publishing.Publish`."""

from collections.abc import Sequence

from clearance.errors import BrokerUnavailable
from clearance.obligations import Due


class FakePublish:
    """`batches` is what was asked for, in order; with `is_away`, none of it arrives and the caller is told."""

    def __init__(self) -> None:
        self.batches: list[list[Due]] = []
        self.is_away = False

    def __call__(self, batch: Sequence[Due]) -> None:
        self.batches.append(list(batch))
        if self.is_away:
            raise BrokerUnavailable("broker: ConnectionError")

    @property
    def ids(self) -> list[list[str]]:
        """The obligations of each batch."""
        return [[due.obligation_id for due in batch] for batch in self.batches]
