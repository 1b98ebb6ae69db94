"""Adding runs to a ledger, and asking it."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from functools import cached_property
from pathlib import Path
from typing import Any

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy import URL, Connection, Engine, RowMapping, Select, create_engine, event, func, insert, make_url, select
from sqlalchemy.exc import ArgumentError, DBAPIError, IntegrityError, SQLAlchemyError
from sqlalchemy.pool import NullPool

from mechtests.results.baseline import place
from mechtests.results.ledger.tables import RUNS, VERDICTS
from mechtests.results.ledger.timeline import PastRun, Timeline

Record = dict[str, Any]

_WAIT = 60
"""Seconds to wait for another writer of the same SQLite file."""

_PATIENCE = 10
"""Seconds to wait for a server's answer."""

_MIGRATING = 0x6D656368
"""The number of PostgreSQL's advisory lock under which the tables are changed."""

_PLAIN = (
    "id", "params", "system", "expect", "verdict", "estimate", "units", "e_value", "p_value", "seconds", "reason",
)  # fmt: skip
"""What a row has as the results file has it."""


class LedgerError(Exception):
    """A ledger that cannot be read or written: what was expected, what was found, what to do."""


class Ledger:
    """The verdicts of all runs.

    Several processes may use one at once: a run is added whole or not at all, and whoever comes first makes the tables.
    Every method raises :class:`LedgerError` where the database cannot be used.
    """

    def __init__(self, where: str | Path) -> None:
        """A ledger; nothing is opened yet.

        Args:
            where: a file of SQLite's, or the URL of a database, as in ``postgresql://user@host/name``.

        Raises:
            LedgerError: it is neither.
        """
        try:
            self.url = make_url(str(where)) if "://" in str(where) else URL.create("sqlite", database=str(where))
        except (ArgumentError, ValueError) as error:
            raise LedgerError(
                "the ledger's URL cannot be read. Expected a file, or a URL such as postgresql://user@host/name."
            ) from error
        if self.url.drivername == "postgresql":
            self.url = self.url.set(drivername="postgresql+psycopg")
        self._migrated = False

    def __str__(self) -> str:
        """Where it is, without a password."""
        return str(self._file or self.url.render_as_string(hide_password=True))

    def add(self, document: Mapping[str, Any]) -> bool:
        """Add the run of a results file; ``False`` where it is there already."""
        run = dict(document["run"])
        try:
            started = datetime.fromisoformat(run["started"]).astimezone(UTC).replace(tzinfo=None)
        except ValueError as error:
            raise LedgerError(
                f"run {run['id']}: {run['started']!r} is no time. Expected 2025-03-01T12:00:00Z."
            ) from error
        rows = [_row(run["id"], record) for record in document["claims"]]
        with self._transaction(writing=True) as connection:
            if connection.scalar(select(RUNS.c.id).where(RUNS.c.id == run["id"])) is not None:
                return False
            try:
                connection.execute(
                    insert(RUNS), {**{column.name: run[column.name] for column in RUNS.c}, "started": started}
                )
            except IntegrityError:
                connection.rollback()  # another process has added it since we looked
                return False
            if rows:
                connection.execute(insert(VERDICTS), rows)
        return True

    def runs(self, limit: int | None = None) -> list[PastRun]:
        """The last runs, the newest first."""
        asked = select(RUNS.c.id).order_by(RUNS.c.started.desc(), RUNS.c.id).limit(limit)
        with self._transaction() as connection:
            return self._runs(connection, connection.scalars(asked).all())

    def run_ids(self, digits: str) -> list[str]:
        """The ids of the runs that begin with ``digits``, of which there must be four or more."""
        asked = select(RUNS.c.id).where(RUNS.c.id.startswith(digits, autoescape=True)).order_by(RUNS.c.id)
        with self._transaction() as connection:
            return list(connection.scalars(asked)) if len(digits) >= 4 else []

    def verdicts(
        self, claim: str | None = None, checkpoint: str | None = None, run: str | None = None, limit: int | None = None
    ) -> list[Record]:
        """Verdicts, those of the newest run first.

        Args:
            claim: a glob that the claim's id must match, or the id with its parameters.
            checkpoint: a glob that the checkpoint's name must match, or the first digits of its sha256.
            run: the run's id.
            limit: so many at most.

        Returns:
            Records as a results file has them, as far as the ledger keeps them, each with its ``run`` and ``started``.
        """
        asked = (
            select(VERDICTS, RUNS.c.started).join(RUNS).order_by(RUNS.c.started.desc(), RUNS.c.id, VERDICTS.c.number)
        )
        with self._transaction() as connection:
            if run is not None:
                asked = asked.where(VERDICTS.c.run == run)
            if claim is not None:
                asked = _where(connection, asked, ("finding", "id"), lambda finding, id_: _matches(claim, finding, id_))
            if checkpoint is not None:
                asked = _where(
                    connection,
                    asked,
                    ("sha256", "name"),
                    lambda sha256, name: bool(name) and (_matches(checkpoint, name) or _starts(sha256, checkpoint)),
                )
            return [_record(row) for row in connection.execute(asked.limit(limit)).mappings()]

    def timeline(self, systems: Sequence[str], limit: int) -> Timeline:
        """The last ``limit`` runs that judged any of ``systems``, and their verdicts of those."""
        v = VERDICTS.c
        with self._transaction() as connection:
            about = select(v.run).where(v.system.in_(systems)).distinct()
            last = select(RUNS.c.id).where(RUNS.c.id.in_(about)).order_by(RUNS.c.started.desc(), RUNS.c.id).limit(limit)
            runs = self._runs(connection, connection.scalars(last).all())
            asked = select(v.finding, v.run, v.verdict, func.count()).where(
                v.run.in_([run.id for run in runs]), v.system.in_(systems)
            )
            found: dict[str, dict[str, dict[str, int]]] = {}
            for finding, run, verdict, many in connection.execute(asked.group_by(v.finding, v.run, v.verdict)):
                found.setdefault(finding, {}).setdefault(run, {})[verdict] = many
        return Timeline(runs[::-1], found)

    @staticmethod
    def _runs(connection: Connection, ids: Sequence[str]) -> list[PastRun]:
        counts: dict[str, dict[str, int]] = {run: {} for run in ids}
        names: dict[str, set[str]] = {run: set() for run in ids}
        v = VERDICTS.c
        several = select(v.run, v.name, v.verdict, func.count()).where(v.run.in_(ids))
        for run, name, verdict, many in connection.execute(several.group_by(v.run, v.name, v.verdict)):
            counts[run][verdict] = counts[run].get(verdict, 0) + many
            names[run] |= {name} if name else set()
        about = {run.id: run for run in connection.execute(select(RUNS).where(RUNS.c.id.in_(ids)))}
        return [
            PastRun(run, about[run].started, about[run].commit, tuple(sorted(names[run])), counts[run]) for run in ids
        ]

    @property
    def _file(self) -> Path | None:
        here = self.url.get_backend_name() == "sqlite" and self.url.database not in (None, "", ":memory:")
        return Path(str(self.url.database)) if here else None

    @cached_property
    def _engine(self) -> Engine:
        if self.url.get_backend_name() != "sqlite":
            # A server that does not answer must not hold up the end of a run.
            patience = {"connect_timeout": _PATIENCE} if self.url.get_backend_name() == "postgresql" else {}
            return create_engine(self.url, poolclass=NullPool, connect_args=patience)
        engine = create_engine(self.url, poolclass=NullPool, connect_args={"timeout": _WAIT})

        @event.listens_for(engine, "connect")
        def _leave_transactions_to_us(connection: Any, _: object) -> None:
            connection.isolation_level = None
            connection.execute("PRAGMA foreign_keys = ON")

        @event.listens_for(engine, "begin")
        def _begin(connection: Connection) -> None:
            # A reader that turns writer cannot wait for another one: both would wait for each other.
            writing = connection.get_execution_options().get("writing")
            connection.exec_driver_sql("BEGIN IMMEDIATE" if writing else "BEGIN")

        return engine

    @contextmanager
    def _transaction(self, writing: bool = False) -> Iterator[Connection]:
        try:
            if self._file is not None and not self._file.exists():
                if not writing:
                    raise LedgerError(
                        f"{self}: no ledger here yet. Every run of pytest that judges claims adds to one."
                    )
                self._file.parent.mkdir(parents=True, exist_ok=True)
            if not self._migrated:
                self._migrate()
                self._migrated = True
            with self._engine.connect().execution_options(writing=writing) as connection, connection.begin():
                yield connection
        except LedgerError:
            raise
        except ModuleNotFoundError as error:
            raise LedgerError(
                f"{self}: needs {error.name}, which is not installed. Try pip install 'mechtests[postgres]'."
            ) from error
        except CommandError as error:
            raise LedgerError(
                f"{self}: not a ledger as this mechtests knows it ({error}). If a newer one made it, update."
            ) from error
        except (SQLAlchemyError, OSError) as error:
            raise LedgerError(f"{self}: {_reason(error)}") from error

    def _migrate(self) -> None:
        config = Config()
        config.set_main_option("script_location", "mechtests.results.ledger:migrations")
        config.set_main_option("path_separator", "os")
        head = ScriptDirectory.from_config(config).get_current_head()
        with self._engine.connect() as connection, connection.begin():
            if MigrationContext.configure(connection).get_current_revision() == head:
                return
        with self._engine.connect().execution_options(writing=True) as connection, connection.begin():
            if connection.dialect.name == "postgresql":
                connection.execute(select(func.pg_advisory_xact_lock(_MIGRATING)))
            # Now that nobody else does: what another process has done since is seen, and not done again.
            config.attributes["connection"] = connection
            command.upgrade(config, "head")


