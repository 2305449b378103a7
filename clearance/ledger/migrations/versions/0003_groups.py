"""Groups: scheduled approvals of many customers, their revisions, and their customers in chunks.

Only adds: new tables, columns that may be empty. The release before this one runs on it.
"""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Add the tables and columns."""
    moment = sa.DateTime(timezone=True)
    op.add_column("decisions", sa.Column("chunk", sa.Integer))
    op.add_column("approvals", sa.Column("revision", sa.Integer))
    is_of_group = sa.text("revision IS NOT NULL")
    op.create_index(
        "ix_approvals_of_groups", "approvals", ["id"], sqlite_where=is_of_group, postgresql_where=is_of_group
    )
    op.create_table(
        "groups",
        sa.Column("id", sa.String(32), primary_key=True),
        sa.Column("api", sa.String(8), nullable=False),
        sa.Column("vendor_id", sa.String(256), nullable=False),
        sa.Column("campaign", sa.Text, nullable=False),
        sa.Column("series_id", sa.Text),
        sa.Column("occurrence_id", sa.Text),
        sa.Column("order_number", sa.Integer),
        sa.Column("total_groups", sa.Integer),
        sa.Column("unique_customers", sa.Integer),
        sa.Column("expected_customers", sa.Integer),
        sa.Column("revision", sa.Integer, nullable=False),
        sa.Column("generation", sa.Integer, nullable=False),
        sa.Column("told_at", moment, nullable=False),
        sa.Column("deadline_at", moment, nullable=False),
        sa.Column("submit_at", moment, nullable=False),
        sa.Column("hard_stop_at", moment, nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("created_at", moment, nullable=False),
        sa.Column("fetched_at", moment),
        sa.Column("finished_at", moment),
        sa.Column("fetched", sa.Integer, nullable=False, server_default="0"),
        sa.Column("chunk_count", sa.Integer, nullable=False, server_default="0"),
        sa.Column("trace_id", sa.String(64), nullable=False),
        sa.UniqueConstraint("vendor_id", "api", name="uq_groups_vendor_id"),
    )
    op.create_index("ix_groups_deadline_at", "groups", ["deadline_at"])
    op.create_index("ix_groups_occurrence_id", "groups", ["occurrence_id"])
    op.create_table(
        "group_revisions",
        sa.Column("group_id", sa.String(32), nullable=False),
        sa.Column("revision", sa.Integer, nullable=False),
        sa.Column("told_at", moment, nullable=False),
        sa.Column("received_at", moment, nullable=False),
        sa.Column("deadline_at", moment, nullable=False),
        sa.Column("submit_at", moment, nullable=False),
        sa.Column("generation", sa.Integer, nullable=False),
        sa.Column("cause", sa.String(16), nullable=False),
        sa.Column("ended_as", sa.String(16)),
        sa.Column("ended_at", moment),
        sa.Column("first_call_at", moment),
        sa.Column("last_call_at", moment),
        sa.Column("margin_ms", sa.BigInteger),
        sa.Column("submitted", sa.Integer, nullable=False, server_default="0"),
        sa.Column("not_decided", sa.Integer, nullable=False, server_default="0"),
        sa.Column("not_sent", sa.Integer, nullable=False, server_default="0"),
        sa.PrimaryKeyConstraint("group_id", "revision"),
    )
    op.create_table(
        "chunks",
        sa.Column("group_id", sa.String(32), nullable=False),
        sa.Column("generation", sa.Integer, nullable=False),
        sa.Column("number", sa.Integer, nullable=False),
        sa.Column("customers", sa.Integer, nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("approved", sa.Integer),
        sa.Column("decided_at", moment),
        sa.Column("submitted_at", moment),
        sa.Column("submitted_revision", sa.Integer),
        sa.Column("reasons", sa.Text),
        sa.Column("answers", sa.LargeBinary),
        sa.Column("body", sa.LargeBinary),
        sa.PrimaryKeyConstraint("group_id", "generation", "number"),
    )
    op.create_index("ix_chunks_state", "chunks", ["group_id", "generation", "state", "number"])
