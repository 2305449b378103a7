"""Send groups in a demo: two are announced, one of them moved, and each is answered inside the run.

In: the sandbox's control. Out: what the sandbox counted for each, and whether each customer was answered by the rules.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Protocol

from workers.demo.expected import is_customer_asked_about, is_customer_right

_PAGE = 10_000


class Sandbox(Protocol):
    """A call of the sandbox's control, which must succeed."""

    def __call__(self, method: str, path: str, body: dict[str, object] | None = None) -> dict[str, Any]:
        """What it answered."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PlayedGroup:
    """One group when its deadline is over.

    Attributes:
        summary: What the sandbox counted.
        wrong: Customers whose answer is not what the rules say.
        asked_about: Customers whom the promotion service has a say in.
    """

    group_id: str
    summary: dict[str, Any]
    wrong: int
    asked_about: int


class Groups:
    """The groups of one demo: a small one, and a large one whose deadline is moved away on the way."""

    def __init__(self, sandbox: Sandbox) -> None:
        self._sandbox = sandbox
        self._ids: list[int] = []
        self._moved = False

    def announce(self) -> None:
        """Send the heads-ups."""
        self._announce(customers=2_500, window_s=14, tags=["bonus"], order=1)
        self._announce(customers=25_000, window_s=11, tags=["news"], order=2)

    def move(self) -> None:
        """Give the large group five seconds more, once."""
        if not self._moved:
            self._moved = True
            self._sandbox("POST", f"/sandbox/send-groups/{self._ids[-1]}/move", {"window_s": 16})

    def are_over(self) -> bool:
        """Whether every deadline is over."""
        groups = self._sandbox("GET", "/sandbox/report")["send_groups"]
        return all(groups[str(group_id)]["state"] == "closed" for group_id in self._ids)

    def results(self) -> tuple[PlayedGroup, ...]:
        """What became of each."""
        summaries = self._sandbox("GET", "/sandbox/report")["send_groups"]
        return tuple(self._result(group_id, summaries[str(group_id)]) for group_id in self._ids)

    def _result(self, group_id: int, summary: dict[str, Any]) -> PlayedGroup:
        has_bonus, wrong, asked_about = group_id == self._ids[0], 0, 0
        for each in self._customers(group_id):
            wrong += not is_customer_right(each, has_bonus=has_bonus)
            asked_about += is_customer_asked_about(each, has_bonus=has_bonus)
        return PlayedGroup(group_id=str(group_id), summary=summary, wrong=wrong, asked_about=asked_about)

    def _announce(self, **plan: object) -> None:
        told = {"occurrence_id": 7001, "series_id": 4200, "total_groups": 2, "seed": 5} | plan
        self._ids.append(self._sandbox("POST", "/sandbox/send-groups", told)["id"])

    def _customers(self, group_id: int) -> Iterator[dict[str, Any]]:
        offset = 0
        while True:
            path = f"/sandbox/send-groups/{group_id}/answers?offset={offset}&limit={_PAGE}&attributes=1"
            page = self._sandbox("GET", path)["answers"]
            if not page:
                return
            yield from page
            offset += len(page)
