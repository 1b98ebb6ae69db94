"""Runs of pytest as a user of another repository sees them: own model, own claims, nothing of this repository."""

import json
import shlex
import shutil
import xml.etree.ElementTree as ET

import jsonschema
import pytest
import torch
from safetensors.torch import save_file

from mechtests.checkpoints import Provenance, save
from mechtests.results.record import schema

CONFTEST = """
import pytest, torch
from mechtests import System

@pytest.fixture
def toy():
    module = torch.nn.Linear(2, 1, bias=False)
    with torch.no_grad():
        module.weight.fill_(5.0)
    return System(module, "toy")
"""

TINY_CONFTEST = """
from pathlib import Path
import torch
from mechtests import System, system_fixture
from mechtests.checkpoints import fill, read

def load(path, device, cache):
    checkpoint, tensors = read(path)
    module = torch.nn.Linear(2, 1)
    fill(module, tensors, path)
    return System(module.to(device), "tiny", checkpoint=checkpoint, cache=cache)

tiny = system_fixture("tiny", load, Path(__file__).parent / "weights" / "*.safetensors", "make weights")
"""

HEAD = '''"""Are the weights what they are said to be?

More about it.
"""

import pytest, torch
from mechtests import *

POST, POINTS = Source("A post", "A. Author", 2024), Parameters(x=Real(0, 1))


def share_below(evidence, rate):
    for points in evidence.batches(POINTS):
        evidence.observe(points["x"] < rate)
'''


def claim_test(name, expect, body, takes="toy, evidence", controls="[]", marks=""):
    return f"""
@claim("toy/weights/{name}", "It is so.", source=POST, expect={expect}, controls={controls})
{marks}
def test_{name.replace("-", "_")}({takes}):
    {body}
"""


SUPPORTED = claim_test(
    "positive", "Value(above=1)", "evidence.value(toy.module.weight.mean(), 2)", controls="[untrained]"
)
SAMPLED = claim_test("often", "Rate(at_least=0.7)", "share_below(evidence, 0.9)")
REFUTED = claim_test("negative", "Value(below=0)", "evidence.value(toy.module.weight.mean(), 2)")
INCONCLUSIVE = claim_test("half", "Rate(at_least=0.5)", "share_below(evidence, 0.5)")
VACUOUS = claim_test("two", "Value(at_least=2)", "evidence.value(toy.module.weight.numel())", controls="[untrained]")
UNTESTED = claim_test("elsewhere", "Value(above=0)", "pytest.skip('the data is not here')")
BY_VERDICT = {
    "supported": SUPPORTED,
    "refuted": REFUTED,
    "inconclusive": INCONCLUSIVE,
    "vacuous": VACUOUS,
    "untested": UNTESTED,
}
ON_TINY = claim_test("bias", "Value(above=0)", "evidence.value(tiny.module.bias.sum())", takes="tiny, evidence")
USAGE_ERROR = pytest.ExitCode.USAGE_ERROR


class Suite:
    """A user's repository with claims, and what a run of pytest in it says."""

    def __init__(self, pytester):
        self.pytester = pytester
        self.path = pytester.path
        self.results = self.path / "reports" / "latest" / "results.json"
        self.claims(conftest=CONFTEST)

    def claims(self, *tests, conftest=None, name="test_toy"):
        if tests:
            self.pytester.makepyfile(**{name: HEAD + "\n".join(tests)})
        if conftest:
            self.pytester.makeconftest(conftest)
        return self

    def run(self, *args):
        return self.pytester.runpytest_inprocess("-p", "no:cacheprovider", "--claims-budget=256", *args)

    def document(self):
        document = json.loads(self.results.read_text())
        jsonschema.validate(document, schema(), jsonschema.Draft202012Validator)
        return document

    def records(self, *args):
        """The claims of the results file that a run leaves, by the last part of their id."""
        self.results.unlink(missing_ok=True)
        self.run(*args)
        return {claim["id"].split("/")[-1]: claim for claim in self.document()["claims"]}

    def weights(self, name="good", bias=1.0, inputs=2):
        module = torch.nn.Linear(inputs, 1)
        with torch.no_grad():
            module.bias.fill_(bias)
        path = self.path / "weights" / f"{name}.safetensors"
        save(path, module, Provenance("tiny", {"inputs": inputs}, recipe="by hand", seed=4, step=7))
        return path


