"""Alembic's entry: runs the migrations on the connection that `clearance.ledger.migrate` opened."""

from alembic import context

from clearance.ledger.tables import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    transactional_ddl=True,
)
context.run_migrations()
