"""What a caller of the relay is answered. Content is never answered with anything but 200.

400, 404, 410, 412, 413 and 418 would stop Bloomreach's webhook from sending any further request; so what is wrong with
a request, or with a recipient, is said in the body. 401 and 503 are for what a repeat, or a person, can mend.

Of many: `results`, by position. What was taken has an `id`, and `"duplicate": true` if it was taken before; what was
not has an `error` with a `message` and the `fields` that are wrong. Of one: `success` says which, with the `id`, also
as Bloomreach's `result`, or the `errors`.

`queued` counts the recipients with an id, `ignored` the others. `leftOut` names fields that Optilyz does not know.
Source: facts sheet, "Bloomreach as the caller".
"""

from enum import IntEnum
from http import HTTPStatus
from typing import Any

from starlette.responses import Response

from clearance.errors import Reject
from clearance.ingest import answers, relay_keys
from clearance.ingest.relay import Order
from clearance.ledger.mail_intake import TakenAs, TakenLetter, TakenRequest
from clearance.optilyz.recipients import ReadRecipient, RefusedRecipient

SUPPRESSED = "the address was refused earlier, or by an operator, and is not posted to until it changes"


class Code(IntEnum):
    """The codes of `errors`; Bloomreach shows them beside their description."""

    UNREADABLE = 1001
    TOO_LARGE = 1002
    WRONG_SHAPE = 1003
    INVALID = 1004
    SUPPRESSED = 1005
    AUTOMATION = 1006
    CREDENTIALS = 1007
    UNAVAILABLE = 1008


_CODE_BY_REASON = {
    "too_large": Code.TOO_LARGE,
    "too_many": Code.TOO_LARGE,
    "wrong_shape": Code.WRONG_SHAPE,
    "automation": Code.AUTOMATION,
    # Mostly its id was left out.
    "path": Code.AUTOMATION,
    relay_keys.REASON: Code.CREDENTIALS,
}


def many(order: Order, taken: TakenRequest) -> Response:
    """200: what became of each recipient, by position."""
    results = [_result(read, letter) for read, letter in zip(order.read, taken.letters, strict=True)]
    queued = sum("id" in result for result in results)
    content = {
        "success": True,
        "requestId": order.new.request_id,
        "queued": queued,
        "ignored": len(results) - queued,
        "results": results,
    }
    return answers.as_json(HTTPStatus.OK, content | _dry_run(order))


def one(order: Order, taken: TakenRequest) -> Response:
    """200: what became of the one recipient."""
    read = order.read[0]
    result = _result(read, taken.letters[0])
    told: dict[str, Any] = {"requestId": order.new.request_id} | _dry_run(order)
    if "id" in result:
        told |= {"success": True, "id": result["id"], "result": result}
    elif isinstance(read, RefusedRecipient):
        fields = dict(read.messages_by_field)
        told |= {"success": False, "errors": _errors(Code.INVALID, *read.messages), "fields": fields}
    else:
        told |= {"success": False, "errors": _errors(Code.SUPPRESSED, SUPPRESSED)}
    return answers.as_json(HTTPStatus.OK, told)


def refused(reject: Reject) -> Response:
    """200, or 401: nothing of the request was taken."""
    code = _CODE_BY_REASON.get(reject.reason, Code.UNREADABLE)
    headers = answers.ASK_FOR_NAME if reject.status is HTTPStatus.UNAUTHORIZED else None
    return answers.as_json(reject.status, {"success": False, "errors": _errors(code, str(reject))}, headers)


def unavailable() -> Response:
    """503: nothing was taken, as far as we know; what was all the same is recognised when it comes again."""
    content = {"success": False, "errors": _errors(Code.UNAVAILABLE, "come again")}
    return answers.as_json(HTTPStatus.SERVICE_UNAVAILABLE, content, answers.COME_AGAIN)


def _result(read: ReadRecipient | RefusedRecipient, letter: TakenLetter) -> dict[str, Any]:
    if isinstance(read, RefusedRecipient):
        return {"error": {"message": read.message, "fields": dict(read.messages_by_field)}}
    if letter.taken_as is TakenAs.SUPPRESSED:
        return {"error": {"message": SUPPRESSED}}
    result: dict[str, Any] = {"id": letter.recipient_id}
    if letter.taken_as is TakenAs.DUPLICATE:
        result["duplicate"] = True
    if read.left_out:
        result["leftOut"] = list(read.left_out)
    return result


def _errors(code: Code, *descriptions: str) -> list[dict[str, Any]]:
    return [{"code": code, "description": description} for description in descriptions]


def _dry_run(order: Order) -> dict[str, bool]:
    return {"dryRun": True} if order.new.is_dry_run else {}