@pytest.fixture
def suite(pytester):
    return Suite(pytester)


def outcomes(result):
    return {word: count for word, count in result.parseoutcomes().items() if not word.startswith("warning")}


def printed(result):
    return result.stdout.str() + result.stderr.str()


# ---------------------------------------------------------------------------------------------------------------------
# From a verdict to an outcome


@pytest.mark.parametrize(
    ("verdict", "outcome", "exit_code"),
    [
        ("supported", "passed", 0),
        ("refuted", "failed", 1),
        ("inconclusive", "inconclusive", 0),
        ("vacuous", "failed", 1),
        ("untested", "untested", 0),
    ],
)
class TestEveryVerdict:
    def test_has_an_outcome(self, suite, verdict, outcome, exit_code):
        result = suite.claims(BY_VERDICT[verdict]).run()
        assert outcomes(result) == {outcome: 1}
        assert result.ret == exit_code

    def test_is_told_and_written(self, suite, verdict, outcome, exit_code):
        (record,) = suite.claims(BY_VERDICT[verdict]).records().values()
        assert record["verdict"] == verdict
        assert record["story"] == "Are the weights what they are said to be?"
        assert (record["statement"], record["source"]["title"]) == ("It is so.", "A post")
        assert (record["evidence_kind"], record["published"]) == ("correlational", None)


def test_the_end_of_a_run_tells_every_verdict_by_a_word(suite):
    result = suite.claims(*BY_VERDICT.values()).run()
    assert all(verdict in result.stdout.str() for verdict in BY_VERDICT)
    assert "\x1b" not in result.stdout.str()
    assert "reports/latest/results.json" in result.stdout.str()


def test_a_failed_claim_says_what_was_observed_what_was_claimed_and_how_to_see_it_again(suite):
    output = suite.claims(REFUTED).run().stdout.str()
    told = ["REFUTED toy/weights/negative: It is so.", "observed 5 over 2 units; region < 0", "again: pytest"]
    assert all(line in output for line in told)


def test_an_inconclusive_claim_is_a_question_mark(suite):
    assert "test_toy.py ?" in suite.claims(INCONCLUSIVE).run().stdout.str()


def test_an_inconclusive_claim_fails_where_claims_are_strict(suite):
    result = suite.claims(INCONCLUSIVE).run("--strict-claims")
    assert (outcomes(result), result.ret) == ({"failed": 1}, 1)
    assert suite.document()["claims"][0]["verdict"] == "inconclusive"


def test_results_hold_the_numbers(suite):
    records = suite.claims(*BY_VERDICT.values(), SAMPLED).records()
    positive = records["positive"]
    assert (positive["estimate"], positive["interval"], positive["units"]) == (5.0, None, 2)
    assert positive["expect"] == {"kind": "exact", "region": "> 1", "above": 1}
    (control,) = positive["controls"]
    assert (control["name"], len(control["estimates"]), control["reached"], control["clear"]) == (
        "untrained",
        19,
        0,
        True,
    )
    often = records["often"]
    assert often["verdict"] == "supported"
    assert 0.7 <= often["interval"][0] < often["estimate"] < often["interval"][1]
    assert (often["units"] % 32, often["survives_fdr"]) == (0, True)
    assert often["e_value"] > 1_000
    assert records["half"]["units"] == 256
    assert records["two"]["reason"] == "19 of 19 draws of the control “untrained” do as much"
    assert "the data is not here" in records["elsewhere"]["reason"]
    run = suite.document()["run"]
    assert (run["seed"], run["alpha"], run["budget"]) == (0, 0.001, 256)


def test_results_go_where_they_are_asked_to(suite):
    suite.claims(SUPPORTED).run("--claims-results=there/it.json")
    assert json.loads((suite.path / "there" / "it.json").read_text())["claims"]
    assert not suite.results.exists()


