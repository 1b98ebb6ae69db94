"""Results files that no run has made: of any size, of every verdict, and with text that would run if it could."""

import numpy as np

from mechtests import (
    Difference,
    Monotone,
    Permutation,
    Rate,
    Source,
    Value,
    Verdict,
    other,
    shuffled_weights,
    untrained,
)
from mechtests.claiming.claim import Claim
from mechtests.claiming.estimate import Estimate
from mechtests.families.curve import Curve
from mechtests.inference import Interval
from mechtests.judging.control_result import ControlResult
from mechtests.judging.judgement import Judgement
from mechtests.judging.verdict import Support, combined_e_value, decide, support_of
from mechtests.results.document import results_document
from mechtests.results.making import claim_record, untested_record

RUN = {
    "id": "0" * 32,
    "started": "2025-03-01T12:00:00+00:00",
    "seconds": 61.5,
    "commit": "c0ffee" * 6 + "c0de",
    "device": "cpu",
    "versions": {"python": "3.11", "torch": "2.13"},
    "seed": 0,
    "alpha": 0.001,
    "budget": 4096,
}
SOURCE = Source("A post about toys", "A. Author", 2024).section("Weights")
EXPECTATIONS = (
    (Rate(at_least=0.9), "behavioural", None),
    (Value(above=0), "structural", None),
    (Difference(at_least=0.4, bounds=(-1, 1)), "causal", "necessity"),
    (Difference(at_most=0.3, bounds=(-1, 1)), "causal", "sufficiency"),
    (Monotone("decreasing", at_least=0.9), "causal", "graded response"),
    (Permutation(p_at_most=0.001, tail="low"), "structural", None),
)

AMENDMENT = {
    "date": "2025-02-14",
    "changes": [
        {"field": "expect", "before": "Value(above=1)", "after": "Value(above=0)"},
        {"field": "code", "before": "0" * 64, "after": "f" * 64},
    ],
    "reason": "the source says above 0",
    "verdicts": {"refuted": 2, "supported": 1},
}

HOSTILE = (
    "</script><script>document.title='run'</script>",
    "<img src=x onerror=\"document.title='run'\">",
    "'\"><svg onload=document.title='run'>",
    "<!--<script>",
    "{{ 7 * 7 }}{% for x in y %}",
    "&lt;b&gt;\u2028</title><b>bold</b>",
    "javascript:document.title='run'",
    '<a href="https://example.org/">out</a>',
)
"""Text that a page would run, fetch or lose its form by, if it took it for anything but text."""


def checkpoint(seed=0, recipe="light", step=5000, name=None):
    made = {"step": step, "seed": seed, "recipe": recipe, "commit": "ab" * 20}
    return {"name": name or f"{recipe}-seed{seed:02}", "sha256": f"{seed + 1:02x}{step:06x}".ljust(64, "0"), **made}


def together(checkpoints):
    unknown = {"step": None, "seed": None, "recipe": None, "commit": None}
    members = [one["name"] for one in checkpoints]
    return {"name": f"{len(members)} checkpoints", "sha256": "f" * 64, "members": members, **unknown}


def stated(name="sum", mechanism="weights", system="toy", index=0, **changes):
    expect, kind, criterion = EXPECTATIONS[index % len(EXPECTATIONS)]
    given = {
        "id": f"{system}/{mechanism}/{name}",
        "statement": f"The {name} of the {mechanism} is what it is said to be, and by a margin.",
        "source": SOURCE,
        "expect": expect,
        "evidence_kind": kind,
        "controls": (untrained, shuffled_weights, other("head")),
        "published": 0.97 if index % 2 else "largely",
        "criterion": criterion,
    }
    return Claim(**{**given, **changes})


