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
from mechtests.claiming.claim import Claim, Control, default_parameters
from mechtests.claiming.controls import system_argument
from mechtests.claiming.estimate import Estimate
from mechtests.claiming.expectations import ClaimError
from mechtests.judging.answers import ChosenInputs
from mechtests.judging.control_result import (
    UNDEFINED,
    ControlResult,
    Draw,
    compared,
    control_result,
    could_be_clear,
    pairing,
)
from mechtests.judging.counterexamples import Search, search
from mechtests.judging.evidence import Evidence, Untested
from mechtests.judging.judgement import Judgement, Outcome
from mechtests.judging.judgement_cache import CachedOutcome, JudgementCache
from mechtests.judging.pairing import PairedUnits
from mechtests.judging.presuppositions import Presuppositions
from mechtests.judging.trial import NONE, Body, Trial
from mechtests.judging.twins import Twins
from mechtests.judging.verdict import Verdict, combined_e_value, decide, in_region, support_of

PART = 8
"""A model that does not stand clear of a control is sampled again, first to this part of the budget: one in so many."""


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
    _presuppositions: Presuppositions = field(default_factory=Presuppositions)
    _asked: list[list[Judgement]] = field(default_factory=list)
    """For each body that is running, the judgements it has asked for; the innermost last."""

    def judge(
        self, claim: Claim, body: Body, arguments: Mapping[str, Any], parameters: Mapping[str, Any] = NONE
    ) -> Judgement:
        """The judgement of ``claim``, whose test is ``body``.

        Args:
            claim: what to judge.
            body: the test function.
            arguments: its arguments, all but ``evidence``; at most one of them a :class:`System`. One that is left out
                has its default.
            parameters: the parameters of the claim, as ``head`` is, by name; an argument with a default is one too.

        Raises:
            ClaimError: the body records nothing, two values, or values that its expectation does not take.
        """
        trial = Trial.of(claim, body, arguments, parameters)
        if trial.system is None:  # a claim about several checkpoints: which ones, only its own fixtures know
            return self._measure(trial)
        key = trial.key(trial.system.identity)
        if key not in self._judged:
            with record_edits():  # what controls change is no edit of this claim, nor of one in which it is judged
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
        given = {**default_parameters(body), **arguments}
        trial = Trial(judgement.claim, body, given, judgement.params, judgement.values)
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

    def _recalled(self, trial: Trial) -> Judgement | None:
        """What an earlier run came to, where nothing has changed since."""
        found = self.kept.get(trial.system, self._dependencies(trial)) if self.kept and trial.system else None
        # The search starts from the units, which are not kept.
        if found is None or (found.searchable and found.outcome.search is None and not self._asked):
            return None
        return trial.judgement(found.outcome)

    def _keep(self, trial: Trial, judgement: Judgement, began: Moment) -> None:
        system = system_argument(trial.arguments)
        # Other arguments are fixtures, which may be anything; a parameter is what its text says.
        known = system is not None and trial.arguments.keys() - {system[0]} <= trial.params.keys()
        if self.kept is None or trial.system is None or not known or judgement.rests_on:
            return
        if self.kept.may_keep(began):
            self._may_keep.add(trial.key(trial.system.identity))
            cached = CachedOutcome(judgement.outcome, searchable=judgement.drawn is not None)
            self.kept.put(trial.system, self._dependencies(trial), cached)

    def _dependencies(self, trial: Trial) -> Key:
        """What a judgement depends on besides the weights and the code."""
        claim = trial.claim
        controls = [(control.name, control.draws, control.margin) for control in claim.controls]
        return (
            claim.id,
            repr(claim.expect),
            repr(controls),
            repr(self.settings),
            repr(dict(trial.params)),
            trial.values,
        )

    def _measure(self, trial: Trial) -> Judgement:
        began = time.perf_counter()
        try:
            if (unmet := self._presuppositions.unmet(trial.claim, trial.arguments)) is not None:
                raise Untested(f"presupposition failed: {unmet}")
            return self._tested(trial)
        except Untested as untested:
            if self.progress:
                self.progress("")
            seconds, why = time.perf_counter() - began, str(untested)
            outcome = Outcome(verdict=Verdict.UNTESTED, reason=why, seconds=seconds)
            return trial.judgement(outcome)

    def _tested(self, trial: Trial) -> Judgement:
        began, moment = time.perf_counter(), Moment.now()
        claim = trial.claim
        evidence = self._evidence(trial)
        with record_edits() as edits:
            estimate, rests_on = self._observe(trial, evidence)
        controls = self._controls(trial, estimate, evidence)
        whole = evidence.obtainable(self.settings.budget)
        while (more := self._more(estimate, controls, whole)) is not None:
            evidence = self._evidence(trial, units=more)
            estimate, rests_on = self._observe(trial, evidence)
            controls = self._controls(trial, estimate, evidence)
            if estimate is not None and estimate.units < more:  # the body left its loop
                break
        if self.progress:
            self.progress("")
        verdict, reason = decide(claim.expect, estimate, controls, evidence.undefined_because)
        support = combined = None
        if estimate is not None:
            if verdict is Verdict.SUPPORTED:
                support = support_of(claim, estimate, controls, bool(rests_on))
            combined = combined_e_value(claim, estimate, controls, support, bool(rests_on))
        outcome = Outcome(
            verdict=verdict,
            estimate=estimate,
            controls=controls,
            curves=tuple(evidence.curves),
            interventions=tuple(edits),
            reason="; ".join(filter(None, [reason, *evidence.remarks])) or None,
            seconds=time.perf_counter() - began,
            trail=tuple(evidence.trail()),
            support=support,
            combined_e_value=combined,
        )
        drawn = evidence.drawn() if estimate is not None else None
        judgement = trial.judgement(outcome, drawn, rests_on)
        self._keep(trial, judgement, moment)
        return judgement

    def _more(self, estimate: Estimate | None, controls: Sequence[ControlResult], whole: int) -> int | None:
        """How many units to sample the model with again, where that may yet part it from its controls.

        Sampling stopped as soon as the region was decided, and a control may need more pairs than that. A part of the
        budget tells where the control does as well as the model. ``whole`` is how many units the claim can have.
        """
        if estimate is None or estimate.interval is None or all(control.clear is not False for control in controls):
            return None
        part = min(self.settings.budget // PART, whole)
        if estimate.units < part:
            return part
        return whole if all(map(could_be_clear, controls)) and estimate.units < whole else None

    def _controls(self, trial: Trial, estimate: Estimate | None, evidence: Evidence) -> tuple[ControlResult, ...]:
        # Controls can only take away from a claim whose estimate lies in its region, so they run for no other.
        if estimate is None or not in_region(trial.claim.expect, estimate):
            return ()
        return tuple(self._control(control, trial, estimate, evidence) for control in trial.claim.controls)

    def _observe(
        self, trial: Trial, evidence: Evidence, changed: Mapping[str, Any] | None = None
    ) -> tuple[Estimate | None, tuple[Judgement, ...]]:
        """What a run of the body comes to, and the judgements of other claims that it asked for."""
        self._asked.append([])
        try:
            return trial.observe(evidence, changed), tuple(self._asked[-1])
        finally:
            self._asked.pop()

    def _control(self, control: Control, trial: Trial, model: Estimate, evidence: Evidence) -> ControlResult:
        draws: list[Draw] = []
        for estimate, pair in self._draws(control, trial, model, evidence):
            if estimate is None:
                draws.append(UNDEFINED)
            else:
                draws.append(compared(trial.claim.expect, model, estimate, pair, control.margin))
            if draws[-1].reached:  # further draws change nothing
                break
        if not draws:
            raise ClaimError(
                f"claim {trial.claim.id}: there is nothing to draw for the control “{control.name}” here. "
                "It needs a system among the test's arguments, and alternatives to what it replaces."
            )
        planned = len(draws) if control.draws is None else control.draws
        return control_result(control, planned, draws, 0.0 if model.interval is None else evidence.alpha)

    def _draws(
        self, control: Control, trial: Trial, model: Estimate, evidence: Evidence
    ) -> Iterator[tuple[Estimate | None, PairedUnits | None]]:
        """What each draw of a control comes to, and its units beside the model's where both are sampled."""
        # An exact estimate depends on no other model, so the twins of one architecture serve every checkpoint of it.
        shared = control.by_architecture and model.interval is None and trial.system is not None
        key = (*trial.key(trial.system.architecture), control.name) if shared and trial.system else None
        known = self._shared_draws.setdefault(key, []) if key else []
        twins = Twins(control)
        for draw in itertools.count() if control.draws is None else range(control.draws):
            if draw < len(known):
                yield known[draw], None
                continue
            changed = control.replacement(trial.arguments, draw)
            if changed is None:
                return
            twins.check(changed, draw)
            if self.progress:
                self.progress(f"{trial.claim.id} · control {control.name}, draw {draw + 1}")
            pair = pairing(trial.claim.expect, evidence, control.margin)
            estimate = self._draw(trial, self._evidence(trial, units=max(model.units, 1), rival=pair), changed)
            if key:
                known.append(estimate)
            yield estimate, pair

    def _draw(self, trial: Trial, evidence: Evidence, changed: Mapping[str, Any]) -> Estimate | None:
        """What a control's draw comes to; ``None`` where the claim's quantity does not exist on it."""
        if self._presuppositions.unmet(trial.claim, {**trial.arguments, **changed}) is not None:
            return None
        try:
            return self._observe(trial, evidence, changed)[0]
        except Untested:
            return None

    def _evidence(self, trial: Trial, units: int | None = None, rival: PairedUnits | None = None) -> Evidence:
        def tell(estimate: Estimate) -> None:
            if self.progress:
                self.progress(f"{trial.claim.id} · {estimate.units} units · [{estimate.low:.3f}, {estimate.high:.3f}]")

        alpha = trial.claim.expect.alpha or self.settings.alpha
        generator = self._generator(trial)
        return Evidence(trial.claim.expect, alpha, self.settings.budget, generator, tell, units, rival)

    def _generator(self, trial: Trial) -> torch.Generator:
        # The same inputs for the model and its controls: what differs is what is judged, never the draw.
        return torch.Generator().manual_seed(self._seed(trial))

    def _seed(self, trial: Trial) -> int:
        # Not of its parameters: what a claim measures of the model as it is, it measures once for all its heads.
        stated = f"{self.settings.seed}\0{trial.claim.id}"
        return int.from_bytes(hashlib.sha256(stated.encode()).digest()[:7], "big")
