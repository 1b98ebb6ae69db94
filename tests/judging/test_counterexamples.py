"""Searching for counterexamples, on planted claims whose failing inputs are known."""

import itertools
import random
from dataclasses import replace

import pytest
import torch
from hypothesis.database import InMemoryExampleDatabase

from mechtests import Integer, Mean, Parameters, Rate, Real, Source, System, Verdict
from mechtests.claiming.claim import Claim
from mechtests.families import Rendering
from mechtests.judging.counterexamples import BATCHES, DEPTH
from mechtests.judging.judge import Judge, Settings

STEEP = Parameters(steepness=Real(0.5, 5), midpoint=Real(3, 8))
GRID = Parameters(a=Integer(0, 99), b=Integer(0, 99))
LARGE = Parameters(a=Integer(0, 999), b=Integer(0, 999))
HIGH, LOW = Rate(at_least=0.5), Rate(at_most=0.5)


def stated(expect=HIGH):
    return Claim("toy/head/works", "The head works.", Source("A post"), expect)


def head(stops_at):
    """A model of one number that is above zero while the steepness is below ``stops_at``."""
    module = torch.nn.Linear(1, 1)
    with torch.no_grad():
        module.weight.fill_(-1.0)
        module.bias.fill_(stops_at)
    return System(module, "toy")


def works(evidence, toy):
    for curves in evidence.batches(STEEP):
        output = toy.module(curves["steepness"].float().unsqueeze(1))[:, 0]
        evidence.observe(output > 0, margin=output)


def fails_where(condition, family=GRID, margin=None, size=32):
    """The body of a claim that fails on the inputs for which ``condition`` holds."""

    def body(evidence, **_):
        for inputs in evidence.batches(family, size):
            evidence.observe(~condition(**inputs), margin and margin(**inputs))

    return body


def searched(body, system=None, expect=HIGH, kept=None, seed=0, **arguments):
    judge, claim = Judge(Settings(seed=seed), counterexamples=kept), stated(expect)
    arguments = {"toy": system or head(0.0), **arguments}
    return judge.search(judge.judge(claim, body, arguments), body, arguments)


def found(*args, **kwargs):
    search = searched(*args, **kwargs).search
    assert search.counterexample is not None, search.reason
    return search.counterexample


class Recorder:
    """A body that remembers the batches that were put to it."""

    def __init__(self, body):
        self.body, self.batches = body, []

    def __call__(self, evidence, **arguments):
        plain = evidence.batches

        def batches(family, size=32):
            for batch in plain(family, size):
                self.batches.append(tuple(zip(*(values.tolist() for values in batch.values()), strict=True)))
                yield batch

        evidence.batches = batches
        self.body(evidence, **arguments)


class TestBoundary:
    @pytest.mark.parametrize("stops_at", [0.52, 0.9, 2.5, 4.21, 4.99])
    def test_of_a_planted_head_is_found(self, stops_at):
        low, high = found(works, head(stops_at)).fails["steepness"]
        assert low == pytest.approx(stops_at, rel=1e-3)
        assert high == 5

    @pytest.mark.parametrize("at", [0.62, 1.0, 1.7321, 3.999_99, 4.85])
    @pytest.mark.parametrize("above", [True, False])
    @pytest.mark.parametrize("tells", [True, False], ids=["margin", "no margin"])
    def test_is_found_whichever_side_fails_and_whether_or_not_there_is_a_margin(self, at, above, tells):
        def margin(steepness, midpoint):
            return at - steepness if above else steepness - at

        body = fails_where(lambda **inputs: margin(**inputs) < 0, STEEP, margin if tells else None)
        assert found(body).fails["steepness"] == pytest.approx((at, 5) if above else (0.5, at), rel=1e-3)

    def test_of_another_parameter_is_its_whole_range(self):
        assert found(works, head(4.21)).fails["midpoint"] == (3, 8)

    def test_of_whole_numbers_is_exact(self):
        fails = found(fails_where(lambda a, b: (a >= 317) & (a < 733), LARGE)).fails
        assert fails == {"a": (317, 732), "b": (0, 999)}

    def test_has_two_sides_where_the_claim_fails_in_between(self):
        island = fails_where(lambda steepness, midpoint: (steepness > 2.2) & (steepness < 2.6), STEEP)
        assert found(island).fails["steepness"] == pytest.approx((2.2, 2.6), rel=1e-3)

    def test_is_the_nearest_one(self):
        counterexample = found(fails_where(lambda a, b: (a == 7) | (a > 8)))
        assert counterexample.point == {"a": 7, "b": 0}
        assert counterexample.fails == {"a": (7, 7), "b": (0, 99)}


