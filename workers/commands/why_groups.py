"""How `clearance why` tells of the group that a customer was decided in: which, and what became of his chunk."""

from clearance.ledger.group_facts import ChunkState
from clearance.ledger.why_facts import InGroup, NoCall, Owed
from workers.commands.countdown import exact, iso

_REASON_BY_NO_CALL = {
    NoCall.REFUSED_IN_V1: "a V1 campaign is told of the approved only",
    NoCall.TOLD_BEFORE: "the vendor had his answer from the time before",
}
_LATER_BY_STATE = {
    None: "what became of his chunk is not known any more",
    ChunkState.FETCHED: "his chunk is not decided yet",
    ChunkState.DECIDED: "his chunk is decided, and not submitted yet",
    ChunkState.MISSED: "his chunk was not submitted in time",
    ChunkState.CANCELLED: "his chunk was not submitted: the group was taken back, or came again",
}


def place_of(in_group: InGroup) -> str:
    """Which revision and chunk."""
    chunk = "" if in_group.chunk is None else f", chunk {in_group.chunk}"
    return f"revision {in_group.revision}{chunk}"


def chunk_line(in_group: InGroup) -> str:
    """What became of the chunk that he came in."""
    if in_group.submitted_at is None:
        return f"{_LATER_BY_STATE[in_group.chunk_state]}; deadline {exact(in_group.deadline_at)} UTC"
    left_s = (in_group.deadline_at - in_group.submitted_at).total_seconds()
    side = "before" if left_s >= 0 else "after"
    without = f"; {_REASON_BY_NO_CALL[in_group.no_call]}" if in_group.no_call else ""
    margin = f"{abs(left_s):.3f} s {side} the deadline"
    return f"his chunk was submitted {exact(in_group.submitted_at)} UTC, {margin}{without}"


def step_of(owed: Owed) -> str:
    """`review` or `submit`: the last part of its task's name begins its id."""
    return owed.obligation_id.partition(":")[0].rpartition(".")[2]


def group_facts(in_group: InGroup) -> dict[str, object]:
    """The group, for scripts."""
    group = in_group.group
    return {
        "group_id": group.group_id,
        "api": group.api,
        "state": group.state.value,
        "order": group.order,
        "total_groups": group.total_groups,
        "revision": in_group.revision,
        "generation": in_group.generation,
        "cause": in_group.cause.value,
        "ended_as": in_group.ended_as.value if in_group.ended_as else None,
        "chunk": in_group.chunk,
        "chunk_state": in_group.chunk_state.value if in_group.chunk_state else None,
        "submitted_at": iso(in_group.submitted_at),
        "no_call": in_group.no_call.value if in_group.no_call else None,
    }
