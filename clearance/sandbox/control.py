"""How is the sandbox told what to do? `/sandbox/...`: faults, limits, plays, the report.

These calls are no vendor's: they need no credentials and have no limit, because only this machine can reach them.
"""

import asyncio
from http import HTTPStatus
from typing import Any

from aiohttp import web
from marshmallow import Schema, fields, post_load, validate

from clearance.sandbox import report
from clearance.sandbox.answers import RefusedError, answering, load_with, reply
from clearance.sandbox.credentials import Credentials
from clearance.sandbox.faults import FaultPlan, Faults, FaultSchema
from clearance.sandbox.limits import Group, Limit, SlidingWindows
from clearance.sandbox.mail import Mail
from clearance.sandbox.plan import Play, PlaySchema
from clearance.sandbox.promotions import PromotionSystem
from clearance.sandbox.record import Record
from clearance.sandbox.scheduled import Scheduled
from clearance.sandbox.times import Times
from clearance.sandbox.traffic import Player, Run
from clearance.sandbox.triggered import Tenant

RUNS_AT_ONCE = 4
ROWS_KEPT = 5_000_000
# About 60 MB of JSON.
DETAILS_MAX = 100_000


class _LimitSchema(Schema):
    group = fields.Enum(Group, by_value=True, required=True)
    requests = fields.Integer(
        strict=True, required=True, allow_none=True, validate=validate.Range(1, 1_000_000)
    )
    window_s = fields.Float(load_default=10.0, validate=validate.Range(0, 3600, min_inclusive=False))

    @post_load
    def make(self, data: dict[str, Any], **_: object) -> tuple[Group, Limit | None]:
        """A group and its limit; `requests` null is unlimited."""
        limit = None
        if data["requests"] is not None:
            limit = Limit(requests=data["requests"], window_s=data["window_s"])
        return data["group"], limit


class Control:
    """Handlers of `/sandbox/...`; owns the record and the runs."""

    def __init__(
        self,
        *,
        tenant: Tenant,
        credentials: Credentials,
        faults: Faults,
        windows: SlidingWindows,
        promotions: PromotionSystem,
        scheduled: Scheduled,
        mail: Mail,
        player: Player,
        times: Times,
    ) -> None:
        self.record = Record()
        self._tenant = tenant
        self._credentials = credentials
        self._faults = faults
        self._windows = windows
        self._promotions = promotions
        self._scheduled = scheduled
        self._mail = mail
        self._player = player
        self._times = times
        self._run_by_id: dict[str, Run] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def routes(self) -> list[web.RouteDef]:
        """The control's routes."""
        return [
            web.get("/sandbox/faults", self.get_faults),
            web.put("/sandbox/faults", answering(self.put_faults)),
            web.delete("/sandbox/faults", self.delete_faults),
            web.get("/sandbox/limits", self.get_limits),
            web.put("/sandbox/limits", answering(self.put_limits)),
            web.post("/sandbox/triggered/play", answering(self.play)),
            web.get("/sandbox/play/{run}", answering(self.get_run)),
            web.get("/sandbox/report", answering(self.get_report)),
            web.post("/sandbox/reset", self.reset),
            web.get("/healthz", _healthz),
        ]

    async def stop(self) -> None:
        """Stop all runs and wait until nothing of them is left."""
        await self._scheduled.stop()
        tasks = [*self._tasks, *(task for run in self._run_by_id.values() for task in run.in_flight)]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def get_faults(self, request: web.Request) -> web.Response:  # noqa: ARG002 - a handler's signature
        """The plans in force and what they have done."""
        return reply({"faults": self._faults.plans(), "injected": self._faults.injected()})

    async def put_faults(self, request: web.Request) -> web.Response:
        """Put a group's faults in force instead of its former ones."""
        self._faults.put(load_with(FaultSchema(), await request.read(), FaultPlan))
        return await self.get_faults(request)

    async def delete_faults(self, request: web.Request) -> web.Response:
        """Inject nothing more."""
        self._faults.clear()
        return await self.get_faults(request)

    async def get_limits(self, request: web.Request) -> web.Response:  # noqa: ARG002 - a handler's signature
        """The limits in force by group; null is unlimited."""
        return reply({"limits": self._windows.limit_by_group})

    async def put_limits(self, request: web.Request) -> web.Response:
        """Put a group's limit in force."""
        group, limit = load_with(_LimitSchema(), await request.read(), tuple)
        self._windows.put(group, limit)
        return await self.get_limits(request)

    async def play(self, request: web.Request) -> web.Response:
        """Start a run: 202 with its id."""
        play = load_with(PlaySchema(), await request.read(), Play)
        targets = tuple(self._tenant.webhook_by_id.values()) if play.targets is None else play.targets
        if not targets:
            raise RefusedError("invalid", errors={"targets": ["no webhook is registered: name a target"]})
        if len(self._tasks) >= RUNS_AT_ONCE or len(self.record) + play.count > ROWS_KEPT:
            raise RefusedError("too much is running or kept: POST /sandbox/reset", status=HTTPStatus.CONFLICT)
        run = Run(
            play=play,
            targets=targets,
            window_ms=self._tenant.timeout_ms if play.window_ms is None else play.window_ms,
            secret=self._tenant.secret,
            record=self.record,
        )
        self._run_by_id[run.run_id] = run
        task = asyncio.create_task(self._player.play(run))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return reply({"run": run.run_id}, HTTPStatus.ACCEPTED)

    async def get_run(self, request: web.Request) -> web.Response:
        """How far a run is."""
        run = self._run_by_id.get(request.match_info["run"])
        if run is None:
            raise RefusedError("no such run", status=HTTPStatus.NOT_FOUND)
        return reply(
            {
                "run": run.run_id,
                "state": run.state,
                "count": run.play.count,
                "sent": run.sent,
                "in_flight": len(run.in_flight),
            }
        )

    async def get_report(self, request: web.Request) -> web.Response:
        """The report; `?detail=1` adds every notification."""
        summary = report.summarise(
            self.record,
            now_ms=self._times.wall_ms(),
            refused_keys=self._credentials.refused,
            injected=self._faults.injected(),
            promotions=self._promotions.counts(),
        )
        summary |= self._scheduled.report() | self._mail.report()
        if request.query.get("detail") == "1":
            if len(self.record) > DETAILS_MAX:
                raise RefusedError(f"details are given for at most {DETAILS_MAX} notifications")
            summary["notifications"] = list(report.details(self.record))
        return reply(summary)

    async def reset(self, request: web.Request) -> web.Response:  # noqa: ARG002 - a handler's signature
        """Stop all runs and forget them, groups, letters, the record, the faults, the windows and the activations.

        Webhooks, settings and limits stay.
        """
        await self.stop()
        self.record = Record()
        self._run_by_id.clear()
        self._faults.reset()
        self._windows.clear()
        self._promotions.reset()
        self._scheduled.reset()
        self._mail.reset()
        self._credentials.refused = 0
        return reply({"reset": True})


async def _healthz(request: web.Request) -> web.Response:  # noqa: ARG001 - a handler's signature
    return reply({"status": "ok"})
