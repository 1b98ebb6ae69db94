"""Claims that are compared with their registration, and ``mechtests register``."""

import json
import subprocess
import sys

import pytest

from mechtests.cli import main
from mechtests.pytest_plugin import registration
from tests.suite import CONFTEST, REFUTED, SAMPLED, SUPPORTED, USAGE_ERROR, outcomes, printed

WIDER = SUPPORTED.replace("above=1", "above=0")
OTHER_BODY = SUPPORTED.replace("weight.mean()", "weight.max()")


class InProcess:
    """pytest, except that its runs leave this process as it was."""

    def __init__(self, pytester):
        self._pytester = pytester

    def main(self, arguments, plugins):
        return self._pytester.inline_run(*arguments, plugins=plugins).ret

    def __getattr__(self, name):
        return getattr(pytest, name)


@pytest.fixture
def register(suite, monkeypatch, capsys):
    """``mechtests register`` in the suite: its code, and what it prints."""
    monkeypatch.setattr(registration, "pytest", InProcess(suite.pytester))

    def run(*words):
        capsys.readouterr()
        code = main(["register", *words])
        return code, "".join(capsys.readouterr())

    return run


@pytest.fixture
def registered(suite, register):
    """The suite with two claims that are registered."""
    suite.claims(SUPPORTED, REFUTED)
    assert register(".")[0] == 0
    return suite


def entries(suite):
    return json.loads((suite.path / "registry.json").read_text())["claims"]


def test_a_suite_without_a_registry_is_not_checked(suite):
    assert outcomes(suite.claims(SUPPORTED).run()) == {"passed": 1}
    (record,) = suite.document()["claims"]
    assert not {"registered", "amendments"} & set(record)


def test_claims_as_registered_are_judged_and_their_records_say_since_when(registered):
    assert outcomes(registered.run()) == {"passed": 1, "failed": 1}
    for record in registered.document()["claims"]:
        assert record["registered"] == entries(registered)[record["id"]]["registered"]
        assert record["amendments"] == []


def test_a_claim_that_is_not_registered_stops_the_run(registered):
    result = registered.claims(SUPPORTED, REFUTED, SAMPLED).run()
    assert result.ret == USAGE_ERROR
    assert "1 claim is not as registered." in printed(result)
    assert "toy/weights/often (test_toy.py)\n    not registered\n" in printed(result)
    assert "mechtests register test_toy.py\n" in printed(result)
    assert not registered.results.exists()


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        (WIDER, "expect: Value(above=1) → Value(above=0)"),
        (OTHER_BODY, "code: "),
        (SUPPORTED.replace("[untrained]", "[]"), "controls: untrained, 19 draws → nothing"),
        (SUPPORTED.replace("It is so.", "It may be so."), "statement: It is so. → It may be so."),
    ],
    ids=["region", "body", "controls", "statement"],
)
def test_a_claim_that_was_changed_stops_the_run_with_what_changed(registered, changed, told):
    result = registered.claims(changed, REFUTED).run()
    output = printed(result)
    assert result.ret == USAGE_ERROR
    assert f"toy/weights/positive (test_toy.py)\n    {told}" in output
    assert 'mechtests register test_toy.py --reason "…"' in output
    assert "toy/weights/negative" not in output
    assert "Traceback" not in output
    assert "mechtests/" not in output


def test_a_change_of_what_is_not_selected_stops_nothing(registered):
    assert outcomes(registered.claims(WIDER, REFUTED).run("-k", "negative")) == {"failed": 1, "deselected": 1}


def test_workers_judge_nothing_that_is_not_as_registered(registered):
    result = registered.claims(WIDER, REFUTED).run("-n1")
    assert result.ret == USAGE_ERROR
    assert printed(result).count("expect: Value(above=1) → Value(above=0)") == 1
    assert not registered.results.exists()