def test_a_run_writes_the_page_to_read_and_names_it(suite):
    result = suite.claims(*BY_VERDICT.values()).run()
    page = (suite.path / "reports" / "latest" / "index.html").read_text()
    result.stdout.fnmatch_lines(["report: reports/latest/index.html"])
    assert all(f'href="#toy/weights/{claim["id"].split("/")[-1]}%40' in page for claim in suite.document()["claims"])


def test_the_page_goes_where_it_is_asked_to(suite):
    result = suite.claims(SUPPORTED).run("--claims-html=there/page.html")
    assert "toy/weights/positive" in (suite.path / "there" / "page.html").read_text()
    result.stdout.fnmatch_lines(["report: there/page.html"])
    assert not (suite.path / "reports" / "latest" / "index.html").exists()


def test_a_run_without_claims_leaves_and_says_nothing(suite):
    suite.pytester.makepyfile("def test_plain(): pass")
    result = suite.run()
    assert outcomes(result) == {"passed": 1}
    assert not suite.results.parent.exists()
    assert "claims" not in [line.strip(" =") for line in result.outlines]
    assert "results:" not in result.stdout.str()


def test_claims_and_plain_tests_live_side_by_side(suite):
    result = suite.claims(SUPPORTED, "def test_plain(toy): assert toy.name == 'toy'").run()
    assert outcomes(result) == {"passed": 2}
    assert len(suite.document()["claims"]) == 1


def test_results_are_written_where_there_is_no_git(suite, monkeypatch):
    monkeypatch.setenv("PATH", "")
    result = suite.claims(SUPPORTED).run()
    assert result.ret == 0
    assert suite.document()["run"]["commit"] is None


def test_junit_xml_holds_the_verdict(suite):
    suite.claims(*BY_VERDICT.values()).run("--junit-xml=junit.xml")
    found = {
        case.get("name"): {entry.get("name"): entry.get("value") for entry in case.iter("property")}
        for case in ET.parse(suite.path / "junit.xml").iter("testcase")
    }
    assert found["test_positive"]["claim_id"] == "toy/weights/positive"
    assert found["test_positive"]["claim_estimate"] == "5.0"
    verdicts = {name: properties.get("claim_verdict") for name, properties in found.items()}
    assert verdicts == {
        "test_positive": "supported",
        "test_negative": "refuted",
        "test_half": "inconclusive",
        "test_two": "vacuous",
        "test_elsewhere": "untested",
    }


# ---------------------------------------------------------------------------------------------------------------------
# Parameters, fixtures and classes


def test_each_parameter_is_a_claim_of_its_own(suite):
    marks = "@pytest.mark.parametrize('factor', [1.0, -1.0])"
    test = claim_test("factor", "Value(above=0)", "evidence.value(factor)", "toy, factor, evidence", marks=marks)
    result = suite.claims(test).run()
    assert outcomes(result) == {"passed": 1, "failed": 1}
    verdicts = {claim["params"]["factor"]: claim["verdict"] for claim in suite.document()["claims"]}
    assert verdicts == {"1.0": "supported", "-1.0": "refuted"}


def test_parameters_without_a_name_are_refused(suite):
    marks = "@pytest.mark.parametrize('factor', [lambda: 1.0, lambda: -1.0])"
    test = claim_test("factor", "Value(above=0)", "evidence.value(factor())", "toy, factor, evidence", marks=marks)
    result = suite.claims(test).run()
    assert result.ret != 0
    assert "factor=<lambda>" in printed(result)


def test_parameters_of_a_fixture_that_the_test_does_not_take_are_kept_apart(suite):
    fixtures = """
@pytest.fixture(params=[1.0, -1.0])
def sign(request):
    return request.param

@pytest.fixture
def factor(sign):
    return 3 * sign
"""
    test = claim_test("factor", "Value(above=0)", "evidence.value(factor)", "toy, factor, evidence")
    assert outcomes(suite.claims(fixtures, test).run()) == {"passed": 1, "failed": 1}


