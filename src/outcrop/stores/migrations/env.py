"""Alembic's entry: runs on the connection that ``upgrade`` hands over, in its transaction."""

from alembic import context

context.configure(connection=context.config.attributes["connection"])
context.run_migrations()
