"""Claims of a results file made of judgements, one for each verdict."""

from dataclasses import replace

import torch

from mechtests import Rate, Source, System, Verdict, untrained
from mechtests.claiming.claim import Claim
from mechtests.claiming.estimate import Estimate
from mechtests.families import Rendering
from mechtests.families.curve import Curve
from mechtests.inference import Interval
from mechtests.judging.answers import Answer
from mechtests.judging.control_result import ControlResult
from mechtests.judging.counterexamples import Counterexample, Search
from mechtests.judging.judgement import Judgement
from mechtests.results.making import checkpoint_record, claim_record, untested_record

CONTROL = ControlResult("untrained", (None, 0.1), 1, 19, True, 0.001, 0.25, 1, 0.5, Interval(0.2, 0.7))
FOUND = Search(
    Counterexample(
        {"steepness": 5.0, "n": 3},
        Rendering("a steep curve", (Curve("state", (0.0, 1.0), (0.0, 2.0)),)),
        Answer(True, -0.25),
        {"steepness": (4.21, 5.0), "n": (3, 3)},
    ),
    seconds=0.5,
)
UNANSWERED = replace(FOUND, counterexample=replace(FOUND.counterexample, answer=Answer(True, None, "ValueError: no")))
NOT_FOUND = Search(reason="none of 99 inputs that were tried failed")
SAMPLED = Estimate(0.97, Interval(0.93, 0.99), 256, e_value=1e6)
ESTIMATES = {
    "supported": SAMPLED,
    "refuted": Estimate(0.2, None, 9),
    "inconclusive": Estimate(0.9, Interval(0.8, 0.95), 64, e_value=1.0),
    "vacuous": None,
}


def stated(name="sum", expect=None):
    source = Source("A post", "A. Author", 2024).section("Weights")
    return Claim(f"toy/weights/{name}", "They are large.", source, expect or Rate(at_least=0.9), controls=(untrained,))


def judged(verdict="supported", name="sum", estimate=None, **changes):
    if estimate is None:
        estimate = ESTIMATES[verdict]
    system = System(torch.nn.Linear(2, 1), "toy")
    given = {"claim": stated(name), "params": {}, "system": system, "reason": "why"}
    judgement = Judgement(**{**given, "verdict": Verdict(verdict), "estimate": estimate, **changes})
    checkpoint = checkpoint_record([judgement.system] if judgement.system else [])
    return claim_record(judgement, checkpoint, "Are they large?", "pytest x")


def untested(name="sum"):
    return untested_record(stated(name), {"head": "L0H1"}, None, "Are they large?", "pytest x", "no checkpoint")


def of_every_verdict():
    return [*(judged(verdict, name=verdict) for verdict in ESTIMATES), untested("untested")]