def test_a_parametrized_system_is_no_parameter_of_its_claims(suite):
    conftest = CONFTEST.replace("@pytest.fixture\ndef toy():", "@pytest.fixture(params=[5.0, 7.0])\ndef toy(request):")
    conftest = conftest.replace("fill_(5.0)", "fill_(request.param)")
    suite.claims(SUPPORTED, SAMPLED, conftest=conftest).run()
    claims = suite.document()["claims"]
    assert [claim["params"] for claim in claims] == [{}] * 4
    assert {claim["estimate"] for claim in claims if claim["id"].endswith("positive")} == {5.0, 7.0}
    assert len({claim["checkpoint"]["sha256"] for claim in claims}) == 2


def test_an_argument_with_a_default_keeps_it(suite):
    test = claim_test("factor", "Value(above=0)", "evidence.value(factor)", "toy, evidence, factor=2.0")
    assert outcomes(suite.claims(test).run()) == {"passed": 1}


def test_a_claim_may_stand_in_a_class(suite):
    test = """
class TestWeights:
    @claim("toy/weights/sum", "It is so.", source=POST, expect=Value(above=0), controls=[untrained])
    def test_sum(self, toy, evidence):
        evidence.value(self.measured(toy))

    def measured(self, toy):
        return toy.module.weight.sum()
"""
    assert outcomes(suite.claims(test).run()) == {"passed": 1}


def test_functions_given_as_parameters_are_written_by_name_whether_judged_or_not(suite):
    body = "pytest.skip('not here') if skipped else evidence.value(1.0)"
    marks = "@pytest.mark.parametrize('chosen', [share_below])\n@pytest.mark.parametrize('skipped', [0, 1])"
    test = claim_test("chosen", "Value(above=0)", body, "toy, chosen, skipped, evidence", marks=marks)
    suite.claims(test).run()
    found = {claim["verdict"]: claim["params"]["chosen"] for claim in suite.document()["claims"]}
    assert found == {"supported": "share_below", "untested": "share_below"}


# ---------------------------------------------------------------------------------------------------------------------
# Claims written wrongly


WRONG = {
    "id given twice": (
        [SUPPORTED, SUPPORTED.replace("def test_positive", "def test_again")],
        "the claim id toy/weights/positive is taken",
    ),
    "no evidence": ([claim_test("none", "Value(above=0)", "pass", takes="toy")], "Add the argument `evidence`"),
    "nothing to replace": (
        [claim_test("head", "Value(above=0)", "pass", controls="[other('head')]")],
        "“other heads” replaces the argument 'head', which the test does not take. It takes: toy, evidence.",
    ),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_a_claim_with_a_wrong_test_stops_the_run_before_it_starts(suite, wrong):
    tests, message = WRONG[wrong]
    result = suite.claims(*tests, REFUTED).run()
    assert result.ret in (pytest.ExitCode.INTERRUPTED, USAGE_ERROR)
    assert message in printed(result)
    assert not suite.results.exists()


def test_a_claim_with_a_wrong_test_is_told_by_workers_too(suite):
    tests, message = WRONG["no evidence"]
    result = suite.claims(*tests).run("-n1")
    assert result.ret != 0
    assert message in printed(result)


def test_a_claim_stated_wrongly_is_an_error_of_its_file(suite):
    result = suite.claims(claim_test("none", "Rate()", "pass")).run()
    assert outcomes(result) == {"errors": 1}
    assert "Rate() has no region" in result.stdout.str()


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("pass", "observed nothing"),
        ("raise ZeroDivisionError('no neuron\\n\\nat all')", "ZeroDivisionError: no neuron"),
        ("assert toy.name == 'other'", "AssertionError: assert 'toy' == 'other'"),
        ("evidence.census([True])", "this claim expects Value"),
    ],
    ids=["observes nothing", "raises", "asserts", "records another kind"],
)
class TestBrokenBody:
    @pytest.mark.parametrize("option", ["--tb=auto", "--tb=native"])
    def test_fails_without_a_verdict_and_says_why(self, suite, body, message, option):
        suite.claims(claim_test("broken", "Value(above=0)", body))
        result = suite.run(option)
        assert (outcomes(result), result.ret) == ({"failed": 1}, 1)
        (record,) = suite.document()["claims"]
        assert (record["verdict"], record["estimate"]) == ("untested", None)
        assert message in record["reason"]


