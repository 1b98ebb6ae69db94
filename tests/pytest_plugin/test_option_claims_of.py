"""``--claims-of``: the claims of which systems a run judges."""

import pytest

from tests.suite import CONFTEST, ON_TINY, SUPPORTED, TINY_CONFTEST, USAGE_ERROR, outcomes, printed


@pytest.fixture
def both(suite):
    """A suite with a claim about ``toy`` and one about ``tiny``."""
    suite.claims(SUPPORTED, ON_TINY, "def test_plain(): pass", conftest=CONFTEST + TINY_CONFTEST)
    suite.weights("seed0")
    return suite


@pytest.mark.parametrize(("system", "name"), [("toy", "positive"), ("tiny", "bias")])
def test_the_claims_of_one_system_are_judged_alone(both, system, name):
    assert list(both.records(f"--claims-of={system}")) == [name]
    assert outcomes(both.run(f"--claims-of={system}")) == {"passed": 1, "deselected": 2}


@pytest.mark.parametrize("workers", [[], ["-n2"]], ids=["one process", "workers"])
def test_an_unknown_system_stops_the_run_and_names_the_known_ones(both, workers):
    result = both.run("--claims-of=addr", *workers)
    assert result.ret == USAGE_ERROR
    output = printed(result)
    assert output.count("--claims-of addr: no such system. Known here: ") == 1
    assert {"tiny", "toy"} <= set(output.split("Known here: ")[1].split(".")[0].split(", "))
    assert not both.results.exists()
