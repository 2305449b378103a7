"""Rules: what decided, from what, and who stands on which list; and what is asked about one customer.

Only adds: new tables, columns that may be empty, indexes. The release before this one runs on it. Building the two
indexes on old tables keeps writers waiting meanwhile: a large ledger is upgraded in a quiet minute.
"""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Add the tables, columns and indexes."""
    moment = sa.DateTime(timezone=True)
    op.add_column("notifications", sa.Column("series_id", sa.Text))
    op.add_column("notifications", sa.Column("occurrence_id", sa.Text))
    op.add_column("decisions", sa.Column("policy", sa.Text))
    op.create_index("ix_notifications_customer_id", "notifications", ["customer_id", "id"])
    op.create_index("ix_obligations_subject", "obligations", ["subject"])
    op.create_table(
        "decision_inputs",
        sa.Column("subject", sa.String(64), nullable=False),
        sa.Column("customer_id", sa.String(256), nullable=False),
        sa.Column("inputs", sa.LargeBinary, nullable=False),
        sa.Column("recorded_at", moment, nullable=False),
        sa.PrimaryKeyConstraint("subject", "customer_id"),
    )
    op.create_index(
        "ix_decision_inputs_recorded_at", "decision_inputs", ["recorded_at", "subject", "customer_id"]
    )
    op.create_table(
        "rule_sets",
        sa.Column("version", sa.String(64), primary_key=True),
        sa.Column("text", sa.Text, nullable=False),
        sa.Column("first_seen_at", moment, nullable=False),
    )
    op.create_table(
        "rules_in_force",
        sa.Column("process", sa.String(256), primary_key=True),
        sa.Column("lane", sa.String(16), nullable=False),
        sa.Column("version", sa.String(64), nullable=False),
        sa.Column("loaded_at", moment, nullable=False),
        sa.Column("seen_at", moment, nullable=False),
        sa.Column("problem", sa.Text),
    )
    op.create_table(
        "rules_reloads",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("asked_at", moment, nullable=False),
        sa.Column("asked_by", sa.String(64), nullable=False),
    )
    op.create_table(
        "suppressions",
        sa.Column("list_name", sa.String(64), nullable=False),
        sa.Column("customer_id", sa.String(256), nullable=False),
        sa.Column("added_at", moment, nullable=False),
        sa.Column("added_by", sa.String(64), nullable=False),
        sa.Column("note", sa.Text),
        sa.Column("until", moment),
        sa.PrimaryKeyConstraint("list_name", "customer_id"),
    )
    op.create_index("ix_suppressions_customer_id", "suppressions", ["customer_id"])