class TestSimplestInput:
    def test_is_a_round_number(self):
        assert found(works, head(4.21)).point == {"steepness": 5.0, "midpoint": 3.0}

    @pytest.mark.parametrize(
        ("condition", "simplest"),
        [
            (lambda a, b: a >= 0, {"a": 0, "b": 0}),
            (lambda a, b: (a - b == 1) & (a >= 10), {"a": 10, "b": 9}),
            (lambda a, b: (a > 40) & (b > 70), {"a": 41, "b": 71}),
            (lambda a, b: a + b > 150, {"a": 52, "b": 99}),
        ],
        ids=["all", "a line", "a corner", "a triangle"],
    )
    def test_is_the_simplest_there_is(self, condition, simplest):
        assert found(fails_where(condition), expect=Rate(at_least=0.99)).point == simplest

    def test_is_near_zero_where_zero_lies_within(self):
        family = Parameters(n=Integer(-9, 9), one=Integer(4, 4), x=Real(-2.5, 2.5))
        assert found(fails_where(lambda n, one, x: n < 5, family)).point == {"n": 0, "one": 4, "x": 0.0}

    def test_is_told_with_its_margin_and_in_words(self):
        counterexample = found(works, head(4.25))
        assert counterexample.answer.margin == -0.75
        assert counterexample.drawing == Rendering("steepness = 5, midpoint = 3")

    def test_has_no_margin_where_the_claim_gives_none(self):
        assert found(fails_where(lambda a, b: a > 3)).answer.margin is None


class TestVerdict:
    def rare(self, a, b):
        return (a + 3 * b) % 20 == 0

    def test_of_a_rate_of_95_in_100_is_supported_and_has_a_counterexample(self):
        judged = searched(fails_where(self.rare), expect=Rate(at_least=0.9))
        assert judged.verdict is Verdict.SUPPORTED
        assert self.rare(**judged.search.counterexample.point)
        assert judged.search.counterexample.point == {"a": 0, "b": 0}

    @pytest.mark.parametrize("expect", [Rate(at_least=0.9), Rate(at_least=0.99), Rate(at_least=0.95), Rate(below=0.5)])
    def test_does_not_change(self, expect):
        judge, arguments = Judge(Settings()), {"toy": head(0.0)}
        body = fails_where(self.rare)
        judged = judge.judge(stated(expect), body, arguments)
        after = judge.search(judged, body, arguments)
        assert after.search is not None
        assert replace(after, search=None) == judged
        assert judge.judge(stated(expect), body, arguments) == judged


class TestNoCounterexample:
    def test_is_told_where_there_is_none(self):
        search = searched(fails_where(lambda a, b: a < 0)).search
        assert search.counterexample is None
        assert search.reason == f"none of {search.inputs} inputs that were tried failed"
        assert search.inputs > 100

    def test_is_told_the_same_each_time(self):
        def margin(steepness, midpoint):
            return 10 - steepness

        runs = [Recorder(fails_where(lambda **inputs: margin(**inputs) < 0, STEEP, margin)) for _ in range(2)]
        first, again = (replace(searched(run).search, seconds=0) for run in runs)
        assert first == again
        assert runs[0].batches == runs[1].batches

    @pytest.mark.parametrize("margin", [None, lambda a, b: (a + 1.0) * (b + 1)])
    def test_costs_a_bounded_number_of_batches(self, margin):
        body = Recorder(fails_where(lambda a, b: a < 0, LARGE, margin))
        judge, arguments = Judge(Settings()), {"toy": head(0.0)}
        judged = judge.judge(stated(), body, arguments)
        body.batches.clear()
        assert judge.search(judged, body, arguments).search.counterexample is None
        assert len(body.batches) <= 1 + BATCHES + (0 if margin is None else DEPTH)

    def test_is_looked_for_among_no_more_inputs_than_the_claim_may_take(self):
        judge, arguments = Judge(Settings(budget=40)), {"toy": head(0.0)}
        body = fails_where(lambda a, b: a < 0)
        assert judge.search(judge.judge(stated(), body, arguments), body, arguments).search.inputs <= 40


