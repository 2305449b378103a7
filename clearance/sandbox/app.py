"""What is a sandbox made of? The wiring, and nothing else."""

from collections.abc import AsyncIterator

from aiohttp import web

from clearance.sandbox.control import Control
from clearance.sandbox.credentials import Credentials
from clearance.sandbox.faults import Faults
from clearance.sandbox.gate import Gate
from clearance.sandbox.legacy import LegacyApi, dispatch
from clearance.sandbox.limits import SlidingWindows
from clearance.sandbox.mail import Mail
from clearance.sandbox.options import SandboxOptions
from clearance.sandbox.promotions import PromotionSystem
from clearance.sandbox.scheduled import Scheduled
from clearance.sandbox.scheduled_telling import Teller
from clearance.sandbox.sender import Sender
from clearance.sandbox.times import Times
from clearance.sandbox.traffic import Player
from clearance.sandbox.triggered import Tenant, TriggeredApi

# Room for a call with 10,000 customers, the most that the vendor takes.
BODY_MAX_BYTES = 4 * 1024 * 1024


def create_app(options: SandboxOptions, times: Times | None = None) -> web.Application:
    """A sandbox with a state of its own, all of it in memory."""
    times = times or Times()
    credentials = Credentials(
        api_key=options.api_key,
        username=options.username,
        password=options.password,
        monotonic_s=times.monotonic_s,
    )
    windows, faults = SlidingWindows(options.limits, times.monotonic_s), Faults()
    gate = Gate(credentials=credentials, windows=windows, faults=faults, times=times)
    tenant, sender = Tenant(options.secret), Sender()
    promotions = PromotionSystem(options.promotions_authorization)
    mail = Mail(api_key=options.api_key, windows=windows, faults=faults, times=times)
    legacy = LegacyApi(credentials=credentials, times=times)
    scheduled = Scheduled(
        teller=Teller(sender.post, times), url_by_event_type=legacy.url_by_event_type, times=times
    )
    control = Control(
        tenant=tenant,
        credentials=credentials,
        faults=faults,
        windows=windows,
        promotions=promotions,
        scheduled=scheduled,
        mail=mail,
        player=Player(sender.post, times),
        times=times,
    )
    triggered = TriggeredApi(tenant=tenant, current_record=lambda: control.record, times=times)

    async def run_sender(_: web.Application) -> AsyncIterator[None]:
        await sender.open()
        yield
        await control.stop()
        await sender.close()

    app = web.Application(client_max_size=BODY_MAX_BYTES)
    app.cleanup_ctx.append(run_sender)
    app.add_routes(control.routes())
    app.add_routes(triggered.routes(gate))
    app.add_routes(promotions.routes(gate))
    app.add_routes(scheduled.routes(gate))
    app.add_routes(mail.routes())
    handler_by_call = legacy.handler_by_call(gate) | scheduled.handler_by_call(gate)
    # Last, because it takes every path that nothing above has taken.
    app.router.add_route("*", "/{path:.*}", dispatch(handler_by_call))
    return app
