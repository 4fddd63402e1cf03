"""Alembic's entry: runs the revisions on the connection that the store hands over, inside its transaction."""

from __future__ import annotations

from alembic import context

from goldwire.changelog.schema import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    transactional_ddl=True,
    render_as_batch=True,
)
with context.begin_transaction():
    context.run_migrations()
