"""Which tables the mail and track lanes have in the ledger.

Personal data: `mail_recipients.payload` and `.error` (emptied by `clearance purge` once its letter has ended and the
retention is over), `mail_recipients.customer_ids`, `track_commands.data` (emptied when it was taken), and customer ids
in `address_suppressions`. Keys of addresses are digests.
"""

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Index,
    Integer,
    LargeBinary,
    PrimaryKeyConstraint,
    String,
    Table,
    Text,
    text,
)

from clearance.ledger.tables import UtcDateTime, metadata

# Literal text: SQLite uses a partial index only for a query that states its condition word for word.
GATHERING = text("state = 'gathering'")
_WAITING = text("state IN ('gathering', 'ready')")
WAITING_BATCH = text("mail_batches.state IN ('gathering', 'ready')")
UNFINISHED_BATCH = text("mail_batches.state IN ('gathering', 'ready', 'posting')")
_UNFINISHED_BATCH = text("state IN ('gathering', 'ready', 'posting')")
HAS_ADDRESS = text("payload IS NOT NULL")

# One recipient of one automation, from the relay's answer to what became of the letter.
mail_recipients = Table(
    "mail_recipients",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("automation_id", String(64), nullable=False),
    Column("state", String(16), nullable=False),
    Column("is_dry_run", Boolean, nullable=False),
    Column("batch_id", String(32)),
    Column("position", Integer),
    Column("received_at", UtcDateTime, nullable=False),
    Column("finished_at", UtcDateTime),
    Column("dedupe_key", String(64)),
    Column("address_key", String(64)),
    Column("customer_ids", Text, nullable=False),
    Column("campaign", Text),
    Column("vendor_id", String(256)),
    Column("reason", String(64)),
    Column("error", Text),
    Column("trace_id", String(64), nullable=False),
    # Last: SQLite reads through what stands before a column to get at it.
    Column("payload", LargeBinary),
    Index("ix_mail_recipients_batch", "batch_id", "position"),
    Index("ix_mail_recipients_state", "state", "automation_id", "id"),
    Index("ix_mail_recipients_vendor_id", "vendor_id"),
    # Partial: retention looks at what still has an address, not at every letter there ever was.
    Index(
        "ix_mail_recipients_finished_at",
        "finished_at",
        sqlite_where=HAS_ADDRESS,
        postgresql_where=HAS_ADDRESS,
    ),
)

# Recipients of one automation that leave together: one request to Optilyz, and one obligation.
mail_batches = Table(
    "mail_batches",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("automation_id", String(64), nullable=False),
    Column("is_dry_run", Boolean, nullable=False),
    Column("state", String(16), nullable=False),
    Column("recipients", Integer, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Column("due_at", UtcDateTime, nullable=False),
    Column("posts", Integer, nullable=False, server_default="0"),
    Column("fence", BigInteger),
    Column("sent_at", UtcDateTime),
    Column("answered_at", UtcDateTime),
    Column("finished_at", UtcDateTime),
    Column("status", Integer),
    Column("posted", Integer, nullable=False, server_default="0"),
    Column("failed", Integer, nullable=False, server_default="0"),
    Column("reason", String(64)),
    Column("error", Text),
    Column("vendor_request_id", String(256)),
    Column("parent_id", String(32)),
    Column("resolved_as", String(16)),
    Column("resolved_by", String(64)),
    Column("resolved_at", UtcDateTime),
    Column("trace_id", String(64), nullable=False),
    # At most one batch of an automation takes recipients: of two processes that open one, one wins.
    Index(
        "ix_mail_batches_gathering",
        "automation_id",
        "is_dry_run",
        unique=True,
        sqlite_where=GATHERING,
        postgresql_where=GATHERING,
    ),
    Index("ix_mail_batches_state", "state", "id"),
    Index("ix_mail_batches_automation", "automation_id", "id"),
    Index("ix_mail_batches_parent", "parent_id"),
    # Which batch is next is the first entry of an automation, however many wait.
    Index(
        "ix_mail_batches_waiting",
        "automation_id",
        "due_at",
        "id",
        sqlite_where=_WAITING,
        postgresql_where=_WAITING,
    ),
    # Partial: how much waits costs what waits, not what was ever posted.
    Index(
        "ix_mail_batches_unfinished",
        "created_at",
        sqlite_where=_UNFINISHED_BATCH,
        postgresql_where=_UNFINISHED_BATCH,
    ),
)

# Who was accepted inside the window: the first of the same recipients has the key until it is over.
mail_keys = Table(
    "mail_keys",
    metadata,
    Column("dedupe_key", String(64), primary_key=True),
    Column("recipient_id", String(32), nullable=False),
    Column("until", UtcDateTime, nullable=False, index=True),
)

# When an automation was last given a turn, so that none starves another; it has a row before its first batch.
mail_turns = Table(
    "mail_turns",
    metadata,
    Column("automation_id", String(64), primary_key=True),
    Column("posted_at", UtcDateTime, nullable=False),
)

# Addresses that are not posted to for a customer: refused by Optilyz, or by a person. `customer_key` is `kind:id`,
# or empty for an address without ids. What Optilyz said stands with the recipient: it may quote the address.
address_suppressions = Table(
    "address_suppressions",
    metadata,
    Column("address_key", String(64), nullable=False),
    Column("customer_key", String(300), nullable=False),
    Column("reason", String(64), nullable=False),
    Column("added_at", UtcDateTime, nullable=False),
    Column("added_by", String(64), nullable=False),
    Column("recipient_id", String(32)),
    PrimaryKeyConstraint("address_key", "customer_key"),
    Index("ix_address_suppressions_customer", "customer_key", "address_key"),
)

# What Bloomreach is to be told: the outbox. `batch_id` is the subject of the obligation that sends it.
track_commands = Table(
    "track_commands",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("batch_id", String(32), nullable=False),
    Column("position", Integer, nullable=False),
    Column("state", String(16), nullable=False),
    Column("name", String(32), nullable=False),
    Column("about", String(32), nullable=False),
    Column("dedupe_key", String(64)),
    Column("created_at", UtcDateTime, nullable=False),
    Column("finished_at", UtcDateTime),
    Column("attempts", Integer, nullable=False, server_default="0"),
    Column("reason", String(64)),
    Column("error", Text),
    Column("trace_id", String(64), nullable=False),
    Column("data", Text),
    Index("ix_track_commands_batch", "batch_id", "position"),
    Index("ix_track_commands_state", "state", "id"),
    Index("ix_track_commands_about", "about"),
    Index("uq_track_commands_dedupe_key", "dedupe_key", unique=True),
)

# Lanes that nobody works on: a person stopped them, or credentials were refused.
lane_pauses = Table(
    "lane_pauses",
    metadata,
    Column("lane", String(16), primary_key=True),
    Column("paused_at", UtcDateTime, nullable=False),
    Column("paused_by", String(64), nullable=False),
    Column("reason", Text, nullable=False),
)

# What operators did, and why: resumed, replayed, resolved, dropped.
operator_actions = Table(
    "operator_actions",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("at", UtcDateTime, nullable=False),
    Column("who", String(64), nullable=False),
    Column("action", String(64), nullable=False),
    Column("subject", String(96), nullable=False, index=True),
    Column("count", Integer, nullable=False, server_default="1"),
    Column("why", Text),
)
