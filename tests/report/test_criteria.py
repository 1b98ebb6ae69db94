"""Report cards of made-up mechanisms: every criterion and tier on a planted case, and with the evidence gone."""

import itertools

import pytest

from mechtests.report.criteria import CRITERIA, TIERS, Status, card


def claim(name="large", verdict="supported", criterion=None, kind="correlational", controls=(), **params):
    return {
        "id": f"toy/weights/{name}",
        "verdict": verdict,
        "criterion": criterion,
        "evidence_kind": kind,
        "params": params,
        "controls": list(controls),
        "expect": {"kind": "value", "region": "> 0"},
    }


def drawn(name="untrained", clear=True):
    return {"name": name, "redrawn": True, "clear": clear}


def other_heads(clear=True):
    return {"name": "other heads", "redrawn": False, "clear": clear}


def rate_over_seeds(of, verdict="supported", kind="rate"):
    finding = {"id": of["id"], "params": of["params"]}
    return {**claim("universal", verdict), "expect": {"kind": kind, "region": "≥ 0.8"}, "findings": [finding]}


def status(claims, name, replications=()):
    return next(criterion for criterion in card(claims, replications).criteria if criterion.name == name).status


ABLATED = [claim("necessary", criterion="necessity", kind="causal", ablation=method) for method in ("zero", "mean")]
BASELINES = [drawn(), drawn("shuffled weights")]
SUGGESTIVE = [claim("necessary", criterion="necessity", kind="causal")]
MECHANISTIC = [
    *ABLATED,
    claim("sufficient", criterion="sufficiency", kind="causal"),
    claim("specific", criterion="specificity", kind="causal", controls=BASELINES),
]
TRIANGULATED = [
    *MECHANISTIC,
    claim("graded", criterion="graded response", kind="causal"),
    claim("in-the-weights", kind="structural"),
]
VALIDATED = [*TRIANGULATED, claim("held-out", criterion="robustness", kind="causal")]
REPLICATED = [rate_over_seeds(claim) for claim in VALIDATED]


class TestTier:
    @pytest.mark.parametrize(
        ("claims", "replications", "tier", "missing"),
        [
            ([claim()], [], "proposed", ("necessity", "sufficiency")),
            (SUGGESTIVE, [], "causally suggestive", ("necessity", "sufficiency", "specificity", "baseline separation")),
            (MECHANISTIC, [], "mechanistically supported", ("graded response", "convergence")),
            (TRIANGULATED, [], "triangulated", ("reliability", "robustness")),
            (VALIDATED, [], "triangulated", ("reliability",)),
            (VALIDATED, REPLICATED, "validated", ()),
        ],
    )
    def test_follows_from_the_evidence_and_says_what_is_missing(self, claims, replications, tier, missing):
        made = card(claims, replications)
        assert (made.tier, made.missing) == (tier, missing)

    def test_is_none_where_nothing_holds(self):
        assert card([claim(verdict="refuted"), claim("other", "vacuous")]).tier is None
        assert card([]).tier is None

    @pytest.mark.parametrize("verdict", ["refuted", "vacuous", "inconclusive", "untested"])
    @pytest.mark.parametrize("lost", range(len(VALIDATED)))
    def test_never_rises_when_a_claim_is_lost(self, lost, verdict):
        claims = [{**one, "verdict": verdict} if index == lost else one for index, one in enumerate(VALIDATED)]
        tiers = [*TIERS]
        assert tiers.index(card(claims, REPLICATED).tier) < tiers.index("validated")

    def test_never_skips_the_criteria_of_a_lower_tier(self):
        without = [one for one in VALIDATED if one["criterion"] != "sufficiency"]
        assert card(without, REPLICATED).tier == "causally suggestive"


class TestEveryCriterion:
    def test_is_in_the_card_in_order(self):
        assert tuple(criterion.name for criterion in card([claim()]).criteria) == CRITERIA

    @pytest.mark.parametrize("name", CRITERIA[1:])
    def test_has_no_evidence_from_a_claim_that_tests_none(self, name):
        assert status([claim()], name) is Status.NONE

    @pytest.mark.parametrize("name", CRITERIA)
    def test_has_no_evidence_from_no_claims(self, name):
        assert status([], name) is Status.NONE

    @pytest.mark.parametrize("name", ["sufficiency", "specificity", "graded response", "robustness"])
    @pytest.mark.parametrize(
        ("verdicts", "expected"),
        [
            (("supported",), Status.MET),
            (("supported", "supported"), Status.MET),
            (("supported", "refuted"), Status.PART),
            (("supported", "inconclusive"), Status.PART),
            (("refuted", "inconclusive"), Status.FAILED),
            (("vacuous",), Status.FAILED),
            (("inconclusive",), Status.OPEN),
            (("untested",), Status.OPEN),
        ],
    )
    def test_that_claims_state_is_met_where_all_of_them_hold(self, name, verdicts, expected):
        claims = [claim(str(number), verdict, name, "causal") for number, verdict in enumerate(verdicts)]
        assert status(claims, name) is expected

    def test_names_the_claims_that_decide_it(self):
        decided = {criterion.name: criterion.claims for criterion in card(MECHANISTIC).criteria}
        assert decided["necessity"] == ("toy/weights/necessary",)
        assert decided["sufficiency"] == ("toy/weights/sufficient",)
        assert decided["robustness"] == ()


