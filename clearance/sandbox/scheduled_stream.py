"""How do a million customers get out? Block by block, as fast as they are read, whole or cut off in the middle.

A reply that fails on purpose closes the connection amid a row, or ends as if it were whole when that is asked for. The
draw is seeded by the group, so a repeated run fails at the same places.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator

from aiohttp import web

from clearance.sandbox.answers import JSON
from clearance.sandbox.generated_customers import Rows
from clearance.sandbox.scheduled_groups import Group
from clearance.sandbox.scheduled_plan import StreamFaults

# Ten pieces a second look like a slow line, not like pauses.
_PIECES_PER_S = 10


def respond(
    request: web.Request, group: Group, rows: Rows, *, sleep: Callable[[float], Awaitable[None]]
) -> web.Response:
    """A reply with `rows`. Nothing is rendered before it is written: what the gate throws away costs nothing."""
    group.fetches.begun += 1
    return web.Response(body=_write(request, group, rows, _draw_cut(group), sleep), content_type=JSON)


async def _write(
    request: web.Request,
    group: Group,
    rows: Rows,
    cut: float | None,
    sleep: Callable[[float], Awaitable[None]],
) -> AsyncIterator[bytes]:
    faults = group.faults
    for block in rows.blocks() if cut is None else _cut(rows, cut):
        async for piece in _slow(block, faults, sleep):
            yield piece
        # A reader that is always ready must not keep all others waiting.
        await asyncio.sleep(0)
    if cut is None:
        group.fetches.completed += 1
        group.fetches.rows += rows.count
        return
    group.fetches.cut += 1
    if not faults.is_clean and request.transport is not None:
        request.transport.close()


def _draw_cut(group: Group) -> float | None:
    """Where the reply is cut, as a share of its blocks; None: nowhere."""
    faults = group.faults
    # Two draws whatever the faults, so that a change of them does not move the later ones.
    point, place = group.stream_rng.random(), group.stream_rng.random()
    if group.fetches.begun > faults.truncate_first and point >= faults.truncate:
        return None
    return place if faults.truncate_at is None else faults.truncate_at


async def _slow(
    block: bytes, faults: StreamFaults, sleep: Callable[[float], Awaitable[None]]
) -> AsyncIterator[bytes]:
    if faults.bytes_per_s is None:
        yield block
        return
    size = max(faults.bytes_per_s // _PIECES_PER_S, 1)
    for start in range(0, len(block), size):
        piece = block[start : start + size]
        await sleep(len(piece) / faults.bytes_per_s)
        yield piece


def _cut(rows: Rows, cut: float) -> Iterator[bytes]:
    whole, part = divmod(cut * rows.block_count, 1)
    for number, block in enumerate(rows.blocks()):
        if number < whole and number + 1 < rows.block_count:
            yield block
            continue
        # Never the last byte, which would make it whole.
        share = part if number == whole else 1.0
        yield block[: min(int(len(block) * share), len(block) - 1)]
        return
