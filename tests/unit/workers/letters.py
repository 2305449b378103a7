"""Letters with addresses in a ledger, as ingest and a mail worker leave them: for the commands that tell of them."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

from clearance.bloomreach.feedback import Feedback
from clearance.identifiers import new_id
from clearance.ledger.engine import Ledger
from clearance.ledger.mail_ends import Answered, Failed, Held, Posted
from clearance.ledger.mail_intake import NewLetter, RefusedLetter
from clearance.ledger.mail_posting import BatchToPost
from clearance.mail_states import HeldReason
from clearance.optilyz.recipient import Recipient
from tests.fakes import mail_owed
from tests.fakes.clock import ManualClock

AUTOMATION = "5fc6ca6a89b5e200e0de42e0"
FEEDBACK = Feedback(address_property="postal_address_valid")


def recipient(name: str, **fields: str) -> Recipient:
    """Somebody with an address, known to Bloomreach by an e-mail address."""
    address = {
        "fullName": name,
        "address1": f"{name}weg 1",
        "zipCode": "10115",
        "city": "Berlin",
        "individualisation1": f"{name.lower()}@example.com",
    }
    return Recipient(address=address | fields)


def people(*names: str) -> Sequence[Recipient]:
    """One recipient each."""
    return [recipient(name) for name in names]


def with_street(each: Recipient, street: str) -> Recipient:
    """The same person, who has moved."""
    return replace(each, address={**each.address, "address1": street})


class Mail:
    """Takes letters, in batches of three, and works on them, at the clock's time."""

    def __init__(self, ledger: Ledger, clock: ManualClock) -> None:
        self._ledger = ledger
        self._clock = clock

    def take(
        self, *recipients: Recipient | str, automation: str = AUTOMATION, is_dry_run: bool = False
    ) -> list[str]:
        """Their ids; a text is the error of one that is refused at the door."""
        now = self._clock()
        # A millisecond apart: ids of the same one are in no order.
        ids = [new_id(now + timedelta(milliseconds=place)) for place in range(len(recipients))]
        letters = [
            _refused(each, own_id)
            if isinstance(each, str)
            else _letter(each, own_id, automation, is_dry_run=is_dry_run)
            for each, own_id in zip(recipients, ids, strict=True)
        ]
        request = mail_owed.request(
            *letters, automation_id=automation, is_dry_run=is_dry_run, now=now, feedback=FEEDBACK
        )
        (taken,) = mail_owed.take(self._ledger, request)
        return [each.recipient_id for each in taken.letters]

    def answered(self, *results: Posted | Failed) -> BatchToPost:
        """The next batch, posted and answered."""
        batch = mail_owed.begun(self._ledger, now=self._clock())
        end = Answered(results=tuple(results), status=200, vendor_request_id="req-1")
        now = self._clock.advance(0.3)
        assert mail_owed.settle(self._ledger, batch, end, now=now, feedback=FEEDBACK)
        return batch

    def held(self, reason: HeldReason = HeldReason.MAY_HAVE_ARRIVED) -> BatchToPost:
        """The next batch, posted and cut."""
        batch = mail_owed.begun(self._ledger, now=self._clock())
        now = self._clock.advance(20)
        assert mail_owed.settle(self._ledger, batch, Held(reason=reason, error="no answer"), now=now)
        return batch


def _letter(each: Recipient, own_id: str, automation: str, *, is_dry_run: bool) -> NewLetter:
    return NewLetter(
        recipient_id=own_id,
        payload=each.payload(),
        dedupe_key=each.dedupe_key(automation, is_dry_run=is_dry_run),
        address_key=each.address_key(),
        customer_ids={"registered": each.address["individualisation1"]},
        campaign=None,
    )


def _refused(error: str, own_id: str) -> RefusedLetter:
    return RefusedLetter(
        recipient_id=own_id,
        reason="ADDRESS_INCOMPLETE",
        error=error,
        customer_ids={"registered": "rosa@example.com"},
        campaign=None,
    )
