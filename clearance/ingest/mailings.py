"""What happens at `POST /webhooks/optilyz/mailings`: Optilyz says which state a mailing is in, and for whom.

In: the query and the header `Authorization`; then a body. Out: what the ledger is to hear, and then the 202. A caller
shows one of the relay's keys before its body is read: as the user name of Basic auth, or as the query parameter
`token`, because these hooks are set up by hand in somebody else's system. A large delivery is kept in parts, each a
transaction of its own, so that it does not hold up a notification that has seconds; repeated after a failure half-way,
only the rest of it is new.
"""

from collections.abc import Iterator, Mapping, Sequence
from functools import partial

import structlog

from clearance.bloomreach.feedback import Feedback
from clearance.bloomreach.mailing_feedback import MailedCustomer
from clearance.clock import Clock
from clearance.ingest.acceptance import written
from clearance.ingest.body import load_aside
from clearance.ingest.listener_token import ListenerToken
from clearance.ingest.relay_keys import RelayKeys
from clearance.ledger.group_commit import GroupCommit
from clearance.ledger.track_mailings import NewMailingState, hear_many
from clearance.optilyz.mailing_states import MailedRecipient, MailingDelivery, load_delivery
from clearance.telemetry import Metrics

log = structlog.get_logger()

ROUTE = "/webhooks/optilyz/mailings"
# Measured: a transaction of so many costs 9 ms of processor time (SQLite), and holds the write lock for as long.
_AT_ONCE = 250


class MailingKeys:
    """The relay's keys, as this route takes them."""

    def __init__(self, keys: Sequence[str]) -> None:
        self._keys = RelayKeys(keys)
        self._tokens = [ListenerToken(key) for key in keys]

    def verify(self, query: bytes, authorization: str | None) -> None:
        """Return if the caller has one of the keys.

        Raises:
            Reject: 401, reason `credentials`.
        """
        is_match = False
        for token in self._tokens:
            is_match |= token.matches(query, None)
        if not is_match:
            self._keys.verify(authorization)


class MailingIntake:
    """Turns a request into what the ledger is to hear, has it heard, and tells what came of it.

    Args:
        id_kind_by_field: Which individualisation fields carry which of Bloomreach's ids.
        campaign_field: The one that carries the campaign reference; empty for none.
        feedback: None while no Bloomreach is set: deliveries are accepted, and nothing comes of them.
        timeout_s: How long one commit may take before the sender is told to come again.
    """

    def __init__(
        self,
        *,
        keys: MailingKeys,
        id_kind_by_field: Mapping[str, str],
        campaign_field: str,
        feedback: Feedback | None,
        commits: GroupCommit,
        clock: Clock,
        metrics: Metrics,
        timeout_s: float,
    ) -> None:
        self._keys = keys
        self._id_kind_by_field = id_kind_by_field
        self._campaign_field = campaign_field
        self._feedback = feedback
        self._commits = commits
        self._clock = clock
        self._metrics = metrics
        self._timeout_s = timeout_s

    def verify(self, query: bytes, authorization: str | None) -> None:
        """See `MailingKeys`."""
        self._keys.verify(query, authorization)

    async def hear(self, body: bytes) -> tuple[str, bool]:
        """The id of the delivery, and whether all of it was known already.

        Raises:
            Reject: 400 malformed, 422 invalid.
            LedgerUnavailable: Not all of it is kept. What is will be recognised when the sender repeats it.
        """
        delivery = await load_aside(partial(load_delivery, body), len(body))
        delivery_id = delivery.key()
        if self._feedback is None:
            self._count("untold", len(delivery.recipients))
            log.warning("mailing.not_told_on", delivery=delivery_id, recipients=len(delivery.recipients))
            return delivery_id, False
        heard = [
            await written(self._commits.submit(hear_many, part), timeout_s=self._timeout_s)
            for part in self._parts(delivery, delivery_id, self._feedback)
        ]
        with_id = sum(each.with_id for each in heard)
        is_duplicate = with_id > 0 and not any(each.is_new for each in heard)
        if not is_duplicate:
            self._count("told", with_id)
            self._count("without_id", len(delivery.recipients) - with_id)
        log.info(
            "mailing.heard",
            trace_id=delivery_id,
            delivery=delivery_id,
            recipients=len(delivery.recipients),
            with_id=with_id,
            duplicate=is_duplicate,
        )
        return delivery_id, is_duplicate

    def _parts(
        self, delivery: MailingDelivery, delivery_id: str, feedback: Feedback
    ) -> Iterator[NewMailingState]:
        now = self._clock()
        for first in range(0, len(delivery.recipients), _AT_ONCE):
            yield NewMailingState(
                delivery_id=delivery_id,
                mailing=delivery.mailing,
                customers=tuple(map(self._customer, delivery.recipients[first : first + _AT_ONCE])),
                campaign_name=feedback.campaign_name,
                received_at=now,
            )

    def _customer(self, recipient: MailedRecipient) -> MailedCustomer:
        told = recipient.individualisations
        return MailedCustomer(
            vendor_id=recipient.vendor_id,
            customer_ids={kind: told[name] for name, kind in self._id_kind_by_field.items() if name in told},
            campaign=told.get(self._campaign_field),
        )

    def _count(self, outcome: str, recipients: int) -> None:
        if recipients:
            self._metrics.count("mailing_recipients_total", recipients, outcome=outcome)
