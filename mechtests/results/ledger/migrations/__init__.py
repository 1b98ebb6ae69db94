"""The way of the ledger's tables from every earlier form to today's, by Alembic."""