def test_an_amended_claim_is_judged_and_its_record_says_what_changed_and_why(registered, register):
    (registered.path / "pytest.ini").write_text("[pytest]\nclaims_baseline = record.json\n")
    registered.run("--update-claims-baseline")
    registered.claims(WIDER, REFUTED)
    assert register(".", "--reason", "the source says above 0")[0] == 0
    assert outcomes(registered.run()) == {"passed": 1, "xfailed": 1}
    amendments = {one["id"]: one["amendments"] for one in registered.document()["claims"]}
    (amendment,) = amendments["toy/weights/positive"]
    assert amendment["changes"] == [{"field": "expect", "before": "Value(above=1)", "after": "Value(above=0)"}]
    assert amendment["reason"] == "the source says above 0"
    assert amendment["verdicts"] == {"supported": 1}
    assert amendments["toy/weights/negative"] == []


@pytest.mark.parametrize("reason", [[], ["--reason", " "]])
def test_a_change_is_not_recorded_without_a_reason(registered, register, reason):
    before = entries(registered)
    registered.claims(WIDER, REFUTED, SAMPLED)
    code, told = register(".", *reason)
    assert code == 2
    assert "toy/weights/positive: expect: Value(above=1) → Value(above=0)" in told
    assert "mechtests: 1 registered claim changed, as listed above, and nothing was recorded." in told
    assert entries(registered) == before


def test_registering_again_changes_nothing(registered, register):
    file = registered.path / "registry.json"
    before, written = file.read_bytes(), file.stat().st_mtime_ns
    code, told = register(".", "--reason", "none")
    assert (code, told) == (0, "registry.json: 2 claims, 0 of them recorded now\n")
    assert (file.read_bytes(), file.stat().st_mtime_ns) == (before, written)


def test_one_test_alone_can_be_registered(registered, register):
    registered.claims(WIDER, OTHER_BODY.replace("positive", "greatest"), REFUTED)
    code, told = register("test_toy.py::test_greatest")
    assert code == 0
    assert "registered toy/weights/greatest\n" in told
    assert entries(registered)["toy/weights/positive"]["states"]["expect"] == "Value(above=1)"


def test_the_registration_of_a_claim_without_a_test_stays_and_is_told(registered, register):
    registered.claims(SUPPORTED)
    assert "no test states toy/weights/negative any more; its registration stays\n" in register(".")[1]
    assert "toy/weights/negative" in entries(registered)


def test_a_registry_is_made_in_the_folder_that_is_named(suite, register):
    folder = suite.path / "claims"
    folder.mkdir()
    suite.claims(SUPPORTED)
    (suite.path / "test_toy.py").rename(folder / "test_toy.py")
    assert register("claims")[0] == 0
    assert (folder / "registry.json").exists()
    assert not (suite.path / "registry.json").exists()


def test_registering_nothing_is_told_in_one_line(suite, register):
    suite.claims("def test_plain(): pass")
    code, told = register(".")
    assert (code, told) == (2, "mechtests: no claim in .. Name the folder or the file with the claims.\n")


def test_what_pytest_cannot_collect_is_not_registered(suite, register):
    suite.claims(SUPPORTED, "raise OSError('disk')")
    code, told = register(".")
    assert code == 2
    assert "OSError: disk" in told
    assert not (suite.path / "registry.json").exists()


def test_a_damaged_registry_is_told_in_one_message(registered, register):
    (registered.path / "registry.json").write_text("<<<<<<< HEAD")
    result = registered.run()
    assert result.ret == USAGE_ERROR
    assert "registry.json: the registry of claims cannot be read" in printed(result)
    assert "Traceback" not in printed(result)
    code, told = register(".")
    assert code == 2
    assert told.count("\n") == 1


def test_a_registration_invalidates_no_cached_judgement(tiny, register):
    tiny.weights()
    tiny.run()
    register(".")
    result = tiny.run()
    assert "judgements recalled: 1" in printed(result)
    assert tiny.document()["claims"][0]["registered"]


def test_as_a_process_it_registers_where_warnings_are_errors(suite):
    suite.claims(SUPPORTED, conftest=CONFTEST)
    (suite.path / "pytest.ini").write_text("[pytest]\nfilterwarnings = error\n")
    command = [sys.executable, "-c", "import sys; from mechtests.cli import main; sys.exit(main())", "register", "."]
    run = subprocess.run(command, cwd=suite.path, capture_output=True, text=True, check=False)
    assert (run.returncode, run.stderr) == (0, "")
    assert run.stdout == "registered toy/weights/positive\nregistry.json: 1 claim, 1 of them recorded now\n"
