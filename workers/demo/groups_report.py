"""Which promises about send groups did a demo keep, and in which figures? Pure, like the rest of the report."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

from workers.demo.groups import PlayedGroup
from workers.demo.promise import Promise

# What must not happen to any customer of a group.
_NEVER = ("unanswered", "late", "twice", "reversed", "late_calls")


def judge_groups(groups: Sequence[PlayedGroup]) -> list[Promise]:
    """Every promise about groups, the last of which was moved; kept or not."""
    return [_answered(groups), _moved_waited(groups[-1])]


def group_figures(group: PlayedGroup) -> dict[str, Any]:
    """What became of one group."""
    names = ("customers", "approved", "rejected", "unanswered", "late", "calls", "moved")
    return {name: group.summary[name] for name in names} | {"margin_s": round(_margin_s(group), 1)}


def _answered(groups: Sequence[PlayedGroup]) -> Promise:
    sums = Counter[str]()
    for group in groups:
        sums.update(
            {name: int(group.summary[name]) for name in ("customers", "approved", "rejected", *_NEVER)}
        )
        sums["wrong"] += group.wrong
    answered = sums["approved"] + sums["rejected"]
    return Promise(
        name="every customer of the send groups was answered once, before the deadline, as the rules say",
        held=0 < sums["customers"] == answered and sums["wrong"] == sum(sums[name] for name in _NEVER) == 0,
        measured=f"{answered} of {sums['customers']} customers, {sums['wrong']} otherwise than the rules say, "
        + ", ".join(f"{sums[name]} {name.replace('_', ' ')}" for name in _NEVER),
    )


def _moved_waited(group: PlayedGroup) -> Promise:
    announced, *_, moved = group.summary["heads_ups"]
    return Promise(
        name="the send group whose deadline was moved was answered at its new time, and not before",
        held=group.summary["moved"] == 1 and announced["calls"] == 0 < moved["calls"],
        measured=f"{announced['calls']} calls for the first deadline, {moved['calls']} for the second, "
        f"the last {_margin_s(group):.1f} s before it",
    )


def _margin_s(group: PlayedGroup) -> float:
    """What was left before the deadline at the last call that was in time; 0 without one."""
    return -(group.summary["last_call_in_time_ms"] or 0) / 1000