class TestRareFailure:
    def test_that_the_estimate_met_is_told(self):
        """Four inputs in 10,000: the estimate's own units hold one, the search's would hardly."""
        body = fails_where(lambda a, b: (a == 71) & (b >= 30) & (b < 34))
        judged = searched(body, expect=Rate(at_least=0.995), seed=1)
        assert judged.estimate.value < 1
        assert judged.search.counterexample.point == {"a": 71, "b": 30}

    def test_at_the_end_of_a_range_is_found_without_a_margin(self):
        body = fails_where(lambda steepness, midpoint: steepness > 4.999_999, STEEP)
        judged = searched(body)
        assert judged.estimate.value == 1
        assert judged.search.counterexample.point == {"steepness": 5.0, "midpoint": 3.0}

    def test_is_found_by_going_down_the_margin(self):
        def distance(a, b):
            return (a - 613).abs() + (b - 287).abs() - 0.5

        blind, led = (fails_where(lambda a, b: distance(a, b) < 0, LARGE, margin) for margin in (None, distance))
        assert searched(blind).search.counterexample is None
        assert found(led).point == {"a": 613, "b": 287}


class TestSmallRate:
    """Where it is claimed that few units are so, each that is so tells against the claim."""

    def test_has_a_counterexample_that_is_so(self):
        def margin(a, b):
            return a - 41.5

        body = fails_where(lambda a, b: a <= 41, GRID, margin)
        counterexample = found(body, expect=Rate(at_most=0.1))
        assert counterexample.point == {"a": 42, "b": 0}
        assert counterexample.answer.margin == -0.5
        assert counterexample.fails["a"] == (42, 99)

    def test_is_searched_down_its_own_margin(self):
        def margin(a, b):
            return 0.5 - (a - 613).abs() - (b - 287).abs()

        body = fails_where(lambda a, b: margin(a, b) < 0, LARGE, margin)
        assert found(body, expect=LOW).point == {"a": 613, "b": 287}


class OwnSample(Parameters):
    def sample(self, n, generator):
        return {name: values.clamp(max=5) for name, values in super().sample(n, generator).items()}


class Coins:
    def sample(self, n, generator):
        return torch.rand(n, generator=generator) < 0.9


def twice(evidence, toy):
    for _ in range(2):
        for _ in evidence.batches(GRID):
            evidence.observe([True] * 32)


def observe(evidence, toy):
    evidence.observe([True] * 99 + [False])


def coins(evidence, toy):
    for some in evidence.batches(Coins()):
        evidence.observe(some)


def before_the_loop(evidence, toy):
    evidence.observe([False])
    fails_where(lambda a, b: a > 9)(evidence)


def undefined(evidence, toy):
    fails_where(lambda a, b: a > 9)(evidence)
    evidence.undefined("no head")


@pytest.mark.parametrize(
    ("body", "expect"),
    [
        (fails_where(lambda a, b: a > 9), Rate(at_least=0.05, at_most=0.5)),
        (fails_where(lambda a, b: a > 9), Mean(at_least=0.05, bounds=(0, 1))),
        (fails_where(lambda a, b: a > 4, OwnSample(a=Integer(0, 9), b=Integer(0, 9))), HIGH),
        (lambda evidence, toy: evidence.census([True, False]), HIGH),
        (observe, HIGH),
        (twice, HIGH),
        (coins, HIGH),
        (before_the_loop, HIGH),
        (undefined, HIGH),
    ],
    ids=[
        "two ends",
        "mean",
        "own sample",
        "census",
        "a sample",
        "two loops",
        "no family",
        "before the loop",
        "undefined",
    ],
)
def test_there_is_no_search_where_a_unit_is_no_yes_or_no_to_one_input(body, expect):
    judged = searched(body, expect=expect)
    assert judged.search is None
    assert judged.verdict in Verdict