def test_a_fixture_that_fails_leaves_the_claim_untested(suite):
    result = suite.claims(SUPPORTED, conftest="import pytest\n@pytest.fixture\ndef toy(): raise OSError('disk')").run()
    assert (outcomes(result), result.ret) == ({"errors": 1}, 1)
    (record,) = suite.document()["claims"]
    assert record["verdict"] == "untested"
    assert "OSError: disk" in record["reason"]


def test_a_skipped_claim_is_untested_for_the_reason_given(suite):
    result = suite.claims(SUPPORTED.replace("\n\ndef", "\n@pytest.mark.skip('too slow here')\ndef")).run()
    assert outcomes(result) == {"untested": 1}
    assert "too slow here" in suite.document()["claims"][0]["reason"]


def test_evidence_is_for_claims(suite):
    result = suite.claims("def test_plain(evidence): pass").run()
    assert outcomes(result) == {"errors": 1}
    assert "test_plain takes evidence and states no claim" in result.stdout.str()


# ---------------------------------------------------------------------------------------------------------------------
# Recorded verdicts


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
        ],
    )
    def test_that_is_none_stops_the_run(self, suite, arguments, message):
        result = suite.claims(SUPPORTED).run(*arguments)
        assert result.ret == USAGE_ERROR
        assert message in printed(result)


# ---------------------------------------------------------------------------------------------------------------------
# Counterexamples

STEEP = """
CURVES = Parameters(steepness=Real(0.5, 5), n=Integer(0, 9))

@claim("toy/weights/works", "It works.", source=POST, expect=Rate(at_least={at_least}))
def test_works(toy, evidence):
    for curves in evidence.batches(CURVES):
        margin = 4.21 - curves["steepness"]
        evidence.observe(margin > 0, margin=margin)
"""
BREAKS, HOLDS = STEEP.format(at_least=0.99), STEEP.format(at_least=0.5)


class TestCounterexample:
    def test_of_a_refuted_claim_stands_in_its_message(self, suite):
        output = suite.claims(BREAKS).run().stdout.str()
        assert "simplest input on which it fails: steepness = 5, n = 0" in output
        assert "it fails there by 0.79, and with steepness from 4.21 to 5, with n from 0 to 9" in output

    def test_of_a_supported_claim_is_in_the_results_and_told_where_every_row_is(self, suite):
        record = suite.claims(HOLDS).records()["works"]
        assert record["verdict"] == "supported"
        assert record["counterexample"]["parameters"] == {"steepness": 5.0, "n": 0}
        assert record["counterexample"]["fails"]["steepness"] == pytest.approx([4.21, 5], rel=1e-3)
        assert "simplest input" not in suite.run().stdout.str()
        assert "simplest input on which" in suite.run("-v").stdout.str()

    @pytest.mark.parametrize("workers", [[], ["-n2"]], ids=["one process", "workers"])
    def test_is_the_same_in_every_run_whether_searched_for_or_replayed(self, suite, workers):
        suite.claims(HOLDS, SAMPLED, REFUTED)
        first = without_seconds(suite.records())
        again = without_seconds(suite.records(*workers))
        shutil.rmtree(suite.path / ".hypothesis")
        anew = without_seconds(suite.records(*workers))
        assert first == again == anew
        assert first["works"]["counterexample"]
        assert (first["negative"]["counterexample"], first["negative"]["no_counterexample"]) == (None, None)

    def test_is_kept_in_the_root_whatever_folder_the_run_starts_from(self, suite, monkeypatch):
        suite.pytester.makeini("[pytest]")
        suite.claims(HOLDS)
        elsewhere = suite.path / "elsewhere"
        elsewhere.mkdir()
        monkeypatch.chdir(elsewhere)
        suite.run("..")
        assert any((suite.path / ".hypothesis" / "examples").iterdir())
        assert not (elsewhere / ".hypothesis").exists()

    def test_goes_on_where_nothing_can_be_kept(self, suite):
        (suite.path / ".hypothesis").write_text("a file in the place of the folder")
        assert suite.claims(HOLDS).records()["works"]["counterexample"]["parameters"]["steepness"] == 5

    def test_is_searched_for_where_the_claim_is_judged_not_where_others_speak_of_it(self, suite):
        others = """
@claim("toy/weights/often-works", "It often works.", source=POST, expect=Rate(at_least=0.5))
def test_often_works(toy, judge, evidence):
    (finding,) = (one for one in findings(sys.modules[__name__]) if one.claim.id.endswith("/works"))
    evidence.observe([finding.judge(judge, toy).verdict is Verdict.SUPPORTED])
"""
        record = suite.claims("import sys", BREAKS, others).records("-k", "often")["often-works"]
        assert (record["counterexample"], record["no_counterexample"]) == (None, None)
        assert not (suite.path / ".hypothesis").exists()

    def test_of_no_input_does_not_take_the_verdict(self, suite):
        moody = """
import itertools
TIMES = itertools.count()
""" + claim_test(
            "moody",
            "Rate(at_least=0.1)",
            "\n    ".join(
                [
                    "for points in evidence.batches(POINTS):",
                    "    evidence.observe([next(TIMES) % 7 > 0 for _ in points['x']])",
                ]
            ),
        )
        record = suite.claims(moody).records()["moody"]
        assert (record["verdict"], record["counterexample"]) == ("supported", None)
        assert "put to the body" in record["no_counterexample"]
        assert "no counterexample: " in " ".join(suite.run("-v").stdout.str().split())


