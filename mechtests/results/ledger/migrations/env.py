"""Runs the migrations on the connection that :class:`mechtests.results.ledger.Ledger` holds, within its transaction."""

from alembic import context

from mechtests.results.ledger.tables import METADATA

context.configure(connection=context.config.attributes["connection"], target_metadata=METADATA)
context.run_migrations()
