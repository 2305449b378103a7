"""What a request to the relay asks for: its recipients are read one by one, and become what the ledger is to keep.

In: a body, the automation's id from the path, whether the caller wants a dry run. Out: an `Order`. One recipient that
is wrong costs the others nothing; only a request of which no recipient can be told from another is refused as a whole.
Source: facts sheet, "Optilyz": the bodies of one and of many; "1,000 addresses a POST".
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from http import HTTPStatus
from typing import Any

import orjson

from clearance.bloomreach.feedback import Feedback
from clearance.clock import Clock
from clearance.errors import Reject
from clearance.identifiers import new_id
from clearance.ledger.mail_intake import BatchPlan, NewLetter, NewRequest, RefusedLetter
from clearance.optilyz.recipients import ReadRecipient, RefusedFor, RefusedRecipient, read_recipient

MAX_ADDRESSES = 1000
ADDRESSES = "addresses"
# 24 hexadecimal digits so far. The ledger keeps up to 64, and a worker puts them into a path.
AUTOMATION_ID = "[A-Za-z0-9_-]{1,64}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """A request to the relay: what is to be kept, and for the answer, by position, what was read."""

    new: NewRequest
    read: tuple[ReadRecipient | RefusedRecipient, ...]


class RelayIntake:
    """Turns a body into an `Order`.

    Args:
        id_kind_by_field: Which individualisation fields carry which of Bloomreach's ids.
        campaign_field: The one that carries the campaign reference; empty for none.
        is_dry_run: Whether nothing at all is posted here.
    """

    def __init__(
        self,
        *,
        plan: BatchPlan,
        feedback: Feedback | None,
        id_kind_by_field: Mapping[str, str],
        campaign_field: str,
        is_dry_run: bool,
        clock: Clock,
    ) -> None:
        self._plan = plan
        self._feedback = feedback
        self._id_kind_by_field = id_kind_by_field
        self._campaign_field = campaign_field
        self._is_dry_run = is_dry_run
        self._clock = clock

    def take(self, body: bytes, automation_id: str, *, is_single: bool, is_dry_run: bool) -> Order:
        """What to commit for a request.

        Raises:
            Reject: `malformed`, `wrong_shape`, `too_many` or `automation`: nothing of it is kept.
        """
        if not re.fullmatch(AUTOMATION_ID, automation_id):
            raise _reject("automation", "the automation's id must be 1 to 64 letters, digits, - or _")
        elements = _elements(body, is_single=is_single)
        read = tuple(map(read_recipient, elements))
        received_at = self._clock()
        request_id = new_id(received_at)
        is_rehearsal = is_dry_run or self._is_dry_run
        letters = tuple(
            self._letter(each, automation_id, received_at, is_dry_run=is_rehearsal) for each in read
        )
        new = NewRequest(
            request_id=request_id,
            automation_id=automation_id,
            letters=letters,
            is_dry_run=is_rehearsal,
            received_at=received_at,
            plan=self._plan,
            feedback=self._feedback,
            trace_id=request_id,
        )
        return Order(new=new, read=read)

    def _letter(
        self,
        read: ReadRecipient | RefusedRecipient,
        automation_id: str,
        received_at: datetime,
        *,
        is_dry_run: bool,
    ) -> NewLetter | RefusedLetter:
        recipient_id = new_id(received_at)
        if isinstance(read, RefusedRecipient):
            return RefusedLetter(
                recipient_id=recipient_id,
                reason=read.reason,
                error=read.message,
                customer_ids=self._customer_ids(read.individualisations),
                campaign=read.individualisations.get(self._campaign_field),
                is_address_wrong=read.reason is RefusedFor.ADDRESS_INCOMPLETE,
            )
        recipient = read.recipient
        return NewLetter(
            recipient_id=recipient_id,
            payload=recipient.payload(),
            dedupe_key=recipient.dedupe_key(automation_id, is_dry_run=is_dry_run),
            address_key=recipient.address_key(),
            customer_ids=self._customer_ids(recipient.address),
            campaign=recipient.address.get(self._campaign_field),
        )

    def _customer_ids(self, fields: Mapping[str, str]) -> dict[str, str]:
        return {kind: fields[name] for name, kind in self._id_kind_by_field.items() if name in fields}


def _elements(body: bytes, *, is_single: bool) -> list[Any]:
    try:
        payload = orjson.loads(body)
    except orjson.JSONDecodeError:
        # The decoder's text would quote the body.
        raise _reject("malformed", "the body is not JSON in UTF-8") from None
    if type(payload) is not dict:
        raise _reject("wrong_shape", "the body must be a JSON object")
    if is_single:
        if ADDRESSES in payload:
            raise _reject(
                "wrong_shape", "addresses: this path takes one recipient; for many it is /recipients"
            )
        return [payload]
    elements = payload.get(ADDRESSES)
    if type(elements) is not list or not elements:
        raise _reject("wrong_shape", f"addresses: must be a list of 1 to {MAX_ADDRESSES} recipients")
    if len(elements) > MAX_ADDRESSES:
        raise _reject("too_many", f"addresses: must have at most {MAX_ADDRESSES} recipients")
    return elements


def _reject(reason: str, message: str) -> Reject:
    """Refused with 200: any other status would stop the caller's whole webhook."""
    return Reject(HTTPStatus.OK, reason, message)
