"""Mail: recipients, their batches, who is not posted to, what Bloomreach is told; paused lanes; what operators did.

Only adds: new tables. The release before this one runs on it.
"""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Add the tables."""
    moment = sa.DateTime(timezone=True)
    is_gathering = sa.text("state = 'gathering'")
    is_waiting = sa.text("state IN ('gathering', 'ready')")
    is_unfinished = sa.text("state IN ('gathering', 'ready', 'posting')")
    has_address = sa.text("payload IS NOT NULL")
    op.create_table(
        "mail_recipients",
        sa.Column("id", sa.String(32), primary_key=True),
        sa.Column("automation_id", sa.String(64), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("is_dry_run", sa.Boolean, nullable=False),
        sa.Column("batch_id", sa.String(32)),
        sa.Column("position", sa.Integer),
        sa.Column("received_at", moment, nullable=False),
        sa.Column("finished_at", moment),
        sa.Column("dedupe_key", sa.String(64)),
        sa.Column("address_key", sa.String(64)),
        sa.Column("customer_ids", sa.Text, nullable=False),
        sa.Column("campaign", sa.Text),
        sa.Column("vendor_id", sa.String(256)),
        sa.Column("reason", sa.String(64)),
        sa.Column("error", sa.Text),
        sa.Column("trace_id", sa.String(64), nullable=False),
        sa.Column("payload", sa.LargeBinary),
    )
    op.create_table(
        "mail_batches",
        sa.Column("id", sa.String(32), primary_key=True),
        sa.Column("automation_id", sa.String(64), nullable=False),
        sa.Column("is_dry_run", sa.Boolean, nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("recipients", sa.Integer, nullable=False),
        sa.Column("created_at", moment, nullable=False),
        sa.Column("due_at", moment, nullable=False),
        sa.Column("posts", sa.Integer, nullable=False, server_default="0"),
        sa.Column("fence", sa.BigInteger),
        sa.Column("sent_at", moment),
        sa.Column("answered_at", moment),
        sa.Column("finished_at", moment),
        sa.Column("status", sa.Integer),
        sa.Column("posted", sa.Integer, nullable=False, server_default="0"),
        sa.Column("failed", sa.Integer, nullable=False, server_default="0"),
        sa.Column("reason", sa.String(64)),
        sa.Column("error", sa.Text),
        sa.Column("vendor_request_id", sa.String(256)),
        sa.Column("parent_id", sa.String(32)),
        sa.Column("resolved_as", sa.String(16)),
        sa.Column("resolved_by", sa.String(64)),
        sa.Column("resolved_at", moment),
        sa.Column("trace_id", sa.String(64), nullable=False),
    )
    op.create_table(
        "mail_keys",
        sa.Column("dedupe_key", sa.String(64), primary_key=True),
        sa.Column("recipient_id", sa.String(32), nullable=False),
        sa.Column("until", moment, nullable=False),
    )
    op.create_table(
        "mail_turns",
        sa.Column("automation_id", sa.String(64), primary_key=True),
        sa.Column("posted_at", moment, nullable=False),
    )
    op.create_table(
        "address_suppressions",
        sa.Column("address_key", sa.String(64), nullable=False),
        sa.Column("customer_key", sa.String(300), nullable=False),
        sa.Column("reason", sa.String(64), nullable=False),
        sa.Column("added_at", moment, nullable=False),
        sa.Column("added_by", sa.String(64), nullable=False),
        sa.Column("recipient_id", sa.String(32)),
        sa.PrimaryKeyConstraint("address_key", "customer_key"),
    )
    op.create_table(
        "track_commands",
        sa.Column("id", sa.String(32), primary_key=True),
        sa.Column("batch_id", sa.String(32), nullable=False),
        sa.Column("position", sa.Integer, nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("name", sa.String(32), nullable=False),
        sa.Column("about", sa.String(32), nullable=False),
        sa.Column("dedupe_key", sa.String(64)),
        sa.Column("created_at", moment, nullable=False),
        sa.Column("finished_at", moment),
        sa.Column("attempts", sa.Integer, nullable=False, server_default="0"),
        sa.Column("reason", sa.String(64)),
        sa.Column("error", sa.Text),
        sa.Column("trace_id", sa.String(64), nullable=False),
        sa.Column("data", sa.Text),
    )
    op.create_table(
        "lane_pauses",
        sa.Column("lane", sa.String(16), primary_key=True),
        sa.Column("paused_at", moment, nullable=False),
        sa.Column("paused_by", sa.String(64), nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
    )
    op.create_table(
        "operator_actions",
        sa.Column("id", sa.String(32), primary_key=True),
        sa.Column("at", moment, nullable=False),
        sa.Column("who", sa.String(64), nullable=False),
        sa.Column("action", sa.String(64), nullable=False),
        sa.Column("subject", sa.String(96), nullable=False),
        sa.Column("count", sa.Integer, nullable=False, server_default="1"),
        sa.Column("why", sa.Text),
    )
    op.create_index("ix_operator_actions_subject", "operator_actions", ["subject"])
    op.create_index("ix_mail_recipients_batch", "mail_recipients", ["batch_id", "position"])
    op.create_index("ix_mail_recipients_state", "mail_recipients", ["state", "automation_id", "id"])
    op.create_index("ix_mail_recipients_vendor_id", "mail_recipients", ["vendor_id"])
    op.create_index(
        "ix_mail_recipients_finished_at",
        "mail_recipients",
        ["finished_at"],
        sqlite_where=has_address,
        postgresql_where=has_address,
    )
    op.create_index("ix_mail_batches_state", "mail_batches", ["state", "id"])
    op.create_index("ix_mail_batches_automation", "mail_batches", ["automation_id", "id"])
    op.create_index("ix_mail_batches_parent", "mail_batches", ["parent_id"])
    op.create_index(
        "ix_mail_batches_waiting",
        "mail_batches",
        ["automation_id", "due_at", "id"],
        sqlite_where=is_waiting,
        postgresql_where=is_waiting,
    )
    op.create_index(
        "ix_mail_batches_unfinished",
        "mail_batches",
        ["created_at"],
        sqlite_where=is_unfinished,
        postgresql_where=is_unfinished,
    )
    op.create_index(
        "ix_address_suppressions_customer", "address_suppressions", ["customer_key", "address_key"]
    )
    op.create_index("ix_mail_keys_until", "mail_keys", ["until"])
    op.create_index("ix_track_commands_batch", "track_commands", ["batch_id", "position"])
    op.create_index("ix_track_commands_state", "track_commands", ["state", "id"])
    op.create_index("ix_track_commands_about", "track_commands", ["about"])
    op.create_index("uq_track_commands_dedupe_key", "track_commands", ["dedupe_key"], unique=True)
    op.create_index(
        "ix_mail_batches_gathering",
        "mail_batches",
        ["automation_id", "is_dry_run"],
        unique=True,
        sqlite_where=is_gathering,
        postgresql_where=is_gathering,
    )
