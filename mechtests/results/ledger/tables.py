"""The ledger's tables as they are today; ``migrations`` holds the way from every earlier form."""

from sqlalchemy import (
    JSON,
    BigInteger,
    Column,
    DateTime,
    Float,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
)

METADATA = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "pk": "pk_%(table_name)s",
    }
)

RUNS = Table(
    "runs",
    METADATA,
    Column("id", String(64), primary_key=True),
    Column("started", DateTime, nullable=False, index=True),  # in UTC; SQLite has no time zones
    Column("seconds", Float, nullable=False),
    Column("commit", Text),
    Column("device", Text, nullable=False),
    Column("versions", JSON, nullable=False),
    Column("seed", BigInteger, nullable=False),
    Column("alpha", Float, nullable=False),
    Column("budget", BigInteger, nullable=False),
)

VERDICTS = Table(
    "verdicts",
    METADATA,
    Column("number", Integer, primary_key=True),
    Column("run", String(64), ForeignKey("runs.id", ondelete="CASCADE"), nullable=False, index=True),
    Column("finding", Text, nullable=False),  # the claim's id, with its parameters
    Column("id", Text, nullable=False),
    Column("params", JSON, nullable=False),
    Column("system", Text, nullable=False),
    Column("expect", JSON, nullable=False),
    Column("name", Text),  # of the checkpoint
    Column("sha256", Text),
    Column("made", JSON(none_as_null=True)),  # all else that the results file says of the checkpoint
    Column("verdict", String(16), nullable=False),
    Column("estimate", Float),
    Column("low", Float),
    Column("high", Float),
    Column("units", BigInteger, nullable=False),
    Column("e_value", Float),
    Column("p_value", Float),
    Column("seconds", Float, nullable=False),
    Column("reason", Text),
    # Each answers a question alone, so that the rows need not be read.
    Index("ix_verdicts_finding_id", "finding", "id"),
    Index("ix_verdicts_sha256_name", "sha256", "name"),
    Index("ix_verdicts_system_run", "system", "run"),
)
