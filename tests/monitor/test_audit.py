"""``mechtests audit``: the claims on models that never trained."""

from collections import Counter

import pytest

from mechtests.cli import main
from mechtests.monitor.audit import Audited, audit_markdown, audited
from tests.suite import HEAD, TINY_CONFTEST, Suite, claim_test

CLAIMS = HEAD + "\n".join(
    claim_test(name, expect, f"evidence.value({value})", "tiny, evidence", controls, of="tiny")
    for name, expect, value, controls in [
        ("large", "Value(above=4)", "tiny.module.bias.sum()", "[untrained]"),
        ("outputs", "Value(above=0)", "tiny.module.bias.numel()", "[]"),
        ("as-many", "Value(above=0)", "tiny.module.bias.numel()", "[untrained]"),
    ]
)


def record(claim="toy/a/b", verdict="refuted", support=None, kind="causal"):
    return {"id": claim, "verdict": verdict, "support": support, "evidence_kind": kind}


@pytest.fixture
def suite(pytester, monkeypatch):
    suite = Suite(pytester).claims(conftest=TINY_CONFTEST)
    (suite.path / "claims").mkdir()
    (suite.path / "claims" / "test_tiny.py").write_text(CLAIMS)
    monkeypatch.chdir(suite.path)
    monkeypatch.setenv("PYTEST_ADDOPTS", "-p no:cacheprovider --no-claims-cache")
    return suite


def test_counts_the_verdicts_of_each_claim_and_of_all_without_identities():
    records = [
        record(),
        record(verdict="supported", support="no control"),
        record("toy/a/c", "supported", "rank among controls"),
        record("toy/a/d", "supported", "identity", "identity"),
    ]
    first, second, whole = audited(records)
    assert first == Audited("toy/a/c", Counter(supported=1), 0)
    assert second == Audited("toy/a/b", Counter(supported=1, refuted=1), 1)
    assert (whole.name, whole.supported, whole.judged, whole.without_control) == ("all", 2, 3, 1)
    low, high = whole.interval
    assert 0 < low < 2 / 3 < high < 1
    assert audited(records[-1:]) == []


def test_a_table_names_the_claims_that_were_supported():
    lines = audit_markdown(audited([record(), record("toy/a/c", "supported", "no control")])).splitlines()
    assert [line.split(" | ")[0] for line in lines[2:]] == ["| toy/a/c", "| all"]
    assert "50.00%" in lines[-1]


def test_judges_models_that_never_trained_in_the_place_of_a_checkpoint(suite, capfd):
    suite.weights()
    assert main(["audit", "claims", "--nulls", "3"]) == 0
    *_, outputs, whole = capfd.readouterr().out.splitlines()
    assert outputs.startswith("| tiny/weights/outputs | 3 | 3 | 3 | 0 |")
    assert whole.startswith("| all | 9 | 3 | 3 | 3 |")
    assert main(["audit", "claims", "--nulls", "3", "--at-most", "0.3"]) == 1


def test_nulls_are_models_of_their_own_and_others_than_the_twins_of_controls(suite):
    suite.weights()
    suite.run("claims", "--claims-nulls", "4")
    checkpoints = {claim["checkpoint"]["name"]: claim["checkpoint"]["sha256"] for claim in suite.document()["claims"]}
    assert sorted(checkpoints) == [f"tiny-null{number:03}" for number in range(4)]
    assert len(set(checkpoints.values())) == 4
    large = [claim for claim in suite.document()["claims"] if claim["id"] == "tiny/weights/large"]
    assert len({claim["estimate"] for claim in large}) == 4
    assert all("--claims-nulls 4" in claim["rerun"] for claim in large)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["claims", "--nulls", "0"], "expected 1 model or more"),
        (["claims"], "no claim could be judged"),
        (["nowhere"], "pytest ended with code 4"),
    ],
)
def test_what_cannot_be_judged_is_one_message(suite, capfd, arguments, message):
    assert main(["audit", *arguments]) == 2
    assert message in capfd.readouterr().err.splitlines()[-1]
