"""Alembic's environment: runs the migrations on the connection that `database.py` hands over.

For development (`alembic revision --autogenerate`) pass an open connection the same way.
"""

from alembic import context

from cohorts.store.schema import Base

connection = context.config.attributes["connection"]
context.configure(
    connection=connection, target_metadata=Base.metadata, render_as_batch=True, compare_type=True
)
context.run_migrations()
