"""A group's decisions are kept by chunk, then customer: written one chunk after the other, not in a thousand places.

The same rows under the same names, so the release before this one runs on it; what it finds by customer, it finds
slowly. What decisions were made from says its chunk, too: of what the release before records on this schema,
`clearance rules diff` compares no group's. Who decides waits meanwhile: for a million decisions SQLite copied the table
in 6.2 s, and PostgreSQL built the indexes in 2.8 s.
"""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"

_COLUMNS = "subject, customer_id, approved, reasons, rules_version, inputs_digest, decided_at, policy, chunk"


def upgrade() -> None:
    """Exchange the key for two unique indexes: of decisions alone, and of those in chunks."""
    op.add_column("decision_inputs", sa.Column("chunk", sa.Integer))
    op.execute(
        "UPDATE decision_inputs SET chunk = (SELECT decisions.chunk FROM decisions"
        " WHERE decisions.customer_id = decision_inputs.customer_id AND decisions.subject = decision_inputs.subject)"
    )
    if op.get_context().dialect.name == "sqlite":
        _copy()
    else:
        op.drop_constraint("decisions_pkey", "decisions")
    _index("uq_decisions_alone", ["customer_id", "subject"], "chunk IS NULL", unique=True)
    _index("uq_decisions_in_chunk", ["subject", "chunk", "customer_id"], "chunk IS NOT NULL", unique=True)


def _copy() -> None:
    op.drop_index("ix_decisions_subject", "decisions")
    op.rename_table("decisions", "decisions_by_customer")
    op.create_table(
        "decisions",
        sa.Column("subject", sa.String(64), nullable=False),
        sa.Column("customer_id", sa.String(256), nullable=False),
        sa.Column("approved", sa.Boolean, nullable=False),
        sa.Column("reasons", sa.Text, nullable=False),
        sa.Column("rules_version", sa.String(64), nullable=False),
        sa.Column("inputs_digest", sa.String(64), nullable=False),
        sa.Column("decided_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("policy", sa.Text),
        sa.Column("chunk", sa.Integer),
    )
    op.execute(
        f"INSERT INTO decisions ({_COLUMNS}) SELECT {_COLUMNS} FROM decisions_by_customer"  # noqa: S608 - our columns
        " ORDER BY subject, chunk, customer_id"
    )
    op.drop_table("decisions_by_customer")
    _index("ix_decisions_subject", ["subject"], "chunk IS NULL", unique=False)


def _index(name: str, columns: list[str], condition: str, *, unique: bool) -> None:
    where = sa.text(condition)
    op.create_index(name, "decisions", columns, unique=unique, sqlite_where=where, postgresql_where=where)
