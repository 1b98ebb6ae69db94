"""Judging one claim on one model: run its body on the model, then on its controls, and make the verdict."""

import hashlib
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch

from mechtests.claim import Claim, Control
from mechtests.controls import system_argument
from mechtests.systems.base import System
from mechtests.verdict import ControlResult, Curve, Estimate, Evidence, Verdict, control_result, decide, in_region

CONTROL_UNITS = 4
"""A control's draw is sampled until it stands apart from the model, at most this many times the model's units."""

Body = Callable[..., None]


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
        reason: why, where the region alone does not say it.
        seconds: time taken.
    """

    claim: Claim
    params: Mapping[str, str]
    system: System | None
    verdict: Verdict
    estimate: Estimate | None = None
    controls: tuple[ControlResult, ...] = ()
    curves: tuple[Curve, ...] = ()
    reason: str | None = None
    seconds: float = 0.0


@dataclass
class Judge:
    """Judges claims, each claim on each model once.

    A judgement is a function of the claim, its parameters, the weights and the settings alone, so what is remembered
    and what is measured again agree.

    Attributes:
        settings: what the run judges by.
        progress: called with a line of text while a claim is being sampled.
    """

    settings: Settings
    progress: Callable[[str], None] | None = None
    _judged: dict[tuple[object, ...], Judgement] = field(default_factory=dict)
    _control_estimates: dict[tuple[object, ...], list[Estimate | None]] = field(default_factory=dict)

    def judge(self, claim: Claim, body: Body, arguments: Mapping[str, Any], parameters: Collection[str] = ()) -> Judgement:
        """The judgement of ``claim``, whose test is ``body``.

        Args:
            claim: what to judge.
            body: the test function.
            arguments: its arguments, all but ``evidence``; at most one of them a :class:`System`.
            parameters: the names of those that are parameters of the claim, as ``head`` is.

        Raises:
            ClaimError: the body records nothing, two values, or values that its expectation does not take.
        """
        found = system_argument(arguments)
        system = found[1] if found else None
        params = {name: _text(arguments[name]) for name in sorted(parameters)}
        key = (claim.id, tuple(params.items()), system.identity if system else None)
        if key not in self._judged or system is None:
            self._judged[key] = self._measure(claim, body, arguments, params, system)
        return self._judged[key]

    def _measure(
        self, claim: Claim, body: Body, arguments: Mapping[str, Any], params: Mapping[str, str], system: System | None
    ) -> Judgement:
        began = time.perf_counter()
        evidence = self._evidence(claim, params, self.settings.budget, None)
        body(**arguments, evidence=evidence)
        estimate = evidence.estimate()
        controls: tuple[ControlResult, ...] = ()
        # Controls can only take away from a claim whose estimate lies in its region, so they run for no other.
        if estimate is not None and in_region(claim.expect, estimate):
            results = (self._control(control, claim, body, arguments, params, estimate) for control in claim.controls)
            controls = tuple(result for result in results if result is not None)
        verdict, reason = decide(claim.expect, estimate, controls, evidence.undefined_because)
        seconds = time.perf_counter() - began
        return Judgement(claim, params, system, verdict, estimate, controls, tuple(evidence.curves), reason, seconds)

    def _control(
        self,
        control: Control,
        claim: Claim,
        body: Body,
        arguments: Mapping[str, Any],
        params: Mapping[str, str],
        model: Estimate,
    ) -> ControlResult | None:
        found = system_argument(arguments)
        # An exact estimate does not depend on when the model's own sampling stopped, so one architecture's twins serve all.
        key = (claim.id, tuple(params.items()), control.name, found and found[1].architecture)
        shared = control.by_architecture and model.interval is None
        if shared and key in self._control_estimates:
            return control_result(control.name, claim.expect, model, self._control_estimates[key], control.draws is not None)

        def apart(draw: Estimate) -> bool:
            return not control_result(control.name, claim.expect, model, [draw], redrawn=False).reached

        draws: list[Estimate | None] = []
        while control.draws is None or len(draws) < control.draws:
            changed = control.replacement(arguments, len(draws))
            if changed is None:
                break
            if self.progress:
                self.progress(f"{claim.id} · control {control.name}, draw {len(draws) + 1}")
            evidence = self._evidence(claim, params, CONTROL_UNITS * model.units, apart)
            body(**{**arguments, **changed}, evidence=evidence)
            draws.append(evidence.estimate())
        if not draws:
            return None
        if shared:
            self._control_estimates[key] = draws
        return control_result(control.name, claim.expect, model, draws, control.draws is not None)

    def _evidence(
        self, claim: Claim, params: Mapping[str, str], budget: int, enough: Callable[[Estimate], bool] | None
    ) -> Evidence:
        # The same inputs for the model and its controls: what differs is what is judged, never the draw.
        digest = hashlib.sha256(f"{self.settings.seed}\0{claim.id}\0{list(params.items())}".encode()).digest()
        generator = torch.Generator().manual_seed(int.from_bytes(digest[:7], "big"))

        def tell(estimate: Estimate) -> None:
            assert self.progress is not None
            self.progress(f"{claim.id} · {estimate.units} units · [{estimate.low:.3f}, {estimate.high:.3f}]")

        alpha = claim.expect.alpha or self.settings.alpha
        return Evidence(claim.expect, alpha, budget, generator, enough, tell if self.progress else None)


def _text(value: object) -> str:
    """A parameter as the report shows it: a function by its name, all else as it prints."""
    return str(getattr(value, "__name__", value))