class TestNecessity:
    def test_asks_for_two_methods_of_ablation(self):
        assert status(ABLATED, "necessity") is Status.MET
        assert status(ABLATED[:1], "necessity") is Status.PART

    def test_counts_claims_that_name_no_method_as_one_method(self):
        unnamed = [claim(name, criterion="necessity", kind="causal") for name in ("first", "second")]
        assert status(unnamed, "necessity") is Status.PART

    def test_counts_methods_that_hold_only(self):
        refuted = {**ABLATED[1], "verdict": "refuted"}
        assert status([ABLATED[0], refuted], "necessity") is Status.PART


class TestSpecificity:
    def test_is_filled_by_a_causal_claim_that_no_other_component_does_as_well_as(self):
        assert status([claim(kind="causal", controls=[other_heads()])], "specificity") is Status.MET

    @pytest.mark.parametrize(
        "not_enough",
        [
            claim(kind="correlational", controls=[other_heads()]),
            claim(kind="causal", controls=[drawn()]),
            claim(kind="causal", verdict="vacuous", controls=[other_heads(clear=False)]),
        ],
    )
    def test_is_not_filled_by_less(self, not_enough):
        assert status([not_enough], "specificity") is Status.NONE


class TestBaselineSeparation:
    def test_asks_for_two_kinds_of_baseline(self):
        assert status([claim(controls=BASELINES)], "baseline separation") is Status.MET
        assert status([claim(controls=[drawn()]), claim("b", controls=BASELINES)], "baseline separation") is Status.MET
        assert status([claim(controls=[drawn()])], "baseline separation") is Status.PART

    def test_is_in_part_where_one_claim_does_not_stand_clear(self):
        vacuous = claim("b", "vacuous", controls=[drawn(clear=False)])
        assert status([claim(controls=BASELINES), vacuous], "baseline separation") is Status.PART
        assert status([vacuous], "baseline separation") is Status.FAILED

    def test_takes_alternatives_one_by_one_for_no_baseline(self):
        assert status([claim(controls=[other_heads()])], "baseline separation") is Status.NONE


class TestReliability:
    def test_asks_that_every_finding_with_a_rate_over_seeds_replicates(self):
        one, two = claim("one"), claim("two")
        assert status([one, two], "reliability", [rate_over_seeds(one), rate_over_seeds(two)]) is Status.MET
        assert status([one, two], "reliability", [rate_over_seeds(one), rate_over_seeds(two, "refuted")]) is Status.PART
        assert status([one], "reliability", [rate_over_seeds(one, "inconclusive")]) is Status.OPEN

    def test_counts_nothing_but_findings_that_hold_here(self):
        one = claim("one", "refuted")
        assert status([one], "reliability", [rate_over_seeds(one)]) is Status.NONE

    def test_counts_rates_and_not_other_claims_over_checkpoints(self):
        one = claim("one")
        assert status([one], "reliability", [rate_over_seeds(one, kind="monotone")]) is Status.NONE


class TestConvergence:
    @pytest.mark.parametrize(
        ("kinds", "expected"),
        [
            ({"causal": ["supported"], "structural": ["supported"]}, Status.MET),
            ({"causal": ["supported"], "structural": ["supported", "refuted"]}, Status.PART),
            ({"causal": ["supported"], "structural": ["refuted"]}, Status.FAILED),
            ({"causal": ["supported"], "structural": ["untested"]}, Status.NONE),
            ({"causal": ["supported", "supported"]}, Status.NONE),
        ],
    )
    def test_asks_that_two_kinds_of_evidence_agree(self, kinds, expected):
        claims = [claim(f"{kind}-{i}", verdict, kind=kind) for kind in kinds for i, verdict in enumerate(kinds[kind])]
        for order in itertools.permutations(claims):
            assert status(order, "convergence") is expected
