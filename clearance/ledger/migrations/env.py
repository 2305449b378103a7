"""Alembic's entry: runs the migrations on the connection that `clearance.ledger.migrate` opened."""

from alembic import context

import clearance.ledger.mail_tables
import clearance.ledger.oncall_tables  # noqa: F401 - their tables are part of the metadata
from clearance.ledger.tables import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    transactional_ddl=True,
)
context.run_migrations()