def judged(claim, generator, draws=(99, 19), **changes):
    """A judgement with made-up numbers, and the verdict that follows from them."""
    estimate, trail = _observed(claim.expect, generator)
    inside = claim.expect.contains(estimate.value if estimate.p_value is None else estimate.p_value)
    controls = ()
    if inside:
        reached = int(generator.random() < 0.2)
        controls = tuple(
            ControlResult(name, tuple(generator.normal(0, 0.1, many)), reached, many, closest=3, ahead=0.2)
            for name, many in zip(("untrained", "shuffled weights"), draws, strict=False)
        )
        controls += (ControlResult("other heads", (0.01, None, 0.02), 0, 3, redrawn=False),)
    verdict, reason = decide(claim.expect, estimate, controls)
    curves = ()
    if isinstance(claim.expect, Monotone):
        curves = (Curve("accuracy against dose", tuple(np.linspace(0, 1, 6)), tuple(np.linspace(1, 0.1, 6))),)
    given = {"params": {}, "system": None, "reason": reason, "seconds": 0.21, "trail": trail, "curves": curves}
    made = Judgement(
        **{"claim": claim, "verdict": verdict, "estimate": estimate, "controls": controls, **given, **changes}
    )
    if made.estimate is None or "support" in changes:
        return made
    behind = claim, made.estimate, made.controls
    support = support_of(*behind, False) if made.verdict is Verdict.SUPPORTED else None
    return _with(made, support=support, combined_e_value=combined_e_value(*behind, support, False))


