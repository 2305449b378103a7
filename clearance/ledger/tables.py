"""Which tables the ledger has: the schema as SQLAlchemy sees it; the migrations make it so.

Times are aware UTC datetimes in the code, `timestamptz` in PostgreSQL and sortable UTC text in SQLite.
Personal data: `notifications.body` (emptied when its obligation is done), `decision_inputs.inputs` (kept only under
`record_inputs = true`, removed by `clearance purge`), `chunks.body` (emptied when it is decided), `chunks.answers`
(emptied when its group is closed) and customer ids.
"""

from datetime import UTC, datetime

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    DateTime,
    Dialect,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    PrimaryKeyConstraint,
    String,
    Table,
    Text,
    TypeDecorator,
    UniqueConstraint,
    text,
)


class UtcDateTime(TypeDecorator[datetime]):
    """An aware UTC datetime on both databases; a naive one is a bug and is refused."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002 - SQLAlchemy's signature
        """Refuse naive times and bring the others to UTC."""
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("naive datetime: the ledger takes aware ones only")
        return value if value.tzinfo is UTC else value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002 - SQLAlchemy's signature
        """SQLite gives back what was UTC without saying so."""
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_name)s",
        "uq": "uq_%(table_name)s_%(column_0_name)s",
    }
)

notifications = Table(
    "notifications",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("kind", String(16), nullable=False),
    Column("vendor_id", String(256), nullable=False),
    Column("customer_id", String(256)),
    Column("received_at", UtcDateTime, nullable=False),
    Column("signed_at", UtcDateTime),
    Column("deadline_at", UtcDateTime, nullable=False),
    Column("body", LargeBinary),
    Column("series_id", Text),
    Column("occurrence_id", Text),
    UniqueConstraint("vendor_id", "kind"),
    # Ids are sorted by time: the newest about a customer are found without reading the others.
    Index("ix_notifications_customer_id", "customer_id", "id"),
)

# Literal text: SQLite uses a partial index only for a query that states its condition word for word.
UNFINISHED = text("state IN ('open', 'running')")
PARKED = text("state = 'parked'")
ALONE, IN_CHUNK = text("chunk IS NULL"), text("chunk IS NOT NULL")
ON_DESK = text("state IN ('parked', 'missed') OR (state = 'open' AND attempts > 0)")

obligations = Table(
    "obligations",
    metadata,
    Column("id", String(96), primary_key=True),
    Column("lane", String(16), nullable=False),
    Column("task", String(64), nullable=False),
    Column("subject", String(64), nullable=False, index=True),
    Column("state", String(16), nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Column("run_at", UtcDateTime, nullable=False),
    Column("deadline_at", UtcDateTime, nullable=False),
    Column("publish_at", UtcDateTime, nullable=False),
    Column("publications", Integer, nullable=False, server_default="0"),
    Column("attempts", Integer, nullable=False, server_default="0"),
    Column("lease_until", UtcDateTime),
    Column("finished_at", UtcDateTime),
    Column("reason", String(64)),
    Column("last_error", Text),
    Column("trace_id", String(64), nullable=False),
    # What an operator last did to it.
    Column("action_id", String(32)),
    # Partial: the guardian's looks cost what is unfinished, not what was ever owed.
    Index("ix_obligations_publish", "publish_at", sqlite_where=UNFINISHED, postgresql_where=UNFINISHED),
    Index("ix_obligations_deadline", "deadline_at", sqlite_where=UNFINISHED, postgresql_where=UNFINISHED),
    # Partial: what waits for a retry or for a person is found among all that was ever owed. With what it is counted by:
    # otherwise PostgreSQL reads the whole table for it.
    Index(
        "ix_obligations_desk",
        "deadline_at",
        "id",
        sqlite_where=ON_DESK,
        postgresql_where=ON_DESK,
        postgresql_include=["lane", "state", "reason", "task"],
    ),
    # Partial: what waits for a person is counted every few seconds, without what was missed long ago.
    Index("ix_obligations_parked", "lane", "task", sqlite_where=PARKED, postgresql_where=PARKED),
)

decisions = Table(
    "decisions",
    metadata,
    Column("subject", String(64), nullable=False),
    Column("customer_id", String(256), nullable=False),
    Column("approved", Boolean, nullable=False),
    Column("reasons", Text, nullable=False),
    Column("rules_version", String(64), nullable=False),
    Column("inputs_digest", String(64), nullable=False),
    Column("decided_at", UtcDateTime, nullable=False),
    Column("policy", Text),
    Column("chunk", Integer),
    # One about each customer of a notification, found by the customer or by the notification.
    Index(
        "uq_decisions_alone",
        "customer_id",
        "subject",
        unique=True,
        sqlite_where=ALONE,
        postgresql_where=ALONE,
    ),
    Index("ix_decisions_subject", "subject", sqlite_where=ALONE, postgresql_where=ALONE),
    # One about each customer of a chunk. Chunks come one after the other, so that a thousand decisions are written into
    # a few dozen pages: by customer it would be a thousand, anywhere.
    Index(
        "uq_decisions_in_chunk",
        "subject",
        "chunk",
        "customer_id",
        unique=True,
        sqlite_where=IN_CHUNK,
        postgresql_where=IN_CHUNK,
    ),
)

decision_inputs = Table(
    "decision_inputs",
    metadata,
    Column("subject", String(64), nullable=False),
    Column("customer_id", String(256), nullable=False),
    Column("inputs", LargeBinary, nullable=False),
    Column("recorded_at", UtcDateTime, nullable=False),
    Column("chunk", Integer),
    PrimaryKeyConstraint("subject", "customer_id"),
    # With the key: what is read in portions goes on after the last row of the one before.
    Index("ix_decision_inputs_recorded_at", "recorded_at", "subject", "customer_id"),
)

approvals = Table(
    "approvals",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("subject", String(64), nullable=False, index=True),
    Column("attempt", Integer, nullable=False),
    Column("customers", Integer, nullable=False),
    Column("sent_at", UtcDateTime, nullable=False),
    Column("answered_at", UtcDateTime),
    Column("status", Integer),
    Column("outcome", String(16), nullable=False),
    Column("error", Text),
    Column("revision", Integer),
    # Partial: those of groups are few among those of single notifications.
    Index(
        "ix_approvals_of_groups",
        "id",
        sqlite_where=text("revision IS NOT NULL"),
        postgresql_where=text("revision IS NOT NULL"),
    ),
)

dead_letters = Table(
    "dead_letters",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("obligation_id", String(96)),
    Column("lane", String(16), nullable=False),
    Column("reason", String(64), nullable=False),
    Column("detail", Text, nullable=False),
    Column("at", UtcDateTime, nullable=False, index=True),
)

rejections = Table(
    "rejections",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("at", UtcDateTime, nullable=False),
    Column("route", String(64), nullable=False),
    Column("status", Integer, nullable=False),
    Column("reason", String(32), nullable=False),
    Column("detail", Text, nullable=False),
    Column("body_bytes", Integer, nullable=False),
)

rule_sets = Table(
    "rule_sets",
    metadata,
    Column("version", String(64), primary_key=True),
    Column("text", Text, nullable=False),
    Column("first_seen_at", UtcDateTime, nullable=False),
)

rules_in_force = Table(
    "rules_in_force",
    metadata,
    Column("process", String(256), primary_key=True),
    Column("lane", String(16), nullable=False),
    Column("version", String(64), nullable=False),
    Column("loaded_at", UtcDateTime, nullable=False),
    Column("seen_at", UtcDateTime, nullable=False),
    Column("problem", Text),
)

# Numbered by the database: of two hosts whose clocks differ, the later request is still the newer one.
rules_reloads = Table(
    "rules_reloads",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("asked_at", UtcDateTime, nullable=False),
    Column("asked_by", String(64), nullable=False),
)

suppressions = Table(
    "suppressions",
    metadata,
    Column("list_name", String(64), nullable=False),
    Column("customer_id", String(256), nullable=False, index=True),
    Column("added_at", UtcDateTime, nullable=False),
    Column("added_by", String(64), nullable=False),
    Column("note", Text),
    Column("until", UtcDateTime),
    PrimaryKeyConstraint("list_name", "customer_id"),
)

groups = Table(
    "groups",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("api", String(8), nullable=False),
    Column("vendor_id", String(256), nullable=False),
    Column("campaign", Text, nullable=False),
    Column("series_id", Text),
    Column("occurrence_id", Text, index=True),
    Column("order_number", Integer),
    Column("total_groups", Integer),
    Column("unique_customers", Integer),
    Column("expected_customers", Integer),
    Column("revision", Integer, nullable=False),
    Column("generation", Integer, nullable=False),
    Column("told_at", UtcDateTime, nullable=False),
    Column("deadline_at", UtcDateTime, nullable=False, index=True),
    Column("submit_at", UtcDateTime, nullable=False),
    Column("hard_stop_at", UtcDateTime, nullable=False),
    Column("state", String(16), nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Column("fetched_at", UtcDateTime),
    Column("finished_at", UtcDateTime),
    Column("fetched", Integer, nullable=False, server_default="0"),
    Column("chunk_count", Integer, nullable=False, server_default="0"),
    Column("trace_id", String(64), nullable=False),
    UniqueConstraint("vendor_id", "api"),
)

group_revisions = Table(
    "group_revisions",
    metadata,
    Column("group_id", String(32), nullable=False),
    Column("revision", Integer, nullable=False),
    Column("told_at", UtcDateTime, nullable=False),
    Column("received_at", UtcDateTime, nullable=False),
    Column("deadline_at", UtcDateTime, nullable=False),
    Column("submit_at", UtcDateTime, nullable=False),
    Column("generation", Integer, nullable=False),
    Column("cause", String(16), nullable=False),
    Column("ended_as", String(16)),
    Column("ended_at", UtcDateTime),
    Column("first_call_at", UtcDateTime),
    Column("last_call_at", UtcDateTime),
    Column("margin_ms", BigInteger),
    Column("submitted", Integer, nullable=False, server_default="0"),
    Column("not_decided", Integer, nullable=False, server_default="0"),
    Column("not_sent", Integer, nullable=False, server_default="0"),
    PrimaryKeyConstraint("group_id", "revision"),
)

chunks = Table(
    "chunks",
    metadata,
    Column("group_id", String(32), nullable=False),
    Column("generation", Integer, nullable=False),
    Column("number", Integer, nullable=False),
    Column("customers", Integer, nullable=False),
    Column("state", String(16), nullable=False),
    Column("approved", Integer),
    Column("decided_at", UtcDateTime),
    Column("submitted_at", UtcDateTime),
    Column("submitted_revision", Integer),
    Column("reasons", Text),
    # Last: SQLite reads through what stands before a column to get at it.
    Column("answers", LargeBinary),
    Column("body", LargeBinary),
    PrimaryKeyConstraint("group_id", "generation", "number"),
    Index("ix_chunks_state", "group_id", "generation", "state", "number"),
)
