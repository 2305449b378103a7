"""How does a batch that was refused as a whole become two, so that one letter does not hold the others?"""

from datetime import datetime

from sqlalchemy import Connection

from clearance.identifiers import new_id
from clearance.ledger import mail_batches, mail_letters, obligations
from clearance.ledger.mail_batches import NewBatch
from clearance.ledger.mail_posting import BatchToPost
from clearance.mail_states import BatchState


def split(connection: Connection, batch: BatchToPost, now: datetime) -> None:
    """Two batches, ready and owed at once; their letters keep their order."""
    middle = (len(batch.letters) + 1) // 2
    parts = [(new_id(now), batch.letters[:middle]), (new_id(now), batch.letters[middle:])]
    children = [
        NewBatch(
            batch_id=batch_id,
            automation_id=batch.automation_id,
            is_dry_run=batch.is_dry_run,
            state=BatchState.READY,
            recipients=len(letters),
            created_at=now,
            due_at=now,
            trace_id=batch.trace_id,
            parent_id=batch.batch_id,
        )
        for batch_id, letters in parts
    ]
    mail_batches.add_many(connection, children)
    owes = [
        mail_batches.owed(batch_id, now=now, due_at=now, trace_id=batch.trace_id) for batch_id, _ in parts
    ]
    obligations.add_many(connection, owes)
    places = {
        letter.recipient_id: (batch_id, position)
        for batch_id, letters in parts
        for position, letter in enumerate(letters)
    }
    mail_letters.move(connection, places)
