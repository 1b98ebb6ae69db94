"""Options that take a number or a device, and the command that judges a claim again."""

import shlex

import pytest

from tests.suite import INCONCLUSIVE, SAMPLED, SUPPORTED, USAGE_ERROR, claim_test, printed, without_seconds


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("--claims-alpha=0", "--claims-alpha 0: expected an error rate between 0 and 1"),
        ("--claims-alpha=1.5", "--claims-alpha 1.5"),
        ("--claims-alpha=nan", "--claims-alpha nan"),
        ("--claims-alpha=small", "--claims-alpha"),
        ("--claims-budget=0", "--claims-budget 0: expected at least 1 unit"),
        ("--claims-seed=x", "--claims-seed"),
        ("--device=nonsense", "--device nonsense: not usable here"),
        ("--device=hpu", "--device hpu: not usable here"),
        ("--checkpoint=toy", "--checkpoint toy: expected SYSTEM=PATH"),
        ("--checkpoint=toy=", "--checkpoint toy=: expected SYSTEM=PATH"),
        ("--checkpoint==here.safetensors", "--checkpoint =here.safetensors: expected SYSTEM=PATH"),
        ("--checkpoint=elsewhere=x.safetensors", "no such system. Known here:"),
    ],
)
def test_an_option_that_makes_no_sense_stops_the_run(suite, option, message):
    result = suite.claims(SUPPORTED).run(option)
    assert result.ret == USAGE_ERROR
    assert message in printed(result)
    assert "Traceback" not in printed(result)


def test_a_laxer_error_rate_decides_sooner(suite):
    suite.claims(SAMPLED)
    strict, lax = (suite.records(f"--claims-alpha={alpha}")["often"] for alpha in (1e-6, 0.2))
    assert lax["units"] < strict["units"]


def test_a_larger_budget_decides_more(suite):
    suite.claims(SAMPLED)
    verdicts = [suite.records(f"--claims-budget={budget}")["often"]["verdict"] for budget in (16, 512)]
    assert verdicts == ["inconclusive", "supported"]


def test_the_seed_decides_the_sample(suite):
    suite.claims(SUPPORTED, SAMPLED, INCONCLUSIVE)
    first, again, other = (without_seconds(suite.records(f"--claims-seed={seed}")) for seed in (1, 1, 2))
    assert first == again
    assert first["half"]["estimate"] != other["half"]["estimate"]


@pytest.mark.parametrize(
    "options", [[], ["--claims-seed=12345678", "--claims-budget=1000000", "--claims-alpha=0.25"]], ids=["plain", "set"]
)
def test_the_command_to_judge_again_judges_the_same(suite, options):
    suite.claims(claim_test("it's", "Rate(at_least=0.7)", "share_below(evidence, 0.9)").replace("it's", "its"))
    first = suite.records(*options)["its"]
    program, *words = shlex.split(first["rerun"])
    assert program == "pytest"
    suite.results.unlink()
    suite.pytester.runpytest_inprocess(*words)
    (again,) = suite.document()["claims"]
    assert (again["estimate"], again["units"], again["interval"]) == (
        first["estimate"],
        first["units"],
        first["interval"],
    )