# ---------------------------------------------------------------------------------------------------------------------
# Options


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


def without_seconds(records):
    return {
        name: {key: value for key, value in record.items() if key not in ("seconds", "rerun")}
        for name, record in records.items()
    }


def test_the_seed_decides_the_sample(suite):
    suite.claims(SUPPORTED, SAMPLED, INCONCLUSIVE)
    first, again, other = (without_seconds(suite.records(f"--claims-seed={seed}")) for seed in (1, 1, 2))
    assert first == again
    assert first["half"]["estimate"] != other["half"]["estimate"]


def test_workers_reach_and_record_the_verdicts_of_one_process(suite):
    marks = "@pytest.mark.parametrize('rate', [0.1, 0.6, 0.9])"
    several = claim_test(
        "rate", "Rate(at_least=0.5)", "share_below(evidence, rate)", "toy, rate, evidence", marks=marks
    )
    curve = claim_test("curve", "Monotone('increasing', at_least=1)", "evidence.curve('loss', [0, 1, 2], [1, 2, 3])")
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


# ---------------------------------------------------------------------------------------------------------------------
# Checkpoints


def corrupt(suite):
    path = suite.path / "weights" / "bad.safetensors"
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(b"these are no weights")
    return path


def truncated(suite):
    path = suite.weights("bad")
    path.write_bytes(path.read_bytes()[:-3])
    return path


def pickled(suite):
    path = corrupt(suite)
    torch.save(torch.nn.Linear(2, 1).state_dict(), path)
    return path


def not_a_number(suite):
    return suite.weights("bad", bias=float("nan"))


def of_another_architecture(suite):
    return suite.weights("bad", inputs=3)


def without_provenance(suite):
    path = corrupt(suite)
    save_file(torch.nn.Linear(2, 1).state_dict(), path)
    return path


BAD = [
    (corrupt, "not a whole safetensors file"),
    (truncated, "not a whole safetensors file"),
    (pickled, "this is a pickle"),
    (not_a_number, "weight bias holds NaN"),
    (of_another_architecture, "wrong architecture. Weight weight: expected (1, 2), found (1, 3)"),
    (without_provenance, "no provenance in the header"),
]


@pytest.fixture
def tiny(suite):
    return suite.claims(ON_TINY, conftest=TINY_CONFTEST)


