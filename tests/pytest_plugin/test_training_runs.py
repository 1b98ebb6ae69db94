"""Claims about findings over training runs, as a user's repository collects them."""

import json

import pytest

from mechtests.inference import Region, seeds_needed

CONFTEST = """
import pytest, torch
from mechtests import System
from mechtests.checkpoints import Checkpoint, Provenance

def at(weight, step):
    module = torch.nn.Linear(2, 1, bias=False)
    with torch.no_grad():
        module.weight.fill_(weight)
    system = System(module, f"toy at step {step}")
    return system

@pytest.fixture
def seeds():
    return [at(weight, 1) for weight in WEIGHTS]

@pytest.fixture
def by_recipe():
    return {"light": [at(1.0, 1)] * 20}
"""

CLAIMS = '''"""Over training runs."""
import mechtests as mt

POST = mt.Source("A post")

@mt.claim("toy/weights/positive", "They are positive.", source=POST, expect=mt.Value(above=0))
def positive(toy, evidence, sign=1):
    if toy.module.weight.mean() > 10:
        evidence.untested("too large")
    evidence.value(sign * toy.module.weight.mean())
'''

UNIVERSAL = """
import toy_claims
test_universal = mt.universality(
    "toy/weights/universal", mt.findings(toy_claims), source=POST, over="seeds", at_least=0.5
)
"""
BY_RECIPE = """
import toy_claims
test_universal = mt.universality(
    "toy/weights/universal", mt.findings(toy_claims), source=POST, over="by_recipe", at_least=0.5,
    recipes=["light", "heavy"],
)
"""
HEAD = '"""Over training runs."""\nimport mechtests as mt\nPOST = mt.Source("A post")\n'


@pytest.fixture
def judged(pytester):
    """Runs a test file on seeds of some weights; returns the claims of the results file."""

    def run(tests, weights=(1.0,) * 20):
        pytester.makeconftest(CONFTEST.replace("WEIGHTS", repr(weights)))
        pytester.makepyfile(toy_claims=CLAIMS, test_runs=HEAD + tests)
        pytester.syspathinsert()
        pytester.runpytest_inprocess("-p", "no:cacheprovider")
        results = pytester.path / "reports" / "latest" / "results.json"
        return json.loads(results.read_text())["claims"]

    return run


@pytest.mark.parametrize(
    ("weights", "verdict"),
    [((1.0,) * 20, "supported"), ((-1.0,) * 20, "refuted"), ((1.0, -1.0), "inconclusive"), ((), "untested")],
    ids=["all", "none", "half", "no-seed"],
)
def test_universality_is_the_share_of_seeds_on_which_a_finding_is_supported(judged, weights, verdict):
    (record,) = judged(UNIVERSAL, weights)
    assert (record["id"], record["params"]) == ("toy/weights/universal", {"finding": "weights/positive[1]"})
    assert (record["verdict"], record["units"]) == (verdict, len(weights))
    assert record["statement"] == "The finding is supported on 50% or more of a recipe's independent seeds."


def test_universality_says_how_many_seeds_a_verdict_takes(judged):
    (record,) = judged(UNIVERSAL, (1.0, 1.0, -1.0))
    assert record["verdict"] == "inconclusive"
    assert "supported on 2 of 3 seeds on which it is decided, of 3 in all" in record["reason"]
    assert f"needs {seeds_needed(Region(0.5), 0.05)} of them or more" in record["reason"]
    assert "posterior chance of that is 0.7" in record["reason"]


def test_universality_is_untested_where_a_finding_is(judged):
    (record,) = judged(UNIVERSAL, (1.0, 20.0))
    assert record["verdict"] == "untested"
    assert record["reason"] == "weights/positive[1] is untested on toy at step 1: too large"


def test_universality_judges_each_recipe_by_itself(judged):
    heavy, light = judged(BY_RECIPE)
    assert [heavy["params"]["recipe"], light["params"]["recipe"]] == ["heavy", "light"]
    assert (light["verdict"], heavy["verdict"]) == ("supported", "untested")
    assert heavy["reason"] == "no checkpoint of the recipe heavy is judged in this run"
