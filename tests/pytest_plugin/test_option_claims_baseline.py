"""``--claims-baseline`` and ``--update-claims-baseline``: recorded verdicts."""

import pytest

from tests.suite import (
    CONFTEST,
    INCONCLUSIVE,
    REFUTED,
    SAMPLED,
    SUPPORTED,
    UNTESTED,
    USAGE_ERROR,
    VACUOUS,
    claim_test,
    outcomes,
    printed,
)


class TestBaseline:
    FILE = "--claims-baseline=record.json"

    def recorded(self, suite, *tests):
        """A suite whose verdicts on ``tests`` are on record."""
        result = suite.claims(*tests).run(self.FILE, "--update-claims-baseline")
        assert result.ret == 0
        assert "record.json" in result.stdout.str()
        return suite

    @pytest.mark.parametrize(
        ("test", "outcome"),
        [
            (SUPPORTED, "passed"),
            (REFUTED, "xfailed"),
            (VACUOUS, "xfailed"),
            (INCONCLUSIVE, "inconclusive"),
            (UNTESTED, "untested"),
        ],
    )
    def test_makes_a_verdict_on_record_an_expected_one(self, suite, test, outcome):
        result = self.recorded(suite, test).run(self.FILE)
        assert (outcomes(result), result.ret) == ({outcome: 1}, 0)
        assert "better than recorded" not in result.stdout.str()

    def test_tells_at_the_start_how_long_it_took(self, suite):
        result = self.recorded(suite, SUPPORTED).run(self.FILE)
        assert "claims: judging all that are on record, with nothing kept, took 1 min;" in result.stdout.str()

    def test_changes_nothing_of_the_verdict(self, suite):
        assert self.recorded(suite, REFUTED).records(self.FILE)["negative"]["verdict"] == "refuted"

    @pytest.mark.parametrize("body", ["evidence.value(-1.0)", "evidence.undefined('no such weight')"])
    def test_fails_a_run_whose_verdict_is_worse(self, suite, body):
        good, bad = (claim_test("value", "Value(above=0)", body) for body in ("evidence.value(1.0)", body))
        result = self.recorded(suite, good).claims(bad).run(self.FILE)
        assert (outcomes(result), result.ret) == ({"failed": 1}, 1)
        assert "on record as supported: this is worse" in result.stdout.str()

    def test_fails_a_run_that_can_no_longer_decide(self, suite):
        test = claim_test("often", "Rate(at_least=0.7)", "share_below(evidence, 0.7)")
        result = self.recorded(suite, SAMPLED).claims(test).run(self.FILE)
        assert (outcomes(result), result.ret) == ({"failed": 1}, 1)

    def test_asks_for_an_update_where_a_verdict_is_better(self, suite):
        bad, good = (claim_test("value", "Value(above=0)", f"evidence.value({value})") for value in (-1.0, 1.0))
        result = self.recorded(suite, bad).claims(good).run(self.FILE)
        assert (outcomes(result), result.ret) == ({"passed": 1}, 0)
        assert "better than recorded: run again with --update-claims-baseline" in result.stdout.str()
        suite.run(self.FILE, "--update-claims-baseline")
        assert "better than recorded" not in suite.run(self.FILE).stdout.str()

    def test_says_nothing_of_other_weights(self, suite):
        self.recorded(suite, REFUTED).claims(conftest=CONFTEST.replace("5.0", "6.0"))
        assert outcomes(suite.run(self.FILE)) == {"failed": 1}

    def test_keeps_what_a_run_did_not_judge(self, suite):
        self.recorded(suite, REFUTED, VACUOUS).run(self.FILE, "--update-claims-baseline", "-k", "two")
        assert outcomes(suite.run(self.FILE)) == {"xfailed": 2}

    def test_may_stand_in_the_configuration(self, suite):
        suite.pytester.makeini("[pytest]\nclaims_baseline = record.json")
        suite.claims(REFUTED)
        assert suite.run().ret == 1
        assert suite.run("--update-claims-baseline").ret == 0
        assert (suite.path / "record.json").exists()
        assert outcomes(suite.run()) == {"xfailed": 1}

    def test_of_the_command_line_goes_before_that_of_the_configuration(self, suite):
        suite.pytester.makeini("[pytest]\nclaims_baseline = other.json")
        self.recorded(suite, REFUTED)
        assert not (suite.path / "other.json").exists()

    def test_does_not_make_a_refuted_claim_pass_where_xfail_is_switched_off(self, suite):
        result = self.recorded(suite, REFUTED).run(self.FILE, "--runxfail")
        assert (outcomes(result), result.ret) == ({"failed": 1}, 1)

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            (["--update-claims-baseline"], "which one? Add --claims-baseline FILE"),
            (["--claims-baseline=test_toy.py"], "not a record of verdicts"),
            (["--claims-baseline=nope.json"], "--claims-baseline nope.json: no such file"),
        ],
    )
    def test_that_is_none_stops_the_run(self, suite, arguments, message):
        result = suite.claims(SUPPORTED).run(*arguments)
        assert result.ret == USAGE_ERROR
        assert message in printed(result)
