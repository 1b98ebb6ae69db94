"""Runs on pytest-xdist's workers."""

import json

from tests.suite import (
    BY_VERDICT,
    CONFTEST,
    INCONCLUSIVE,
    ON_TINY,
    SAMPLED,
    SUPPORTED,
    TINY_CONFTEST,
    claim_test,
    corrupt,
    outcomes,
    without_seconds,
)


def test_workers_reach_and_record_the_verdicts_of_one_process(suite):
    marks = "@pytest.mark.parametrize('rate', [0.1, 0.6, 0.9])"
    several = claim_test(
        "rate", "Rate(at_least=0.5)", "share_below(evidence, rate)", "toy, rate, evidence", marks=marks
    )
    curve = claim_test("curve", "Monotone('increasing', at_least=1)", "evidence.response('loss', [0, 1, 2], [1, 2, 3])")
    broken = claim_test("broken", "Value(above=0)", "raise ValueError('no')")
    suite.claims(*BY_VERDICT.values(), SAMPLED, several, curve, broken, ON_TINY, conftest=CONFTEST + TINY_CONFTEST)
    suite.weights("seed0", bias=1.0)
    suite.weights("seed1", bias=-1.0)
    corrupt(suite)
    found = []
    for workers in ([], ["-n2"]):
        result = suite.run(*workers, "--claims-baseline=record.json", "--update-claims-baseline")
        told = outcomes(result), all(verdict in result.stdout.str() for verdict in BY_VERDICT)
        claims = [without_seconds({"": claim}) for claim in suite.document()["claims"]]
        record = suite.path / "record.json"
        found.append((told, result.ret, claims, json.loads(record.read_text())["verdicts"]))
        record.unlink()
    assert found[0] == found[1]
    assert found[0][0][1]


def test_workers_share_the_fresh_seed_of_their_run(suite):
    suite.claims(SUPPORTED, SAMPLED, INCONCLUSIVE)
    suite.run("-n2", "--claims-seed=fresh")
    document = suite.document()
    assert len(document["claims"]) == 3
    seed = document["run"]["seed"]
    assert all(record["rerun"].endswith(f"--claims-seed {seed}") for record in document["claims"])
