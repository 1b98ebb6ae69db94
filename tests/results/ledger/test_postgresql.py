"""The ledger on a real PostgreSQL server, which these tests start from Debian's package."""

import os
import pwd
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import create_engine, text

from mechtests.results.ledger import Ledger, LedgerError
from mechtests.results.ledger.tables import METADATA
from tests.results.ledger.writing import run, writers

pytest.importorskip("psycopg", reason="psycopg is not installed: pip install 'mechtests[postgres]'")


def _programs():
    """The folder of the newest PostgreSQL server's programs; ``None`` where there is none."""
    debian = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[4]))
    found = shutil.which("initdb")
    return debian[-1].parent if debian else Path(found).resolve().parent if found else None


PROGRAMS = _programs()


def _user():
    """A user to run the server as, which refuses to run as root."""
    if os.geteuid():
        return None
    return next((user.pw_name for user in pwd.getpwall() if user.pw_name == "postgres"), "")


pytestmark = [
    pytest.mark.skipif(PROGRAMS is None, reason="no PostgreSQL server here: apt-get install postgresql"),
    pytest.mark.skipif(_user() == "", reason="PostgreSQL refuses to run as root, and there is no user postgres"),
]


@pytest.fixture(scope="module")
def server():
    """The URL of a server's database, without its name; it listens on a socket in its own folder alone."""
    user = _user()
    folder = Path(tempfile.mkdtemp(prefix="mechtests-pg-", dir="/tmp"))  # a socket's path may have 107 characters
    prefix = ["runuser", "-u", user, "--"] if user else []

    def ask(program, *words):
        subprocess.run([*prefix, str(PROGRAMS / program), *words], check=True, capture_output=True, cwd=folder)

    try:
        if user:
            shutil.chown(folder, user)
        ask("initdb", "-D", f"{folder}/data", "-U", "tester", "-A", "trust", "-E", "UTF8", "--no-sync")
        options = f"-c listen_addresses= -c unix_socket_directories={folder} -c fsync=off"
        ask("pg_ctl", "-D", f"{folder}/data", "-l", f"{folder}/log", "-w", "-o", options, "start")
        try:
            yield f"postgresql://tester@/{{name}}?host={folder}"
        finally:
            ask("pg_ctl", "-D", f"{folder}/data", "-m", "immediate", "stop")
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def database(server, request):
    """The URL of an empty database."""
    name = request.node.name[:60]
    engine = create_engine(server.format(name="postgres").replace("postgresql:", "postgresql+psycopg:"))
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text(f'CREATE DATABASE "{name}"'))
    engine.dispose()
    return server.format(name=name)


def test_keeps_runs_and_verdicts(database):
    ledger = Ledger(database)
    made = run(seed=1 << 40)
    made["claims"][0]["e_value"] = 1.7976931348623157e308
    assert ledger.add(made) is True
    assert ledger.add(made) is False
    (past,) = ledger.runs()
    assert (past.id, past.started.isoformat(), sum(past.verdicts.values())) == ("run-0", "2025-03-01T12:00:00", 9)
    assert len(ledger.verdicts(claim="toy/weights/*", checkpoint="light-seed00")) == 1
    assert max(record["e_value"] or 0 for record in ledger.verdicts()) == 1.7976931348623157e308
    assert ledger.timeline(["toy"], 9).runs == [past]


def test_migrations_lead_to_the_tables_of_today(database):
    ledger = Ledger(database)
    ledger.add(run())
    engine = create_engine(ledger.url)
    with engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), METADATA) == []
    engine.dispose()


def test_several_writers_add_every_run_once_to_a_ledger_that_none_has_made(database):
    first, second = writers(database, firsts=(0, 8), many=16)
    assert first[:8] == second[8:] == [True] * 8
    assert [{one, other} for one, other in zip(first[8:], second[:8], strict=True)] == [{True, False}] * 8
    assert len(Ledger(database).runs()) == 24
    assert len(Ledger(database).verdicts()) == 24 * len(run()["claims"])


def test_a_database_that_is_not_there_is_told(server):
    with pytest.raises(LedgerError, match="does not exist"):
        Ledger(server.format(name="elsewhere")).add(run())
