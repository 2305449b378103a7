"""On call: what waits for a person is found at once, who last acted on it, and whether somebody works on a lane.

Only adds: a table, two indexes, a column that may be empty. The release before this one runs on it.
"""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    """Add the table, the column and the indexes."""
    moment = sa.DateTime(timezone=True)
    is_on_desk = sa.text("state IN ('parked', 'missed') OR (state = 'open' AND attempts > 0)")
    op.create_table(
        "lane_heartbeats",
        sa.Column("lane", sa.String(16), primary_key=True),
        sa.Column("asked_at", moment, nullable=False),
        sa.Column("unanswered", sa.Integer, nullable=False, server_default="0"),
        sa.Column("sent_at", moment),
        sa.Column("received_at", moment),
        sa.Column("process", sa.String(256)),
    )
    op.add_column("obligations", sa.Column("action_id", sa.String(32)))
    op.create_index(
        "ix_obligations_desk",
        "obligations",
        ["deadline_at", "id"],
        sqlite_where=is_on_desk,
        postgresql_where=is_on_desk,
        postgresql_include=["lane", "state", "reason", "task"],
    )
    is_parked = sa.text("state = 'parked'")
    op.create_index(
        "ix_obligations_parked",
        "obligations",
        ["lane", "task"],
        sqlite_where=is_parked,
        postgresql_where=is_parked,
    )
