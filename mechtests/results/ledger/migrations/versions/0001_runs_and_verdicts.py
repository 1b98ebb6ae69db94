"""Runs, and their verdicts."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    op.create_table(
        "runs",
        sa.Column("id", sa.String(64), nullable=False),
        sa.Column("started", sa.DateTime(), nullable=False),
        sa.Column("seconds", sa.Float(), nullable=False),
        sa.Column("commit", sa.Text()),
        sa.Column("device", sa.Text(), nullable=False),
        sa.Column("versions", sa.JSON(), nullable=False),
        sa.Column("seed", sa.BigInteger(), nullable=False),
        sa.Column("alpha", sa.Float(), nullable=False),
        sa.Column("budget", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_runs"),
    )
    op.create_index("ix_runs_started", "runs", ["started"])
    op.create_table(
        "verdicts",
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("run", sa.String(64), nullable=False),
        sa.Column("finding", sa.Text(), nullable=False),
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("params", sa.JSON(), nullable=False),
        sa.Column("system", sa.Text(), nullable=False),
        sa.Column("expect", sa.JSON(), nullable=False),
        sa.Column("name", sa.Text()),
        sa.Column("sha256", sa.Text()),
        sa.Column("made", sa.JSON()),
        sa.Column("verdict", sa.String(16), nullable=False),
        sa.Column("estimate", sa.Float()),
        sa.Column("low", sa.Float()),
        sa.Column("high", sa.Float()),
        sa.Column("units", sa.BigInteger(), nullable=False),
        sa.Column("e_value", sa.Float()),
        sa.Column("p_value", sa.Float()),
        sa.Column("seconds", sa.Float(), nullable=False),
        sa.Column("reason", sa.Text()),
        sa.PrimaryKeyConstraint("number", name="pk_verdicts"),
        sa.ForeignKeyConstraint(["run"], ["runs.id"], name="fk_verdicts_run", ondelete="CASCADE"),
    )
    op.create_index("ix_verdicts_run", "verdicts", ["run"])
    op.create_index("ix_verdicts_finding_id", "verdicts", ["finding", "id"])
    op.create_index("ix_verdicts_sha256_name", "verdicts", ["sha256", "name"])
    op.create_index("ix_verdicts_system_run", "verdicts", ["system", "run"])