def _row(run: str, record: Record) -> Record:
    made, interval = dict(record["checkpoint"] or {}), record["interval"] or (None, None)
    return {
        **{name: record[name] for name in _PLAIN},
        "run": run,
        "finding": place(record)[0],
        "name": made.pop("name", None),
        "sha256": made.pop("sha256", None),
        "made": made or None,
        "low": interval[0],
        "high": interval[1],
    }


def _record(row: RowMapping) -> Record:
    return {
        **{name: row[name] for name in _PLAIN},
        "checkpoint": {"name": row["name"], "sha256": row["sha256"], **(row["made"] or {})} if row["sha256"] else None,
        "interval": None if row["low"] is None else [row["low"], row["high"]],
        "run": row["run"],
        "started": row["started"],
    }


def _where(
    connection: Connection, asked: Select[Any], columns: tuple[str, str], wanted: Callable[[str, str], bool]
) -> Select[Any]:
    """``asked`` where two columns have values that are ``wanted``; databases do not have Python's globs."""
    first, second = (VERDICTS.c[column] for column in columns)
    pairs = connection.execute(select(first, second).distinct()).all()
    found = [pair for pair in pairs if wanted(*pair)]
    return asked.where(first.in_({one for one, _ in found}), second.in_({other for _, other in found}))


def _matches(glob: str, *texts: str) -> bool:
    return any(text == glob or fnmatchcase(text, glob) for text in texts)


def _starts(sha256: str | None, digits: str) -> bool:
    return len(digits) >= 6 and (sha256 or "").startswith(digits)


def _reason(error: Exception) -> str:
    """What the database or the system said, in one line."""
    said = error.orig if isinstance(error, DBAPIError) else error
    first = (str(said).strip() or type(said).__name__).splitlines()[0]
    return f"{first}. Name another one, or none with --no-claims-history."