class TestBodyThat:
    def test_takes_batches_of_its_own_size_gets_no_larger_ones(self):
        body = Recorder(fails_where(lambda a, b: (a > b) & (a >= 10), size=8))
        assert found(body).point == {"a": 10, "b": 0}
        assert max(map(len, body.batches)) == 8

    def test_draws_random_numbers_is_asked_with_the_same_ones_each_time(self):
        def noisy(evidence, toy):
            for inputs in evidence.batches(GRID):
                evidence.observe(inputs["a"] + 20 * torch.rand(len(inputs["a"]), generator=evidence.generator) < 50)

        first, again = (searched(noisy).search.counterexample for _ in range(2))
        assert first == again
        assert 30 < first.point["a"] <= 50
        assert first.fails["a"] == (first.point["a"], 99)

    @pytest.mark.parametrize("period", [2, 7])
    def test_answers_otherwise_each_time_has_no_counterexample_and_it_says_why(self, period):
        times = itertools.count()

        def moody(evidence, toy):
            for inputs in evidence.batches(GRID):
                evidence.observe([next(times) % period > 0 for _ in inputs["a"]])

        search = searched(moody, expect=Rate(at_least=0.9)).search
        assert search.counterexample is None
        assert "put to the body" in search.reason

    def test_rolls_dice_of_its_own_has_no_counterexample(self):
        dice = random.SystemRandom()

        def reckless(evidence, toy):
            for inputs in evidence.batches(GRID):
                evidence.observe([dice.random() < 0.999 for _ in inputs["a"]])

        assert searched(reckless, expect=Rate(at_least=0.9)).search.counterexample is None

    def test_looks_at_its_neighbours_has_no_counterexample(self):
        def relative(evidence, toy):
            for inputs in evidence.batches(GRID):
                evidence.observe(inputs["a"] > inputs["a"].min() - int(len(inputs["a"]) == 1))

        search = searched(relative).search
        assert search.counterexample is None
        assert "put to the body" in search.reason

    def fussy(self, evidence, toy):
        for inputs in evidence.batches(LARGE):
            if ((inputs["a"] == 999) | (inputs["b"] == 999)).any():
                raise ZeroDivisionError("no slope\n at all")
            evidence.observe(inputs["a"] >= 0)

    def test_cannot_answer_an_input_is_told_which(self):
        judged = searched(self.fussy)
        counterexample = judged.search.counterexample
        assert judged.estimate.value == 1
        assert counterexample.answer.raised == "ZeroDivisionError: no slope at all"
        assert counterexample.point in ({"a": 0, "b": 999}, {"a": 999, "b": 0})

    def test_cannot_answer_an_input_is_told_a_plain_no_before_that(self):
        def body(evidence, toy):
            self.fussy(evidence, toy)

        def fails(evidence, toy):
            for inputs in evidence.batches(LARGE):
                if (inputs["b"] == 0).any():
                    raise ZeroDivisionError
                evidence.observe(inputs["a"] < 700)

        counterexample = found(fails, seed=1)  # which draws no b of 0 while it judges
        assert (counterexample.point, counterexample.answer.raised) == ({"a": 700, "b": 1}, None)
        assert counterexample.fails == {"a": (700, 999), "b": (0, 999)}

    @pytest.mark.parametrize(
        ("bound", "told"),
        [
            (2, "is not the same each time it is put to the body, another time RuntimeError: shape"),
            (50, "the body answers no input that is chosen for it: RuntimeError: shape"),
        ],
        ids=["32 fail", "fewer than 32 fail"],
    )
    def test_answers_batches_of_its_own_size_alone_has_no_counterexample(self, bound, told):
        def only_32(evidence, toy):
            for inputs in evidence.batches(GRID):
                evidence.observe(inputs["a"].reshape(4, 8).flatten() >= bound)

        search = searched(only_32, expect=Rate(at_least=0.9), seed=7).search
        assert search.counterexample is None
        assert told in search.reason

    def test_is_interrupted_stops_the_run(self):
        judge, arguments = Judge(Settings()), {"toy": head(0.0)}
        judged = judge.judge(stated(), fails_where(lambda a, b: a > 9), arguments)

        def interrupted(evidence, toy):
            raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            judge.search(judged, interrupted, arguments)

    def test_has_a_family_that_cannot_show_its_inputs_keeps_its_verdict(self):
        class Shy(Parameters):
            def describe(self, point):
                raise RuntimeError("no words")

        judged = searched(fails_where(lambda a: a > 9, Shy(a=Integer(0, 99))), expect=Rate(at_least=0.01))
        assert judged.verdict is Verdict.SUPPORTED
        assert judged.search.reason == "the search broke off with RuntimeError: no words"

    def test_is_shrunk_for_long_is_left_at_what_was_reached(self, monkeypatch):
        monkeypatch.setattr("mechtests.judging.counterexamples.SHRINKS", 5)
        body = fails_where(lambda a, b: (a - b == 1) & (a >= 10))
        simplest, seen = {"a": 10, "b": 9}, searched(body, expect=Rate(at_least=0.999))
        counterexample = seen.search.counterexample
        assert counterexample.answer.fails
        assert counterexample.point["a"] - counterexample.point["b"] == 1
        assert counterexample.point != simplest


