"""What does the end of a request to Optilyz mean for its batch? Pure: reply or error in, what the ledger records out.

| what happened | the batch |
|---|---|
| 2xx with one result for each letter | answered |
| any other 2xx; a reply longer than anybody reads | held: ambiguous |
| silence, a reset, half a reply, once sending began | held: it may have arrived |
| 502, 504, 520 to 530: a proxy says that it does not know what became of it | held: it may have arrived |
| no connection; no token; 429; any other 5xx; 401, 403; 408, 425 | ready again: certain not to be posted |
| 404, 405, 410 | held: the automation is not known, nothing is posted |
| 3xx, 409, 423 | held: refused as a whole, nothing is posted |
| any other 4xx | its only letter was refused; or split, so that one letter does not hold the others |

Errors hold nothing that the vendor wrote. What it wrote about a letter goes to the ledger alone.
"""

from http import HTTPStatus

from clearance.errors import (
    ClearanceError,
    VendorCredentialsRefused,
    VendorRefused,
    VendorThrottled,
    VendorUnavailable,
)
from clearance.http.exchange import Reply, ReplyTooLong
from clearance.ledger.mail_ends import (
    Answered,
    End,
    Failed,
    Held,
    NotSent,
    Posted,
    RefusedSingle,
    Split,
)
from clearance.mail_states import HeldReason
from clearance.optilyz.replies import AmbiguousReply, TakenLetter, load_results

# Said by what stands before the vendor's own server, which may have taken the request and answered too late.
# Source: RFC 9110, 15.6.3 and 15.6.5; 520 to 530 are Cloudflare's.
_PROXY_DOES_NOT_KNOW = frozenset({HTTPStatus.BAD_GATEWAY, HTTPStatus.GATEWAY_TIMEOUT, *range(520, 531)})
_NO_SUCH_PLACE = frozenset({HTTPStatus.NOT_FOUND, HTTPStatus.METHOD_NOT_ALLOWED, HTTPStatus.GONE})
# About the state of the automation, such as one that is paused: no letter is at fault, and halving would fail them all.
# Source: RFC 9110, 15.5.10; RFC 4918, 11.3.
_NOT_IN_THIS_STATE = frozenset({HTTPStatus.CONFLICT, HTTPStatus.LOCKED})
# The request did not come through, or too early: the letters are not at fault. Source: RFC 9110, 15.5.9; RFC 8470, 5.2.
_TRY_AGAIN = frozenset({HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_EARLY})


def end_of_reply(reply: Reply, letters: int) -> End:
    """What a 2xx means for a batch of so many letters."""
    try:
        answered = load_results(reply.body, letters)
    except AmbiguousReply as error:
        return Held(reason=HeldReason.AMBIGUOUS_REPLY, error=str(error), status=reply.status)
    results = tuple(
        Posted(vendor_id=each.vendor_id) if isinstance(each, TakenLetter) else Failed(message=each.message)
        for each in answered.results
    )
    return Answered(results=results, status=reply.status, vendor_request_id=answered.request_id)


def end_of_error(error: ClearanceError, letters: int) -> End:
    """What it means that there was no 2xx. `NotSent`: it is to be tried again."""
    match error:
        case ReplyTooLong():
            return Held(reason=HeldReason.AMBIGUOUS_REPLY, error=str(error), status=error.status)
        case VendorUnavailable():
            if error.may_have_arrived and (error.status is None or error.status in _PROXY_DOES_NOT_KNOW):
                return Held(reason=HeldReason.MAY_HAVE_ARRIVED, error=str(error), status=error.status)
            return NotSent(error=str(error), status=error.status)
        case VendorThrottled() | VendorCredentialsRefused():
            return NotSent(error=str(error), status=error.status)
        case VendorRefused():
            return _end_of_refusal(error, letters)
        case _:
            # Nothing else is raised by an exchange; whatever it is, nobody can say that nothing was sent.
            return Held(reason=HeldReason.MAY_HAVE_ARRIVED, error=type(error).__name__)


def _end_of_refusal(error: VendorRefused, letters: int) -> End:
    told, status = str(error), error.status
    if status in _TRY_AGAIN:
        return NotSent(error=told, status=status)
    if status in _NO_SUCH_PLACE:
        return Held(reason=HeldReason.AUTOMATION_UNKNOWN, error=told, status=status)
    if status < HTTPStatus.BAD_REQUEST or status in _NOT_IN_THIS_STATE:
        return Held(reason=HeldReason.REFUSED_AS_A_WHOLE, error=told, status=status)
    return Split(error=told, status=status) if letters > 1 else RefusedSingle(error=told, status=status)
