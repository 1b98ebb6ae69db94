"""What a ledger keeps, on SQLite, and with several processes that write to it at once."""

import sqlite3

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Connection, create_engine

from mechtests.results.ledger import Ledger, LedgerError
from mechtests.results.ledger.tables import METADATA
from tests import documents
from tests.results.ledger.writing import run, writers


@pytest.fixture
def ledger(tmp_path):
    return Ledger(tmp_path / "deep" / "history.db")


class TestAdd:
    def test_keeps_the_run_and_every_verdict(self, ledger):
        made = run(commit="c0ffee")
        assert ledger.add(made) is True
        (past,) = ledger.runs()
        assert (past.id, past.commit, past.started.isoformat()) == ("run-0", "c0ffee", "2025-03-01T12:00:00")
        assert past.verdicts == {"supported": 3, "refuted": 3, "vacuous": 1, "inconclusive": 1, "untested": 1}
        records = {(record["id"], str(record["checkpoint"]), record["verdict"]): record for record in ledger.verdicts()}
        for claim in made["claims"]:
            record = records[claim["id"], str(claim["checkpoint"]), claim["verdict"]]
            for name in ("estimate", "interval", "units", "params", "expect", "e_value", "reason", "checkpoint"):
                assert record[name] == claim[name]

    def test_adds_a_run_once(self, ledger):
        ledger.add(run())
        assert ledger.add(run()) is False
        assert len(ledger.runs()) == 1
        assert len(ledger.verdicts()) == len(run()["claims"])

    def test_keeps_times_in_utc(self, ledger):
        ledger.add(run(at="2025-03-01T12:00:00+02:00"))
        assert ledger.runs()[0].started.isoformat() == "2025-03-01T10:00:00"

    def test_takes_a_run_without_claims(self, ledger):
        assert ledger.add({**run(), "claims": []})
        assert (ledger.runs()[0].verdicts, ledger.verdicts()) == ({}, [])

    def test_adds_nothing_of_a_run_that_cannot_be_added_whole(self, ledger):
        made = run()
        made["claims"][-1]["verdict"] = None
        with pytest.raises(LedgerError):
            ledger.add(made)
        assert ledger.add(run(1))
        assert [past.id for past in ledger.runs()] == ["run-1"]

    def test_takes_text_of_any_kind(self, ledger):
        made = documents.hostile()
        ledger.add(made)
        assert {record["reason"] for record in ledger.verdicts()} == {claim["reason"] for claim in made["claims"]}


class TestAsk:
    def test_tells_the_newest_runs_first(self, ledger):
        for number, at in enumerate(("2025-03-01", "2025-03-03", "2025-03-02")):
            ledger.add(run(number, f"{at}T12:00:00+00:00"))
        assert [past.id for past in ledger.runs()] == ["run-1", "run-2", "run-0"]
        assert [past.id for past in ledger.runs(limit=2)] == ["run-1", "run-2"]

    @pytest.mark.parametrize(
        ("asked", "many"),
        [
            ({"claim": "toy/weights/*"}, 3),
            ({"claim": "toy/training/emergence[[]*"}, 1),
            ({"claim": "toy/training/emergence[finding=weights/positive]"}, 1),
            ({"claim": "weights"}, 0),
            ({"checkpoint": "light-seed00"}, 2),
            ({"checkpoint": "light-seed*"}, 6),
            ({"checkpoint": "01001388"}, 2),
            ({"checkpoint": "0"}, 0),
            ({"checkpoint": "light-seed00", "claim": "*/positive"}, 1),
            ({"run": "run-0"}, 9),
            ({"run": "run-1"}, 0),
            ({"limit": 3}, 3),
        ],
    )
    def test_finds_verdicts(self, ledger, asked, many):
        ledger.add(run())
        assert len(ledger.verdicts(**asked)) == many

    def test_an_empty_place_is_told_and_not_made(self, ledger, tmp_path):
        with pytest.raises(LedgerError, match="no ledger here yet"):
            ledger.runs()
        assert list(tmp_path.iterdir()) == []


