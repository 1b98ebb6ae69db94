"""One claim judged by a call, and the verdict as a console and a notebook show it."""

import html
import inspect
from collections.abc import Callable, Set
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import torch

from mechtests.claiming.claim import claim_of, default_parameters
from mechtests.claiming.estimate import Estimate
from mechtests.claiming.expectations import ClaimError
from mechtests.judging.control_result import ControlResult
from mechtests.judging.findings import parametrized
from mechtests.judging.judge import Judge, Settings
from mechtests.judging.judgement import Judgement
from mechtests.judging.verdict import Verdict
from mechtests.report.html import card_html
from mechtests.report.text import count, counterexample_text
from mechtests.results.document import results_document
from mechtests.results.making import checkpoint_record, claim_record
from mechtests.results.record import ResultsDocument
from mechtests.results.run import run_record
from mechtests.systems.base import System

CARD_HEIGHT = 720
"""Height in pixels of the frame in which a notebook shows the card."""


@dataclass(frozen=True)
class JudgedClaim:
    """The verdict on one claim; it prints as three lines, and a notebook displays it as in the report.

    Attributes:
        judgement: the verdict and all that it rests on.
        document: the same as a results file, in the format described by ``results.schema.json``.
    """

    judgement: Judgement
    document: ResultsDocument

    @property
    def verdict(self) -> Verdict:
        """The verdict."""
        return self.judgement.verdict

    @property
    def estimate(self) -> Estimate | None:
        """The estimate; ``None`` if there was nothing to measure."""
        return self.judgement.estimate

    @property
    def controls(self) -> tuple[ControlResult, ...]:
        """The controls' results; empty if the region alone decided."""
        return self.judgement.controls

    @property
    def reason(self) -> str | None:
        """The reason for the verdict, unless it follows from the region alone."""
        return self.judgement.reason

    def __repr__(self) -> str:
        (record,) = self.document["claims"]
        params = ", ".join(f"{name}={value}" for name, value in record["params"].items())
        where = f" on {record['checkpoint']['name']}" if record["checkpoint"] else ""
        name = record["id"] + (f" [{params}]" if params else "")
        observed = "nothing was observed"
        if (estimate := self.estimate) is not None:
            interval = f" in [{estimate.low:.4g}, {estimate.high:.4g}]" if estimate.interval else ""
            observed = f"observed {estimate.value:.4g}{interval} over {estimate.units} units"
        rest = [self.reason, *map(_control_text, self.controls), counterexample_text(record)]
        return "\n".join(
            (
                f"{self.verdict.name} {name}{where}: {record['statement']}",
                f"{observed}; the claim's region is {record['expect']['region']}",
                "; ".join(filter(None, rest)) or "no control was measured",
            )
        )

    def _repr_html_(self) -> str:
        page = html.escape(card_html(self.document), quote=True)
        return f'<iframe srcdoc="{page}" style="width: 100%; height: {CARD_HEIGHT}px; border: 0"></iframe>'


def judge(
    claim_test: Callable[..., None],
    *,
    seed: int = Settings.seed,
    budget: int = Settings.budget,
    **arguments: Any,
) -> JudgedClaim:
    """Judge a claim on a model in a script or a notebook: ``judge(test_exists, induction=model)``.

    The verdict is the one that pytest reports for the same seed and budget. Nothing is written to disk.

    Args:
        claim_test: a function decorated with :func:`mechtests.claim`.
        seed: decides every random draw.
        budget: the largest number of units to sample.
        **arguments: the test's arguments by name, all but ``evidence``: the system under test, and its parameters,
            which may be omitted if they have a default.

    Raises:
        ClaimError: ``claim_test`` states no claim, or does not take these arguments.
    """
    claim = claim_of(claim_test)
    name = getattr(claim_test, "__name__", repr(claim_test))
    if claim is None:
        raise ClaimError(f"{name} states no claim. Give a function that is decorated with @mechtests.claim(…).")
    settings, began = Settings(budget=budget, seed=seed), datetime.now(UTC)
    judging = Judge(settings)
    taken = inspect.signature(claim_test).parameters
    given = {**({"judge": judging} if "judge" in taken else {}), **default_parameters(claim_test), **arguments}
    _check_arguments(name, taken.keys() - {"evidence"}, given.keys())
    parameters = {one: given[one] for one in taken if one in parametrized(claim_test)}
    judgement = judging.search(judging.judge(claim, claim_test, given, parameters), claim_test, given)
    systems = [value for value in given.values() if isinstance(value, System)]
    story = (inspect.getdoc(inspect.getmodule(claim_test)) or claim.mechanism).splitlines()[0]
    record = claim_record(judgement, checkpoint_record(systems), story, f"mechtests.judge({name}, …, seed={seed})")
    device = systems[0].device if systems else torch.device("cpu")
    return JudgedClaim(judgement, results_document(run_record(settings, device, began, None), [record]))


def _check_arguments(name: str, taken: Set[str], given: Set[str]) -> None:
    """Refuse arguments that a claim test does not take, and a call without one that it needs."""
    called = f"judge({name}, {', '.join(f'{one}=…' for one in sorted(taken))})"
    if unknown := sorted(given - taken):
        raise ClaimError(f"{name} takes no argument {', '.join(unknown)}. Expected {called}.")
    if missing := sorted(taken - given):
        raise ClaimError(f"{name} needs {', '.join(missing)} as well. Expected {called}.")


def _control_text(control: ControlResult) -> str:
    if control.clear is None:
        return f"{control.name}: undefined on every draw"
    many, by = count(len(control.values), "draw"), f" by {control.margin:g}" if control.margin else ""
    if not control.clear:
        return f"{control.name}: not shown to do more{by} than draw {len(control.values)}"
    return f"{control.name}: more{by} than {'all ' if len(control.values) > 1 else ''}{many}"