def _observed(expect, generator):
    value = float(generator.uniform(0, 1)) ** 0.5
    if isinstance(expect, Permutation):
        return Estimate(-value, None, 64, 500.0, float(generator.choice([0.0005, 0.2]))), ()
    if not isinstance(expect, Rate | Difference):
        return Estimate(value, None, 10_000), ()
    sizes = [32]
    while sizes[-1] < 4096:
        sizes.append(sizes[-1] * 5 // 4)
    trail = tuple(
        Estimate(value, Interval(max(value - 2 / n**0.5, -1), min(value + 2 / n**0.5, 1)), n, e_value=float(n))
        for n in sizes
    )
    return trail[-1], trail


def document(claims=12, checkpoints=3, mechanisms=3, systems=1, draws=(99, 19), seed=0):
    """A results file of so many claims on each of so many checkpoints, in so many mechanisms of each system."""
    generator = np.random.default_rng(seed)
    records = []
    for index in range(claims):
        system, mechanism = f"toy-{index % systems}", f"mechanism-{index // systems % mechanisms}"
        claim = stated(f"claim-{index:03}", mechanism, system, index)
        params = {"head": f"L0H{index % 4}"} if index % 3 == 0 else {}
        for number in range(checkpoints):
            where = checkpoint(number % 10, "light" if number < 10 else "heavy")
            rerun = f"pytest 'claims/{system}/test_{mechanism}.py::test_claim[{where['name']}]'"
            judgement = judged(claim, generator, draws, params=params)
            records.append(claim_record(judgement, where, f"Is {mechanism} what is said of it?", rerun))
    return results_document(RUN, records)


def of_every_verdict():
    """A small results file with each verdict, claims over checkpoints, and a counterexample."""
    generator = np.random.default_rng(1)
    seeds = [checkpoint(seed) for seed in range(3)]
    steps = [checkpoint(0, step=step, name=f"light-seed00-step{step}") for step in (100, 1000)] + seeds[:1]
    weights = stated("positive", expect=Value(above=0), evidence_kind="structural", criterion=None)
    rate = stated("often", "habits", expect=Rate(at_least=0.5), evidence_kind="behavioural", criterion=None)
    records = []

    def add(claim, verdict, where, value, **changes):
        given = {"controls": (), "curves": (), "reason": None}
        judgement = judged(claim, generator, verdict=Verdict(verdict), **{**given, **changes})
        estimate = judgement.estimate and Estimate(
            value, judgement.estimate.interval and Interval(value - 0.1, value + 0.1), judgement.estimate.units, 3.0
        )
        records.append(
            claim_record(_with(judgement, estimate=estimate), where, f"Are the {claim.mechanism} there?", "pytest x")
        )
        return records[-1]

    clear = (ControlResult("untrained", (0.1, 0.2, None), 0, 3),)
    for where, verdict, value in zip(seeds, ("supported", "refuted", "vacuous"), (1.5, -2.0, 0.3), strict=True):
        add(weights, verdict, where, value, controls=clear if verdict == "supported" else ())
    for record in records:
        record["registered"], record["amendments"] = "2025-01-31", [AMENDMENT]
    sampled = add(rate, "inconclusive", seeds[0], 0.5)
    sampled["counterexample"] = {
        "parameters": {"steepness": 4.25},
        "text": "57 - 58",
        "margin": -1.2,
        "raised": None,
        "fails": {"steepness": [4.2, 10.0]},
        "figures": [{"kind": "curve", "label": "the input", "x": [0.0, 1.0, 2.0], "y": [0.0, 1.0, 0.5]}],
    }
    add(rate, "refuted", seeds[1], 0.2)
    add(rate, "supported", seeds[2], 0.8)
    records.append(untested_record(rate, {}, None, "Are the habits there?", "pytest y", "no checkpoint was found"))

    over = {
        "system": "toy",
        "statement": "It holds on most seeds.",
        "criterion": None,
        "evidence_kind": "correlational",
    }
    universal = Claim(id="toy/training/universal", source=SOURCE, expect=Rate(at_least=0.8, alpha=0.05), **_but(over))
    emergence = Claim(
        id="toy/training/emergence", source=SOURCE, expect=Monotone("increasing", at_least=1), **_but(over)
    )
    about = {"id": weights.id, "params": {}, "expect": {"kind": "value", "region": "> 0", "above": 0}}

    def findings(judged_on, verdicts):
        told = [
            {"checkpoint": one, "verdict": verdict, "estimate": value, "interval": None}
            for one, (verdict, value) in zip(judged_on, verdicts, strict=True)
        ]
        return [{**about, "judged": told}]

    verdicts = [("supported", 1.5), ("refuted", -2.0), ("vacuous", 0.3)]
    named = {"finding": "weights/positive"}
    one = add(universal, "refuted", together(seeds), 0.33, params={**named, "recipe": "light"})
    one["findings"] = findings(seeds, verdicts)
    two = add(emergence, "supported", together(seeds), 1.0, params=named, support=Support.TRAINING_RUNS)
    two["findings"] = findings(steps, [("refuted", -1.0), ("refuted", -0.5), ("supported", 1.5)])
    return results_document(RUN, records)


def hostile():
    """A results file in which every text is one of ``HOSTILE``, as far as its place takes any."""
    made = of_every_verdict()
    texts = iter(HOSTILE * 1000)
    made["run"]["versions"] = {next(texts): next(texts)}
    made["run"]["device"] = next(texts)
    names, of_claims = {}, {}
    for claim in made["claims"]:
        if claim["id"] not in of_claims:
            of_claims[claim["id"]] = {key: next(texts) for key in ("story", "statement", "published")}
            source = {"title": next(texts), "authors": next(texts), "year": 2024, "at": next(texts)}
            change = {"field": next(texts), "before": next(texts), "after": next(texts)}
            history = {
                "registered": next(texts),
                "amendments": [{**AMENDMENT, "changes": [change], "reason": next(texts)}],
            }
            of_claims[claim["id"]] |= history if "registered" in claim else {}
            of_claims[claim["id"]] |= {"source": source, "expect": {**claim["expect"], "region": next(texts)}}
        claim |= {**of_claims[claim["id"]], "rerun": next(texts), "reason": next(texts)}
        if claim["id"].split("/")[1] != "training":
            claim["params"] = {"<b>head</b>": HOSTILE[0]}
        for control in claim["controls"]:
            control["name"] = next(texts)
        for figure in claim["figures"]:
            figure["label"] = next(texts)
        if claim["counterexample"]:
            claim["counterexample"]["text"] = next(texts)
            claim["counterexample"]["figures"][0]["label"] = next(texts)
            claim["counterexample"]["parameters"] = {next(texts): 1.0}
        if claim["checkpoint"]:
            name = names.setdefault(claim["checkpoint"]["name"], f"{next(texts)}{len(names)}")
            claim["checkpoint"] = {
                **claim["checkpoint"],
                "name": name,
                "recipe": claim["checkpoint"]["recipe"] and name,
            }
        for finding in claim["findings"]:
            finding["params"] = {"<b>head</b>": HOSTILE[0]}
    return made


def _with(judgement, **changes):
    return Judgement(**{**vars(judgement), **changes})


def _but(over):
    return {name: value for name, value in over.items() if name != "system"}