class TestTimeline:
    def test_shows_what_runs_judged_differently(self, ledger):
        ledger.add(run(0))
        changed = run(1, "2025-03-02T12:00:00+00:00")
        (claim,) = [claim for claim in changed["claims"] if claim["id"].endswith("emergence")]
        claim["verdict"] = "refuted"
        ledger.add(changed)
        timeline = ledger.timeline(["toy"], 20)
        assert [past.id for past in timeline.runs] == ["run-0", "run-1"]
        ((finding, verdicts),) = timeline.rows
        assert finding == "toy/training/emergence[finding=weights/positive]"
        assert verdicts == [{"supported": 1}, {"refuted": 1}]
        assert timeline.steady == 3

    def test_leaves_out_runs_of_other_systems_and_of_long_ago(self, ledger):
        for number in range(4):
            ledger.add(run(number, f"2025-03-0{number + 1}T12:00:00+00:00"))
        other = run(9, "2025-04-01T12:00:00+00:00")
        for claim in other["claims"]:
            claim["system"] = "other"
        ledger.add(other)
        assert [past.id for past in ledger.timeline(["toy"], 2).runs] == ["run-2", "run-3"]
        assert [past.id for past in ledger.timeline(["other"], 2).runs] == ["run-9"]

    def test_a_finding_judged_on_fewer_checkpoints_with_the_same_answer_has_not_changed(self, ledger):
        def judged(number, verdicts):
            made = run(number, f"2025-03-0{number + 1}T12:00:00+00:00")
            one = next(claim for claim in made["claims"] if claim["id"] == "toy/weights/positive")
            made["claims"] = [{**one, "verdict": verdict} for verdict in verdicts]
            ledger.add(made)

        judged(0, ["supported", "supported", "untested"])
        judged(1, ["supported"])
        judged(2, ["untested"])
        assert ledger.timeline(["toy"], 9).rows == []
        judged(3, ["supported", "refuted"])
        ((_, verdicts),) = ledger.timeline(["toy"], 9).rows
        assert verdicts[-1] == {"supported": 1, "refuted": 1}


class TestTables:
    def test_migrations_lead_to_the_tables_of_today(self, ledger):
        ledger.add(run())
        engine = create_engine(ledger.url)
        with engine.connect() as connection:
            assert compare_metadata(MigrationContext.configure(connection), METADATA) == []
        engine.dispose()

    def test_of_a_newer_version_are_left_alone(self, ledger):
        ledger.add(run())
        with sqlite3.connect(ledger.url.database) as connection:
            connection.execute("UPDATE alembic_version SET version_num = '9999'")
        connection.close()
        with pytest.raises(LedgerError, match="If a newer one made it, update"):
            Ledger(ledger.url.database).add(run(1))
        with pytest.raises(LedgerError, match="If a newer one made it, update"):
            Ledger(ledger.url.database).runs()


class TestPlaces:
    def test_that_are_no_database_are_told(self, tmp_path):
        (tmp_path / "file").write_text("not a database, but long enough to be looked at " * 50)
        for where, message in [
            (tmp_path / "file", "file is not a database"),
            (tmp_path / "file" / "history.db", "Not a directory|File exists"),
            (tmp_path, "unable to open database file"),
            ("postgresql://nobody:secret@127.0.0.1:1/none", "refused"),
            ("nonsense://somewhere", "nonsense"),
        ]:
            with pytest.raises(LedgerError, match=message) as error:
                Ledger(where).add(run())
            assert "secret" not in str(error.value)
            assert "\n" not in str(error.value)

    def test_a_url_that_cannot_be_read_is_told_without_its_password(self):
        with pytest.raises(LedgerError, match="cannot be read") as error:
            Ledger("postgresql://me:secret@host:port/name")
        assert "secret" not in str(error.value)

    def test_of_postgresql_are_for_the_driver_that_comes_along(self):
        assert Ledger("postgresql://me@host/name").url.drivername == "postgresql+psycopg"
        assert str(Ledger("postgresql://me:secret@host/name")) == "postgresql+psycopg://me:***@host/name"


def test_several_writers_add_every_run_once_to_a_ledger_that_none_has_made(tmp_path):
    where = tmp_path / "history.db"
    first, second = writers(where, firsts=(0, 8), many=16)
    assert first[:8] == second[8:] == [True] * 8
    assert [{one, other} for one, other in zip(first[8:], second[:8], strict=True)] == [{True, False}] * 8
    assert len(Ledger(where).runs()) == 24
    assert len(Ledger(where).verdicts()) == 24 * len(run()["claims"])


def test_a_run_that_another_process_adds_between_the_look_and_the_writing_is_added_once(ledger, monkeypatch):
    ledger.add(run())
    monkeypatch.setattr(Connection, "scalar", lambda *_: None)
    assert ledger.add(run()) is False
    assert len(ledger.verdicts()) == len(run()["claims"])