class TestCheckpoints:
    @pytest.mark.parametrize(("make", "message"), BAD)
    def test_that_are_named_and_bad_stop_the_run_with_one_message(self, tiny, make, message):
        path = make(tiny)
        result = tiny.run(f"--checkpoint=tiny={path}")
        assert result.ret == USAGE_ERROR
        assert printed(result).count("ERROR") == printed(result).count(message) == 1
        assert str(path) in printed(result)
        assert "Traceback" not in printed(result)
        assert not tiny.results.exists()

    @pytest.mark.parametrize(("make", "message"), BAD)
    def test_that_are_found_and_bad_are_untested_and_hinder_no_other(self, tiny, make, message):
        make(tiny)
        tiny.weights("good")
        result = tiny.run()
        assert (outcomes(result), result.ret) == ({"passed": 1, "untested": 1}, 0)
        reasons = {claim["verdict"]: claim["reason"] for claim in tiny.document()["claims"]}
        assert reasons["supported"] is None
        assert message in reasons["untested"]

    def test_that_are_missing_leave_claims_untested_with_the_command_to_get_one(self, tiny):
        result = tiny.run()
        assert (outcomes(result), result.ret) == ({"untested": 1}, 0)
        (record,) = tiny.document()["claims"]
        assert "no checkpoint of tiny" in record["reason"]
        assert "make weights" in record["reason"]

    def test_on_which_a_claim_cannot_be_judged_are_named_too(self, tiny):
        tiny.claims(claim_test("bias", "Value(above=0)", "pytest.skip('it has no head')", takes="tiny, evidence"))
        for name in ("seed0", "seed1"):
            tiny.weights(name)
        assert outcomes(tiny.run()) == {"untested": 2}
        records = tiny.document()["claims"]
        assert [record["checkpoint"]["name"] for record in records] == ["seed0", "seed1"]
        assert records[0]["checkpoint"]["sha256"] != records[1]["checkpoint"]["sha256"]

    def test_of_another_kind_are_judged_on_the_same_claims_and_untested_where_missing(self, tiny):
        more = "import mechtests\nmechtests.register_checkpoints('large', 'tiny', load, 'large/*', 'fetch large')"
        tiny.claims(ON_TINY, conftest=f"{TINY_CONFTEST}\n{more}\n")
        seed = tiny.weights("seed0", bias=1.0)
        result = tiny.run()
        assert outcomes(result) == {"passed": 1, "untested": 1}
        (reason,) = [claim["reason"] for claim in tiny.document()["claims"] if claim["verdict"] == "untested"]
        assert "no checkpoint of large" in reason
        assert "fetch large" in reason
        assert outcomes(tiny.run(f"--checkpoint=large={seed}")) == {"passed": 1}
        assert outcomes(tiny.run(f"--checkpoint=tiny={seed}")) == {"passed": 1}

    def test_are_each_judged_and_named(self, tiny):
        tiny.weights("seed0", bias=1.0)
        tiny.weights("seed1", bias=-1.0)
        result = tiny.run()
        assert outcomes(result) == {"passed": 1, "failed": 1}
        found = {claim["checkpoint"]["name"]: claim for claim in tiny.document()["claims"]}
        assert {name: claim["verdict"] for name, claim in found.items()} == {"seed0": "supported", "seed1": "refuted"}
        provenance = found["seed0"]["checkpoint"]
        assert (provenance["step"], provenance["seed"], provenance["recipe"]) == (7, 4, "by hand")
        assert found["seed0"]["params"] == {}
        assert len(provenance["sha256"]) == 64

    def test_named_by_a_glob_and_one_by_one_are_judged_once_each(self, tiny):
        for name in ("seed0", "seed1", "extra"):
            tiny.weights(name, bias=len(name))
        result = tiny.run("--checkpoint=tiny=weights/seed*.safetensors", "--checkpoint=tiny=weights/seed1.safetensors")
        assert outcomes(result) == {"passed": 2}
        result = tiny.run("--checkpoint=tiny=weights/seed1.safetensors", "--checkpoint=tiny=weights/extra.safetensors")
        assert outcomes(result) == {"passed": 2}
        names = {claim["checkpoint"]["name"] for claim in tiny.document()["claims"]}
        assert names == {"seed1", "extra"}

    def test_are_all_judged_on_a_claim_before_the_next_is_begun(self, tiny):
        sign = """
@claim("tiny/weights/sign", "It has this sign.", source=POST, expect=Value(at_least=0))
@pytest.mark.parametrize("factor", [1, -1])
def test_sign(tiny, factor, evidence):
    evidence.value(factor * tiny.module.bias.sum())
"""
        for name in ("seed0", "seed1"):
            tiny.weights(name)
        result = tiny.claims(ON_TINY, sign).run("--collect-only", "-q")
        tests = [line.rpartition("test_")[2] for line in result.outlines if "::" in line]
        names = [
            f"{test}[seed{seed}{end}]" for test, end in (("bias", ""), ("sign", "-1"), ("sign", "--1")) for seed in "01"
        ]
        assert tests == names

    def test_with_the_same_weights_keep_their_names(self, tiny):
        first = tiny.weights("first")
        (first.parent / "second.safetensors").write_bytes(first.read_bytes())
        tiny.run()
        assert {claim["checkpoint"]["name"] for claim in tiny.document()["claims"]} == {"first", "second"}

    @pytest.mark.parametrize("path", ["weights/none.safetensors", "none/*.safetensors"])
    def test_that_are_named_and_do_not_exist_stop_the_run(self, tiny, path):
        tiny.weights("good")
        result = tiny.run(f"--checkpoint=tiny={path}")
        assert result.ret == USAGE_ERROR
        assert f"--checkpoint tiny={path}: no such file" in printed(result)

    def test_of_an_unknown_system_stop_the_run_and_name_the_known_ones(self, tiny):
        result = tiny.run(f"--checkpoint=tinny={tiny.weights()}")
        assert result.ret == USAGE_ERROR
        assert "--checkpoint tinny=…: no such system. Known here:" in printed(result)
        assert "tiny" in printed(result).split("Known here:")[1]

    def test_may_be_named_for_a_system_in_a_folder_of_its_own(self, suite):
        folder = suite.path / "claims"
        folder.mkdir()  # pytest reads its conftest only on its way through the folders
        (folder / "conftest.py").write_text(TINY_CONFTEST.replace("tiny", "hidden"))
        (folder / "test_bias.py").write_text(HEAD + ON_TINY.replace("tiny", "hidden"))
        result = suite.run(f"--checkpoint=hidden={suite.weights()}")
        assert result.ret == 0
        assert outcomes(result) == {"passed": 1}

    def test_that_are_named_and_bad_stop_workers_too(self, tiny):
        result = tiny.run("-n2", f"--checkpoint=tiny={corrupt(tiny)}")
        assert result.ret == USAGE_ERROR
        assert printed(result).count("not a whole safetensors file") == 1


