"""Runs migrations on the connection that ``orchestrator.store.database.migrate`` passes to it."""

from alembic import context

context.configure(connection=context.config.attributes["connection"])
with context.begin_transaction():
    context.run_migrations()
