import math

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from mechtests import Claim, ClaimError, Difference, Mean, Monotone, Permutation, Rank, Rate, Source, Value, claim
from mechtests.claiming.claim import claim_of
from mechtests.claiming.controls import untrained

SOURCE = Source("A post", "A. Author", 2024)


def stated(**changes):
    given = {"id": "toy/weights/positive", "statement": "They are.", "source": SOURCE, "expect": Value(above=0)}
    return Claim(**{**given, **changes})


lower_ends = st.none() | st.tuples(st.sampled_from(["at_least", "above"]), st.integers(-3, 3))
upper_ends = st.none() | st.tuples(st.sampled_from(["at_most", "below"]), st.integers(-3, 3))
regions = st.tuples(lower_ends, upper_ends).filter(any).map(lambda ends: dict(filter(None, ends)))


def inside(ends, point):
    return (
        point >= ends.get("at_least", -math.inf)
        and point > ends.get("above", -math.inf)
        and point <= ends.get("at_most", math.inf)
        and point < ends.get("below", math.inf)
    )


def points(low, high):
    """Every quarter of a whole number: with whole ends, no part of a region or an interval lies between them."""
    return [low + step / 4 for step in range(4 * (high - low) + 1)]


class TestRegion:
    @given(regions)
    def test_is_refused_exactly_when_no_point_lies_in_it(self, ends):
        if any(inside(ends, point) for point in points(-4, 4)):
            Value(**ends)
        else:
            with pytest.raises(ClaimError, match="empty"):
                Value(**ends)

    @given(regions, st.integers(-4, 4), st.integers(-4, 4))
    def test_holds_an_interval_when_it_holds_every_point_and_excludes_it_when_it_holds_none(self, ends, low, high):
        assume(low <= high)
        assume(any(inside(ends, point) for point in points(-4, 4)))
        expect = Value(**ends)
        contained = [expect.contains(point) for point in points(low, high)]
        assert contained == [inside(ends, point) for point in points(low, high)]
        assert expect.holds(low, high) is (True if all(contained) else None if any(contained) else False)

    @pytest.mark.parametrize("kind", [Rate, Mean, Difference, Value, Rank])
    def test_must_be_stated(self, kind):
        with pytest.raises(ClaimError, match=rf"{kind.__name__}\(\) has no region"):
            kind()

    @pytest.mark.parametrize("ends", [{"at_least": 0}, {"at_most": 1}, {"at_least": -1, "at_most": 2}, {"below": 1.5}])
    def test_of_a_rate_leaves_out_some_rate(self, ends):
        with pytest.raises(ClaimError, match="nothing could refute"):
            Rate(**ends)

    @pytest.mark.parametrize("ends", [{"above": 1}, {"at_least": 90}, {"below": 0}])
    def test_of_a_rate_holds_some_rate(self, ends):
        with pytest.raises(ClaimError, match="nothing could support"):
            Rate(**ends)

    def test_of_a_mean_divides_its_bounds(self):
        assert Mean(above=0, bounds=(0, 1)).contains(0.1)
        with pytest.raises(ClaimError, match="nothing could refute"):
            Difference(at_least=-2, bounds=(-1, 1))

    @pytest.mark.parametrize("ends", [{"at_least": 0.5, "above": 0.5}, {"at_most": 0.5, "below": 0.4}])
    def test_has_each_end_once(self, ends):
        with pytest.raises(ClaimError, match="one end of the region twice"):
            Rate(**ends)

    @pytest.mark.parametrize("end", ["at_least", "above", "at_most", "below"])
    @pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
    def test_has_ends_that_are_numbers(self, end, value):
        with pytest.raises(ClaimError):
            Value(**{end: value})

    def test_may_be_a_single_value(self):
        assert Value(at_least=1, at_most=1).holds(1, 1) is True

    @pytest.mark.parametrize(
        ("expect", "direction"),
        [
            (Rate(at_least=0.9), "high"),
            (Mean(above=0), "high"),
            (Value(at_most=1), "low"),
            (Difference(below=0), "low"),
            (Rate(at_least=0.4, below=0.6), "within"),
            (Permutation(p_at_most=0.001, tail="low"), "low"),
            (Permutation(p_at_most=0.001, tail="high"), "high"),
            (Monotone("decreasing", at_least=0.9), "high"),
        ],
        ids=str,
    )
    def test_says_which_way_an_estimate_must_go(self, expect, direction):
        assert expect.direction == direction

    @pytest.mark.parametrize(
        ("expect", "text"),
        [
            (Rate(at_least=0.9), "≥ 0.9"),
            (Difference(above=0, below=1), "> 0 and < 1"),
            (Rank(at_most=1), "≤ 1"),
            (Permutation(p_at_most=0.001, tail="low"), "p ≤ 0.001"),
            (Monotone("increasing", at_least=1), "increasing, ≥ 1"),
        ],
        ids=str,
    )
    def test_reads_as_the_report_shows_it(self, expect, text):
        assert str(expect) == text


