"""Bloomreach's calls: properties and events of customers, one by one or up to 50 at once, and its time.

A batch is 200 also when commands in it failed: its `results` are positional. Nulls stand for what is not there.
Source: facts sheet, "Bloomreach Tracking API v2"; public client exponea-python-sdk 0.2.0 (`system/time`, which may be a
command of a batch as well).
"""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from aiohttp import web
from aiohttp.typedefs import Handler

from clearance.sandbox.answers import RefusedError, load_object, reply
from clearance.sandbox.bloomreach_answers import BloomreachRefused, malformed, unauthorized
from clearance.sandbox.bloomreach_commands import CUSTOMERS, EVENTS, SYSTEM_TIME, load_command
from clearance.sandbox.bloomreach_record import BloomreachRecord
from clearance.sandbox.gate import Gate
from clearance.sandbox.limits import Group
from clearance.sandbox.times import Times

COMMANDS_MAX = 50
_BASE = "/track/v2/projects/{token}"
_TAKEN: dict[str, Any] = {"success": True, "errors": []}


class BloomreachApi:
    """Handlers of the calls. `current_record` is what commands are taken into."""

    def __init__(
        self, *, project_token: str, current_record: Callable[[], BloomreachRecord], times: Times
    ) -> None:
        self._project_token = project_token
        self._current_record = current_record
        self._times = times

    def routes(self, gate: Gate) -> list[web.RouteDef]:
        """The routes behind the gate."""
        return [
            web.post(f"{_BASE}/{CUSTOMERS}", self._counted(gate, self._one(CUSTOMERS))),
            web.post(f"{_BASE}/{EVENTS}", self._counted(gate, self._one(EVENTS))),
            web.post(f"{_BASE}/batch", self._counted(gate, self.take_batch)),
            web.get(f"{_BASE}/{SYSTEM_TIME}", self._counted(gate, self.get_time)),
        ]

    async def get_time(self, request: web.Request) -> web.Response:  # noqa: ARG002 - a handler's signature
        """The time in seconds."""
        return reply({"success": True, "time": self._now_s()})

    async def take_batch(self, request: web.Request) -> web.Response:
        """Up to 50 commands, each with a result at its position."""
        commands = (await _load(request)).get("commands")
        if not isinstance(commands, list) or not commands:
            raise malformed("commands: must be a list that is not empty")
        self._current_record().batch(len(commands))
        if len(commands) > COMMANDS_MAX:
            raise malformed(f"commands: at most {COMMANDS_MAX}")
        began_at_s = self._now_s()
        results = [self._result(command) for command in commands]
        return reply(
            {"success": True, "results": results, "start_time": began_at_s, "end_time": self._now_s()}
        )

    def _one(self, name: str) -> Callable[[web.Request], Awaitable[web.Response]]:
        async def take(request: web.Request) -> web.Response:
            self._take(name, await _load(request))
            return reply(_TAKEN)

        return take

    def _counted(self, gate: Gate, handler: Handler) -> Handler:
        async def in_project(request: web.Request) -> web.StreamResponse:
            if request.match_info["token"] != self._project_token:
                raise unauthorized("unknown project token")
            return await handler(request)

        guarded = gate.guard(Group.BLOOMREACH, in_project)

        async def handle(request: web.Request) -> web.StreamResponse:
            answer = await guarded(request)
            self._current_record().answered(answer.status)
            return answer

        return handle

    def _result(self, command: Any) -> dict[str, Any]:
        if not isinstance(command, dict):
            return {"success": False, "errors": ["must be an object"]}
        name, data = command.get("name"), command.get("data")
        if name == SYSTEM_TIME:
            return {"success": True, "time": self._now_s()}
        if name not in (CUSTOMERS, EVENTS):
            return {"success": False, "errors": ["name: unknown command"]}
        if not isinstance(data, dict):
            return {"success": False, "errors": {"data": ["missing"]}}
        try:
            self._take(name, data)
        except BloomreachRefused as refused:
            return {"success": False, "errors": refused.content}
        return _TAKEN

    def _take(self, name: str, data: Mapping[str, Any]) -> None:
        try:
            told = load_command(name, data)
        except RefusedError as refused:
            self._current_record().refuse(name, str(refused))
            raise
        self._current_record().take(told, now_s=self._now_s())

    def _now_s(self) -> float:
        return self._times.wall_ms() / 1000


async def _load(request: web.Request) -> dict[str, object]:
    try:
        return load_object(await request.read())
    except RefusedError as refused:
        raise malformed(str(refused)) from None
