"""How the domain says what takes time: spans, under the one id that follows a notification; a port, off by default.

In: names and facts of our own. Out: whatever `use` was given makes of them; without it, nothing, for less than a
microsecond. A fact is a lane, a task, a number: never a customer, an address or a vendor's text.
"""

from contextlib import AbstractContextManager, nullcontext
from typing import Protocol

Fact = str | int

_NOTHING: AbstractContextManager[None] = nullcontext()


class Spans(Protocol):
    """Records what took how long. Safe from any thread."""

    def span(
        self, name: str, trace_id: str, *, is_first: bool, facts: dict[str, Fact]
    ) -> AbstractContextManager[None]:
        """Until the end of the block. Without a `trace_id`: inside the span that this thread is in, if it is in one."""


class _Process:
    """What this process records with: one for all, as logs are, because what is measured is everywhere."""

    spans: Spans | None = None


def use(spans: Spans | None) -> None:
    """From now on spans go there."""
    _Process.spans = spans


def span(
    name: str, trace_id: str = "", /, *, is_first: bool = False, **facts: Fact
) -> AbstractContextManager[None]:
    """What happens in this block is one span of the trace `trace_id`; `is_first`: the one that all others hang from."""
    if _Process.spans is None:
        return _NOTHING
    return _Process.spans.span(name, trace_id, is_first=is_first, facts=facts)
