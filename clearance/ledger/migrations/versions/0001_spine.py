"""The spine: notifications, obligations, decisions, approvals, dead letters, rejections.

Forward only: the release before this one must run on the schema of this one, so that a fleet is upgraded worker by
worker; what is dropped is dropped a release later.
"""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

_UNFINISHED = sa.text("state IN ('open', 'running')")


def upgrade() -> None:
    """Create the tables."""
    moment = sa.DateTime(timezone=True)
    op.create_table(
        "notifications",
        sa.Column("id", sa.String(32), primary_key=True),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("vendor_id", sa.String(256), nullable=False),
        sa.Column("customer_id", sa.String(256)),
        sa.Column("received_at", moment, nullable=False),
        sa.Column("signed_at", moment),
        sa.Column("deadline_at", moment, nullable=False),
        sa.Column("body", sa.LargeBinary),
        sa.UniqueConstraint("vendor_id", "kind", name="uq_notifications_vendor_id"),
    )
    op.create_table(
        "obligations",
        sa.Column("id", sa.String(96), primary_key=True),
        sa.Column("lane", sa.String(16), nullable=False),
        sa.Column("task", sa.String(64), nullable=False),
        sa.Column("subject", sa.String(64), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("created_at", moment, nullable=False),
        sa.Column("run_at", moment, nullable=False),
        sa.Column("deadline_at", moment, nullable=False),
        sa.Column("publish_at", moment, nullable=False),
        sa.Column("publications", sa.Integer, nullable=False, server_default="0"),
        sa.Column("attempts", sa.Integer, nullable=False, server_default="0"),
        sa.Column("lease_until", moment),
        sa.Column("finished_at", moment),
        sa.Column("reason", sa.String(64)),
        sa.Column("last_error", sa.Text),
        sa.Column("trace_id", sa.String(64), nullable=False),
    )
    for name, column in (
        ("ix_obligations_publish", "publish_at"),
        ("ix_obligations_deadline", "deadline_at"),
    ):
        op.create_index(name, "obligations", [column], sqlite_where=_UNFINISHED, postgresql_where=_UNFINISHED)
    op.create_table(
        "decisions",
        sa.Column("subject", sa.String(64), nullable=False),
        sa.Column("customer_id", sa.String(256), nullable=False),
        sa.Column("approved", sa.Boolean, nullable=False),
        sa.Column("reasons", sa.Text, nullable=False),
        sa.Column("rules_version", sa.String(64), nullable=False),
        sa.Column("inputs_digest", sa.String(64), nullable=False),
        sa.Column("decided_at", moment, nullable=False),
        sa.PrimaryKeyConstraint("subject", "customer_id"),
    )
    op.create_index("ix_decisions_customer_id", "decisions", ["customer_id"])
    op.create_table(
        "approvals",
        sa.Column("id", sa.String(32), primary_key=True),
        sa.Column("subject", sa.String(64), nullable=False),
        sa.Column("attempt", sa.Integer, nullable=False),
        sa.Column("customers", sa.Integer, nullable=False),
        sa.Column("sent_at", moment, nullable=False),
        sa.Column("answered_at", moment),
        sa.Column("status", sa.Integer),
        sa.Column("outcome", sa.String(16), nullable=False),
        sa.Column("error", sa.Text),
    )
    op.create_index("ix_approvals_subject", "approvals", ["subject"])
    op.create_table(
        "dead_letters",
        sa.Column("id", sa.String(32), primary_key=True),
        sa.Column("obligation_id", sa.String(96)),
        sa.Column("lane", sa.String(16), nullable=False),
        sa.Column("reason", sa.String(64), nullable=False),
        sa.Column("detail", sa.Text, nullable=False),
        sa.Column("at", moment, nullable=False),
    )
    op.create_index("ix_dead_letters_at", "dead_letters", ["at"])
    op.create_table(
        "rejections",
        sa.Column("id", sa.String(32), primary_key=True),
        sa.Column("at", moment, nullable=False),
        sa.Column("route", sa.String(64), nullable=False),
        sa.Column("status", sa.Integer, nullable=False),
        sa.Column("reason", sa.String(32), nullable=False),
        sa.Column("detail", sa.Text, nullable=False),
        sa.Column("body_bytes", sa.Integer, nullable=False),
    )
