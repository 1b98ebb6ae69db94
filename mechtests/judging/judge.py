"""Judging one claim on one model: run its body on the model, then on its controls, and make the verdict."""

import hashlib
import itertools
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from hypothesis.database import ExampleDatabase

from mechtests.activations.interventions import record_edits
from mechtests.cache import Key, Moment
from mechtests.claiming.claim import Claim, Control
from mechtests.claiming.controls import system_argument
from mechtests.claiming.expectations import ClaimError
from mechtests.families.curve import Curve
from mechtests.judging.counterexamples import ChosenInputs, Search, search
from mechtests.judging.evidence import Estimate, Evidence, SampledUnits
from mechtests.judging.judgement_cache import OUTCOME, JudgementCache, Outcome
from mechtests.judging.verdict import ControlResult, Verdict, control_result, could_be_clear, decide, in_region
from mechtests.systems.base import System

CONTROL_UNITS = 4
"""A control's draw is sampled until it stands apart from the model, at most this many times the model's units and
never beyond the budget."""

PART = 8
"""A model that does not stand clear of a control is sampled again, first to this part of the budget: one in so many."""

Body = Callable[..., None]

_NONE: Mapping[str, Any] = {}


@dataclass(frozen=True)
class Settings:
    """What a run judges by.

    Attributes:
        alpha: error rate of each claim that does not state its own.
        budget: the greatest number of units to sample for one claim.
        seed: decides every random draw of the run.
    """

    alpha: float = 0.001
    budget: int = 4_096
    seed: int = 0


@dataclass(frozen=True)
class Judgement:
    """A verdict and all it rests on.

    Attributes:
        claim: what was judged.
        params: the test's parameters, as text.
        system: the system judged; ``None`` for a claim about several checkpoints.
        verdict: what it came to.
        estimate: what was observed; ``None`` where there was nothing to observe.
        controls: what was observed where the claim should not hold; empty where the region alone decided.
        curves: responses recorded on the way.
        interventions: the edits made on the model, in words, each once.
        reason: why, where the region alone does not say it.
        seconds: time taken.
        drawn: the units that a counterexample can be searched from; ``None`` where the claim has none.
        search: what the search for a counterexample came to; ``None`` where there was no search.
        trail: the estimate as units came in, where they were sampled.
        rests_on: the judgements of other claims that the body asked for.
    """

    claim: Claim
    params: Mapping[str, str]
    system: System | None
    verdict: Verdict
    estimate: Estimate | None = None
    controls: tuple[ControlResult, ...] = ()
    curves: tuple[Curve, ...] = ()
    interventions: tuple[str, ...] = ()
    reason: str | None = None
    seconds: float = 0.0
    drawn: SampledUnits | None = None
    search: Search | None = None
    trail: tuple[Estimate, ...] = ()
    rests_on: tuple["Judgement", ...] = ()


@dataclass(frozen=True)
class _Trial:
    """One claim test with its arguments: what runs on the model, and with arguments replaced on each control."""

    claim: Claim
    body: Body
    arguments: Mapping[str, Any]
    params: Mapping[str, str]

    @property
    def system(self) -> System | None:
        found = system_argument(self.arguments)
        return found and found[1]

    def key(self, model: str | None) -> tuple[object, ...]:
        return self.claim.id, tuple(self.params.items()), model

    def observe(self, evidence: Evidence, changed: Mapping[str, Any] | None = None) -> Estimate | None:
        self.body(**{**self.arguments, **(changed or {})}, evidence=evidence)
        return evidence.estimate()