def test_a_claim_about_several_checkpoints_may_judge_other_claims(tiny):
    several = """
import sys
from mechtests import findings

@pytest.fixture
def all_tiny(models):
    return models.all("tiny")

@claim("tiny/weights/universal", "It is so everywhere.", source=POST, expect=Rate(at_least=0.5))
@pytest.mark.parametrize("finding", findings(sys.modules[__name__]), ids=str)
def test_universal(finding, all_tiny, judge, evidence):
    evidence.census([finding.judge(judge, system).verdict is Verdict.SUPPORTED for system in all_tiny])
"""
    on_tiny = ON_TINY.replace("toy/weights", "tiny/weights")
    for name, bias in [("seed0", 1.0), ("seed1", 1.5), ("seed2", -1.0)]:
        tiny.weights(name, bias)
    # It is judged last, wherever it stands: others may by then have judged and kept what it asks for.
    collected = tiny.claims(several.replace("findings(sys.modules[__name__])", "[]"), on_tiny).run(
        "--collect-only", "-q"
    )
    tests = [line.rpartition("::")[2].partition("[")[0] for line in collected.outlines if "::" in line]
    assert (tests[-1], tests.count("test_universal")) == ("test_universal", 1)
    record = tiny.claims(on_tiny, several).records()["universal"]
    assert (record["verdict"], record["units"]) == ("supported", 3)
    assert record["estimate"] == pytest.approx(2 / 3)
    assert record["params"] == {"finding": "weights/bias"}
