"""What becomes of letters that a batch was posted without: their address was suppressed while they waited.

They end with the attempt, however it ended for the others, and leave the batch. Not when it is begun: a door may then
wait for the batch while it has the key of such a letter, and these are freed here.
"""

from datetime import datetime

from sqlalchemy import Connection, bindparam, update

from clearance.bloomreach.feedback import Fate, Feedback
from clearance.ledger import mail_letters
from clearance.ledger.mail_letters import LetterEnd, Place
from clearance.ledger.mail_posting import BatchToPost
from clearance.ledger.mail_tables import mail_batches
from clearance.mail_states import LetterReason, RecipientState

_SUPPRESSED = LetterEnd(
    state=RecipientState.SUPPRESSED,
    fate=Fate.SUPPRESSED,
    reason=LetterReason.ADDRESS_SUPPRESSED,
    frees_key=True,
)


def settle(connection: Connection, batch: BatchToPost, *, feedback: Feedback | None, now: datetime) -> None:
    """End them; the batch is the others then, without gaps."""
    if not batch.withheld:
        return
    mail_letters.end(
        connection,
        [(letter, _SUPPRESSED) for letter in batch.withheld],
        automation_id=batch.automation_id,
        feedback=feedback,
        now=now,
        trace_id=batch.trace_id,
    )
    places: dict[str, Place] = {each.recipient_id: (None, None) for each in batch.withheld}
    places |= {each.recipient_id: (batch.batch_id, place) for place, each in enumerate(batch.letters)}
    mail_letters.move(connection, places)
    connection.execute(_RECOUNT, {"the_id": batch.batch_id, "count": len(batch.letters)})


_RECOUNT = (
    update(mail_batches).where(mail_batches.c.id == bindparam("the_id")).values(recipients=bindparam("count"))
)