@dataclass
class Judge:
    """Judges claims, each claim on each model once.

    A judgement is a function of the claim, its parameters, the weights and the settings alone, so what is remembered
    and what is measured again agree.

    Attributes:
        settings: what the run judges by.
        progress: called with a line of text while a claim is being sampled, and with none when it is judged.
        counterexamples: where they are kept from run to run.
        kept: judgements of earlier runs.
    """

    settings: Settings
    progress: Callable[[str], None] | None = None
    counterexamples: ExampleDatabase | None = None
    kept: JudgementCache | None = None
    _judged: dict[tuple[object, ...], Judgement] = field(default_factory=dict)
    _may_keep: set[tuple[object, ...]] = field(default_factory=set)
    _shared_draws: dict[tuple[object, ...], list[Estimate | None]] = field(default_factory=dict)
    _asked: list[list[Judgement]] = field(default_factory=list)
    """For each body that is running, the judgements it has asked for; the innermost last."""

    def judge(
        self, claim: Claim, body: Body, arguments: Mapping[str, Any], parameters: Mapping[str, Any] = _NONE
    ) -> Judgement:
        """The judgement of ``claim``, whose test is ``body``.

        Args:
            claim: what to judge.
            body: the test function.
            arguments: its arguments, all but ``evidence``; at most one of them a :class:`System`.
            parameters: the parameters of the claim, as ``head`` is, by name.

        Raises:
            ClaimError: the body records nothing, two values, or values that its expectation does not take.
        """
        trial = _Trial(claim, body, arguments, _params(parameters))
        if trial.system is None:  # a claim about several checkpoints: which ones, only its own fixtures know
            return self._measure(trial)
        key = trial.key(trial.system.identity)
        if key not in self._judged:
            with record_edits():  # what controls change is told to nobody, nor to a claim in which this one is judged
                self._judged[key] = self._recalled(trial) or self._measure(trial)
        # The same weights may lie in two files, and each has its name.
        judgement = replace(self._judged[key], system=trial.system)
        if self._asked:
            self._asked[-1].append(judgement)
        return judgement

    def search(self, judgement: Judgement, body: Body, arguments: Mapping[str, Any]) -> Judgement:
        """``judgement`` with the simplest input on which the claim fails, where there is one and it is found.

        There is a search where each unit is a yes or no to one input of one family. The verdict and all that it rests
        on stay what they are, whatever the search meets.
        """
        if judgement.drawn is None:
            return judgement
        trial = _Trial(judgement.claim, body, arguments, judgement.params)
        puts = itertools.count(1)

        def put(batch: object) -> ChosenInputs:
            if self.progress:
                self.progress(f"{trial.claim.id} · looking for a counterexample, batch {next(puts)}")
            question = ChosenInputs(trial.claim.expect, self.settings.alpha, 0, self._generator(trial), batch=batch)
            trial.body(**trial.arguments, evidence=question)
            return question

        began, moment = time.perf_counter(), Moment.now()
        try:
            found = search(
                put,
                judgement.drawn,
                seed=self._seed(trial),
                budget=self.settings.budget,
                kept=self.counterexamples if judgement.system else None,
                key=repr(trial.key(judgement.system.identity if judgement.system else None)).encode(),
            )
        except Exception as error:  # a family that cannot draw its input, say
            reason = f"the search broke off with {type(error).__name__}: {error}"
            found = Search(reason=reason, seconds=time.perf_counter() - began)
        if self.progress:
            self.progress("")
        judgement = replace(judgement, search=found)
        if trial.system and trial.key(trial.system.identity) in self._may_keep:
            self._keep(trial, judgement, moment)
        return judgement

    def _recalled(self, trial: _Trial) -> Judgement | None:
        """What an earlier run came to, where nothing has changed since."""
        found = self.kept.get(trial.system, self._told(trial)) if self.kept and trial.system else None
        # The search starts from the units, which are not kept.
        if found is None or (found.searchable and found.search is None and not self._asked):
            return None
        return Judgement(trial.claim, trial.params, trial.system, **{name: getattr(found, name) for name in OUTCOME})

    def _keep(self, trial: _Trial, judgement: Judgement, began: Moment) -> None:
        system = system_argument(trial.arguments)
        # Other arguments are fixtures, which may be anything; a parameter is what its text says.
        told = system is not None and trial.arguments.keys() - {system[0]} <= trial.params.keys()
        if self.kept is None or trial.system is None or not told or judgement.rests_on:
            return
        if self.kept.may_keep(began):
            self._may_keep.add(trial.key(trial.system.identity))
            came_to = {name: getattr(judgement, name) for name in OUTCOME}
            self.kept.put(trial.system, self._told(trial), Outcome(**came_to, searchable=judgement.drawn is not None))

    def _told(self, trial: _Trial) -> Key:
        """What a judgement depends on besides the weights and the code."""
        claim = trial.claim
        controls = [(control.name, control.draws) for control in claim.controls]
        return (claim.id, repr(claim.expect), repr(controls), repr(self.settings), repr(dict(trial.params)))

    def _measure(self, trial: _Trial) -> Judgement:
        began, moment = time.perf_counter(), Moment.now()
        claim = trial.claim
        evidence = self._evidence(trial, self.settings.budget, None)
        with record_edits() as edits:
            estimate, rests_on = self._observe(trial, evidence)
        controls = self._controls(trial, estimate, self.settings.budget)
        while evidence.can_grow and (more := self._more(trial, estimate, controls)) is not None:
            evidence = self._evidence(trial, more, None)
            evidence.to_the_budget = True
            estimate, rests_on = self._observe(trial, evidence)
            controls = self._controls(trial, estimate, more)
            if estimate is not None and estimate.units < more:  # the body itself has stopped
                break
        if self.progress:
            self.progress("")
        verdict, reason = decide(claim.expect, estimate, controls, evidence.undefined_because)
        judgement = Judgement(
            claim,
            trial.params,
            trial.system,
            verdict,
            estimate,
            controls,
            curves=tuple(evidence.curves),
            interventions=tuple(edits),
            reason=reason,
            seconds=time.perf_counter() - began,
            trail=tuple(evidence.trail()),
            rests_on=rests_on,
            drawn=evidence.drawn() if estimate is not None else None,
        )
        self._keep(trial, judgement, moment)
        return judgement

    def _more(self, trial: _Trial, estimate: Estimate | None, controls: Sequence[ControlResult]) -> int | None:
        """How many units to sample the model with again, where that may yet part it from its controls.

        Sampling stopped as soon as the region was decided, and the wide interval it stopped with may be all that the
        model and a control have in common. A part of the budget tells where the control does as well as the model.
        """
        if estimate is None or estimate.interval is None or all(control.clear for control in controls):
            return None
        part, whole = self.settings.budget // PART, self.settings.budget
        if estimate.units < part:
            return part
        hopeful = all(control.clear or could_be_clear(control, trial.claim.expect, estimate) for control in controls)
        return whole if hopeful and estimate.units < whole else None

    def _controls(self, trial: _Trial, estimate: Estimate | None, most: int) -> tuple[ControlResult, ...]:
        # Controls can only take away from a claim whose estimate lies in its region, so they run for no other.
        if estimate is None or not in_region(trial.claim.expect, estimate):
            return ()
        return tuple(self._control(control, trial, estimate, most) for control in trial.claim.controls)

    def _observe(
        self, trial: _Trial, evidence: Evidence, changed: Mapping[str, Any] | None = None
    ) -> tuple[Estimate | None, tuple[Judgement, ...]]:
        """What a run of the body comes to, and the judgements of other claims that it asked for."""
        self._asked.append([])
        try:
            return trial.observe(evidence, changed), tuple(self._asked[-1])
        finally:
            self._asked.pop()

    def _control(self, control: Control, trial: _Trial, model: Estimate, most: int) -> ControlResult:
        # An exact estimate does not depend on when the model's own sampling stopped, so the twins of one architecture
        # serve every checkpoint of it.
        shared = control.by_architecture and model.interval is None and trial.system is not None
        key = (*trial.key(trial.system.architecture), control.name) if shared and trial.system else None
        draws = self._shared_draws.get(key) if key else None
        if draws is None:
            draws = list(self._draws(control, trial, model, most))
            if key:
                self._shared_draws[key] = draws
        if not draws:
            raise ClaimError(
                f"claim {trial.claim.id}: there is nothing to draw for the control “{control.name}” here. "
                "It needs a system among the test's arguments, and alternatives to what it replaces."
            )
        return control_result(control.name, trial.claim.expect, model, draws, redrawn=control.draws is not None)

    def _draws(self, control: Control, trial: _Trial, model: Estimate, most: int) -> Iterator[Estimate | None]:
        def apart(draw: Estimate) -> bool:
            return not control_result(control.name, trial.claim.expect, model, [draw], redrawn=False).reached

        for draw in itertools.count() if control.draws is None else range(control.draws):
            changed = control.replacement(trial.arguments, draw)
            if changed is None:
                return
            if self.progress:
                self.progress(f"{trial.claim.id} · control {control.name}, draw {draw + 1}")
            budget = min(CONTROL_UNITS * model.units, most)
            yield self._observe(trial, self._evidence(trial, budget, apart), changed)[0]

    def _evidence(self, trial: _Trial, budget: int, enough: Callable[[Estimate], bool] | None) -> Evidence:
        def tell(estimate: Estimate) -> None:
            if self.progress:
                self.progress(f"{trial.claim.id} · {estimate.units} units · [{estimate.low:.3f}, {estimate.high:.3f}]")

        alpha = trial.claim.expect.alpha or self.settings.alpha
        return Evidence(trial.claim.expect, alpha, budget, self._generator(trial), enough, tell)

    def _generator(self, trial: _Trial) -> torch.Generator:
        # The same inputs for the model and its controls: what differs is what is judged, never the draw.
        return torch.Generator().manual_seed(self._seed(trial))

    def _seed(self, trial: _Trial) -> int:
        # Not of its parameters: what a claim measures of the model as it is, it measures once for all its heads.
        stated = f"{self.settings.seed}\0{trial.claim.id}"
        return int.from_bytes(hashlib.sha256(stated.encode()).digest()[:7], "big")


def parameter_text(value: object) -> str:
    """A parameter as the report shows it: a function by its name, all else as it prints."""
    return str(getattr(value, "__name__", value))


def _params(parameters: Mapping[str, Any]) -> dict[str, str]:
    params = {name: parameter_text(parameters[name]) for name in sorted(parameters)}
    for name, text in params.items():
        if text == "<lambda>" or " at 0x" in text:
            raise ClaimError(
                f"the parameter {name}={text} has no name by which the report, the seed and the record of verdicts "
                "could tell it from others. Give a named function, or an object with a __str__ of its own."
            )
    return params
