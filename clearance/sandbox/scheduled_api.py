"""The scheduled API, V2: the customers of a send group, and their approvals.

Paths are accepted with and without `/current`, in any letter case, with and without a trailing slash.
Source: vendor page, "Conditional Execution V2 for Scheduled Campaigns", steps 2 and 3; facts sheet, "path forms" and
"Not known" ($top and $skip are offered; at most 10,000 approvals a call are taken).
"""

from http import HTTPStatus

from aiohttp import web

from clearance.sandbox.answers import RefusedError, load_json
from clearance.sandbox.gate import Gate
from clearance.sandbox.limits import Group as ApiGroup
from clearance.sandbox.paging import load_number
from clearance.sandbox.scheduled_groups import Groups
from clearance.sandbox.scheduled_stream import respond
from clearance.sandbox.times import Times

APPROVALS_MAX = 10_000
ATTRIBUTES_MAX = 100
_BASE = "/{base:(?i:(current/)?v2/conditional-execution/scheduled/send-groups)}/{id}"


class ScheduledApi:
    """Handlers of the V2 calls. Approvals are taken by this clock, on arrival."""

    def __init__(self, *, groups: Groups, times: Times) -> None:
        self._groups = groups
        self._times = times

    def routes(self, gate: Gate) -> list[web.RouteDef]:
        """The API's routes behind the gate."""
        return [
            web.get(
                _BASE + "/{call:(?i:customers)/?}",
                gate.guard(ApiGroup.SCHEDULED_CUSTOMERS, self.get_customers),
            ),
            web.post(
                _BASE + "/{call:(?i:approvals)/?}", gate.guard(ApiGroup.SCHEDULED_APPROVALS, self.approve)
            ),
        ]

    async def get_customers(self, request: web.Request) -> web.Response:
        """Get Customers in Send Group: 200, a stream."""
        group = self._groups.get(request.match_info["id"])
        names = split(request.query.get("attributes", ""), ",")
        top = load_number(request, "$top")
        rows = group.customers.send_group_rows(names, skip=load_number(request, "$skip") or 0, top=top)
        return respond(request, group, rows, sleep=self._times.sleep)

    async def approve(self, request: web.Request) -> web.Response:
        """Update Customer Status in Send Group: 202, also for what is late or unknown."""
        body = await request.read()
        read_at_ms = self._times.wall_ms()
        group = self._groups.get(request.match_info["id"])
        given = load_answers(load_json(body), "customer_id", "is_approved")
        group.take(given, read_at_ms=read_at_ms)
        return web.Response(status=HTTPStatus.ACCEPTED)


def split(text: str, separator: str) -> list[str]:
    """Names of attributes, in the order asked.

    Raises:
        RefusedError: Too many; answer with it.
    """
    names = [name.strip() for name in text.split(separator) if name.strip()]
    if len(names) > ATTRIBUTES_MAX:
        raise RefusedError(f"at most {ATTRIBUTES_MAX} attributes")
    return names


def load_answers(sent: object, id_key: str, answer_key: str) -> list[tuple[str, bool]]:
    """Ids and answers. All or nothing: one that cannot be read refuses the call.

    By hand, not by a schema: a group of a million is a hundred of these, between which everybody else waits.

    Raises:
        RefusedError: Not a list, too long, or an entry is wrong; answer with it.
    """
    if not isinstance(sent, list):
        raise RefusedError("not a list of customers")
    if len(sent) > APPROVALS_MAX:
        raise RefusedError(f"at most {APPROVALS_MAX} customers a call, not {len(sent)}")
    given = []
    for number, entry in enumerate(sent):
        try:
            customer_id, is_approved = entry[id_key], entry[answer_key]
        except (KeyError, TypeError):
            customer_id = is_approved = None
        if type(customer_id) is not str or not customer_id or type(is_approved) is not bool:
            problem = f"{id_key} must be a text that is not empty, {answer_key} true or false"
            raise RefusedError("invalid", errors={str(number): [problem]})
        given.append((customer_id, is_approved))
    return given