class TestExpectation:
    @pytest.mark.parametrize("alpha", [0, 1, -0.1, 2, math.nan])
    def test_has_an_error_rate_between_0_and_1(self, alpha):
        with pytest.raises(ClaimError, match="error rate between 0 and 1"):
            Rate(at_least=0.5, alpha=alpha)

    @pytest.mark.parametrize("bounds", [(1, 0), (0, 0), (0, math.nan), (0, math.inf)])
    @pytest.mark.parametrize("kind", [Mean, Difference])
    def test_of_a_mean_has_bounds_in_order(self, kind, bounds):
        with pytest.raises(ClaimError, match=rf"{kind.__name__}\(bounds="):
            kind(above=0, bounds=bounds)

    @pytest.mark.parametrize("p", [0, 1, -1, math.nan])
    def test_of_a_permutation_has_a_p_value_between_0_and_1(self, p):
        with pytest.raises(ClaimError, match="p-value between 0 and 1"):
            Permutation(p_at_most=p, tail="low")

    def test_of_a_permutation_has_a_tail_that_exists(self):
        with pytest.raises(ClaimError, match="middle"):
            Permutation(p_at_most=0.001, tail="middle")

    def test_of_a_permutation_is_about_its_p_value(self):
        expect = Permutation(p_at_most=0.01, tail="high")
        assert expect.ends() == {"at_most": 0.01}
        assert expect.contains(0.01)
        assert not expect.contains(0.02)

    def test_of_a_monotone_response_goes_one_of_two_ways(self):
        with pytest.raises(ClaimError, match="'increasing' or 'decreasing'"):
            Monotone("sideways", at_least=1)

    def test_of_a_monotone_response_has_a_region(self):
        with pytest.raises(ClaimError, match="has no region"):
            Monotone("increasing")


class TestClaim:
    @pytest.mark.parametrize("bad", ["toy", "toy/weights", "Toy/weights/big", "toy/weights/a b", "a/b/c/d", "a//c", ""])
    def test_has_an_id_of_three_parts(self, bad):
        with pytest.raises(ClaimError, match="system/mechanism/claim"):
            stated(id=bad)

    def test_belongs_to_the_system_and_mechanism_of_its_id(self):
        assert (stated().system, stated().mechanism) == ("toy", "weights")

    @pytest.mark.parametrize("expect", [0.9, None, Rate, {"at_least": 0.9}])
    def test_has_an_expectation_that_could_fail(self, expect):
        with pytest.raises(ClaimError, match="nothing could refute"):
            stated(expect=expect)

    def test_gives_one_of_five_kinds_of_evidence(self):
        with pytest.raises(ClaimError, match=r"anecdotal.*correlational, causal, structural"):
            stated(evidence_kind="anecdotal")

    def test_has_controls_that_are_controls(self):
        with pytest.raises(ClaimError, match=r"unknown control 'untrained'.*mechtests\.untrained"):
            stated(controls=(untrained, "untrained"))

    def test_takes_a_list_of_controls_and_says_so(self):
        with pytest.raises(ClaimError, match="controls"):
            claim("toy/weights/positive", "They are.", source=SOURCE, expect=Value(above=0), controls=untrained)

    def test_has_published_what_can_be_printed(self):
        with pytest.raises(ClaimError, match="published"):
            stated(published=[0.9, 1.0])

    def test_is_attached_to_a_function_that_stays_itself(self):
        def body(toy, evidence):
            return None

        decorate = claim("toy/weights/positive", "They are.", source=SOURCE, expect=Value(above=0), kind="structural")
        assert decorate(body) is body
        assert claim_of(body) == stated(evidence_kind="structural")
        assert claim_of(lambda: None) is None


def test_a_source_names_the_section():
    assert str(SOURCE) == "A post"
    assert str(SOURCE.section("Biases")) == "A post, “Biases”"
    assert SOURCE.at == ""
