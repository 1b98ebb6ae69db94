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
        ("--claims-seed=x", "--claims-seed: 'x': expected a whole number, or fresh."),
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


def seeds_judged_by(suite):
    """The seeds that the records of a run name, in the command that judges them again."""
    commands = [record["rerun"] for record in suite.document()["claims"]]
    return {command.partition("--claims-seed ")[2] for command in commands}


def test_a_fresh_seed_is_another_in_every_run_and_is_told_and_recorded(suite):
    suite.claims(SUPPORTED, INCONCLUSIVE)
    seeds = []
    for _ in range(2):
        result = suite.run("--claims-seed=fresh")
        seeds.append(suite.document()["run"]["seed"])
        line = f"claims seed: {seeds[-1]}, drawn for this run; again with --claims-seed {seeds[-1]}"
        assert result.stdout.str().count(line) == 2, "at the start of the run, and at its end"
        assert seeds_judged_by(suite) == {str(seeds[-1])}
    assert len(set(seeds)) == 2


def test_a_fresh_seed_can_be_given_again(suite):
    suite.claims(INCONCLUSIVE)
    (first,) = suite.records("--claims-seed=fresh").values()
    (again,) = suite.records(f"--claims-seed={suite.document()['run']['seed']}").values()
    assert first["estimate"] == again["estimate"]
    assert first["rerun"] == again["rerun"]
