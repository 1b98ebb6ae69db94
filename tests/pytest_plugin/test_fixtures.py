"""The fixtures ``judge`` and ``registry``."""

import pytest

from tests.suite import ON_TINY


def test_a_claim_about_several_checkpoints_may_judge_other_claims(tiny):
    several = """
import sys
from mechtests import findings

@pytest.fixture
def all_tiny(registry):
    return registry.load_all("tiny")

@claim("tiny/weights/universal", "It is so everywhere.", source=POST, expect=Rate(at_least=0.5))
@pytest.mark.parametrize("finding", findings(sys.modules[__name__]))
def test_universal(finding, all_tiny, judge, evidence):
    evidence.census([finding.judge(judge, system).verdict is Verdict.SUPPORTED for system in all_tiny])
"""
    for name, bias in [("seed0", 1.0), ("seed1", 1.5), ("seed2", -1.0)]:
        tiny.weights(name, bias)
    # It is judged last, wherever it stands: others may by then have judged and kept what it asks for.
    collected = tiny.claims(several.replace("findings(sys.modules[__name__])", "[]"), ON_TINY).run(
        "--collect-only", "-q"
    )
    tests = [line.rpartition("::")[2].partition("[")[0] for line in collected.outlines if "::" in line]
    assert (tests[-1], tests.count("test_universal")) == ("test_universal", 1)
    record = tiny.claims(ON_TINY, several).records()["universal"]
    assert (record["verdict"], record["units"]) == ("supported", 3)
    assert record["estimate"] == pytest.approx(2 / 3)
    assert record["params"] == {"finding": "weights/bias"}