class TestKept:
    STEPS = staticmethod(lambda a, b: (a > 9) & (b > 8))

    def test_is_told_next_time_without_a_search(self):
        kept, runs = InMemoryExampleDatabase(), [Recorder(fails_where(self.STEPS, size=16)) for _ in range(2)]
        first, second = (searched(run, kept=kept).search for run in runs)
        assert (first.replayed, second.replayed) == (False, True)
        assert first.counterexample == second.counterexample
        judged = len(runs[1].batches) - 14  # one batch for the input, and 13 for the 199 others of its cross
        assert runs[1].batches[judged] == ((10, 9),)

    def test_needs_no_batch_next_time_that_was_not_there_the_first_time(self):
        """So what an activation cache keeps of the first search is all that the next one asks for."""
        kept, runs = InMemoryExampleDatabase(), [Recorder(works) for _ in range(2)]
        for run in runs:
            searched(run, head(4.21), kept=kept)
        assert set(runs[1].batches) <= set(runs[0].batches)

    def test_is_left_where_it_fails_no_longer(self):
        kept = InMemoryExampleDatabase()
        assert found(fails_where(lambda a, b: a == 7), kept=kept).point == {"a": 7, "b": 0}
        later = searched(fails_where(lambda a, b: a == 8), kept=kept).search
        assert (later.counterexample.point, later.replayed) == ({"a": 8, "b": 0}, False)
        assert searched(fails_where(lambda a, b: a == 8), kept=kept).search.replayed
        assert searched(fails_where(lambda a, b: a < 0), kept=kept).search.counterexample is None

    def test_is_of_these_weights_alone(self):
        kept = InMemoryExampleDatabase()
        first = searched(works, head(4.21), kept=kept).search
        other = searched(works, head(1.5), kept=kept).search
        assert not other.replayed
        assert (first.counterexample.point["steepness"], other.counterexample.point["steepness"]) == (5.0, 2.0)

    def test_is_nobodys_where_the_claim_is_about_no_one_model(self):
        kept, body = InMemoryExampleDatabase(), fails_where(self.STEPS)
        judge = Judge(Settings(), counterexamples=kept)
        searches = [judge.search(judge.judge(stated(), body, {}), body, {}).search for _ in range(2)]
        assert [search.counterexample.point for search in searches] == [{"a": 10, "b": 9}] * 2
        assert not any(search.replayed for search in searches)
        assert not kept.data

    @pytest.mark.parametrize(
        "value",
        [
            b"\xff",
            b"[1]",
            b"1",
            b"{}",
            b'{"a": 3}',
            b'{"a": 100, "b": 0}',
            b'{"a": "x", "b": 0}',
            b'{"a": 1.5, "b": 0}',
        ],
    )
    def test_is_ignored_where_it_is_no_input_of_the_family(self, value):
        kept = InMemoryExampleDatabase()
        searched(fails_where(self.STEPS), kept=kept)
        (key,) = kept.data
        kept.data[key] = {value}
        search = searched(fails_where(self.STEPS), kept=kept).search
        assert (search.counterexample.point, search.replayed) == ({"a": 10, "b": 9}, False)
        assert value not in kept.data[key]


def test_a_search_says_nothing_of_its_own(capfd):
    searched(works, head(4.21))
    searched(fails_where(lambda a, b: a < 0))
    assert capfd.readouterr() == ("", "")


def test_a_search_tells_that_it_is_going_on():
    told = []
    judge, arguments = Judge(Settings(), told.append), {"toy": head(4.21)}
    judge.search(judge.judge(stated(), works, arguments), works, arguments)
    assert any("toy/head/works · looking for a counterexample" in line for line in told)
    assert told[-1] == ""
