"""Which queues there are and how each is worked: one queue and one worker class a lane.

A queue is consumed by one class only, because each class has its own `unacked_*` keys and visibility timeout in Redis:
the shortest one in a shared index would win for all. Source: docs/adr/0004, facts measured on kombu 5.7.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class LaneQueue:
    """How one lane is worked.

    Attributes:
        pool: Celery's pool: `threads` where work waits for others, `prefork` where it uses the CPU.
        visibility_timeout_s: After this Redis delivers again a message whose worker is gone. Longer than the longest
            run of a task; the ledger's leases, not this, decide who works. None: never, because the guardian is there
            sooner, and keeping every delivery in Redis costs a fifth of a worker (docs/adr/0003).
        stop_grace_s: How long a stopping worker may take to finish what it has begun.
    """

    lane: str
    pool: str
    visibility_timeout_s: int | None
    stop_grace_s: int

    @property
    def queue(self) -> str:
        """The queue's name on the broker."""
        return f"clearance.{self.lane}"


LANE_QUEUES = (
    LaneQueue(lane="triggered", pool="threads", visibility_timeout_s=None, stop_grace_s=15),
    LaneQueue(lane="review", pool="prefork", visibility_timeout_s=120, stop_grace_s=60),
    LaneQueue(lane="submit", pool="threads", visibility_timeout_s=300, stop_grace_s=60),
    LaneQueue(lane="mail", pool="threads", visibility_timeout_s=120, stop_grace_s=60),
    LaneQueue(lane="track", pool="threads", visibility_timeout_s=120, stop_grace_s=60),
)
QUEUE_BY_LANE = {item.lane: item for item in LANE_QUEUES}
