"""What judging costs: all claims of the subtraction system, beside the forward passes that they need.

The cost is a ratio and not a time: the passes that judging made are counted and made again by themselves, on the same
inputs and in the same run. It covers everything on top of them: fits, ablations, spectra, and the controls' draws.
"""

import time
from contextlib import contextmanager

import pytest
import torch

from claims.subtraction import (
    test_algorithm,
    test_default_plus,
    test_linear_neurons,
    test_mirrored_logits,
    test_operand_readers,
)
from fixtures.subtraction import CHECKPOINTS
from mechtests import findings
from mechtests.cache import RunCache
from mechtests.judge import Judge, Settings
from mechtests.systems import Subtraction
from mechtests.systems.subtraction_transformer import SubtractionTransformer

FINDINGS = findings(test_default_plus, test_mirrored_logits, test_linear_neurons, test_operand_readers, test_algorithm)
SEEDS = 3
RATIO = 3


@contextmanager
def passes_recorded():
    """The arguments of every forward pass that any subtraction transformer makes: the models' and their controls'."""
    passes = []

    def record(module, args, kwargs, _output):
        if isinstance(module, SubtractionTransformer):
            passes.append((args, kwargs))

    handle = torch.nn.modules.module.register_module_forward_hook(record, with_kwargs=True)
    try:
        yield passes
    finally:
        handle.remove()


def judge_all(systems):
    judge = Judge(Settings())
    return [finding.judge(judge, system) for system in systems for finding in FINDINGS]


def repeat(module, passes):
    with torch.inference_mode():
        for args, kwargs in passes:
            module(*args, **kwargs)


def test_judging_costs_at_most_three_times_its_forward_passes(benchmark):
    cache, cpu = RunCache(), torch.device("cpu")
    systems = [Subtraction.load(path, cpu, cache) for path in sorted(CHECKPOINTS.glob("*.safetensors"))[:SEEDS]]
    if not systems:
        pytest.skip(f"no checkpoint in {CHECKPOINTS}")
    with passes_recorded() as passes:
        began = time.perf_counter()
        judgements = benchmark.pedantic(judge_all, args=(systems,), rounds=1)
        judging = time.perf_counter() - began
    began = time.perf_counter()
    repeat(systems[0].module, passes)
    forward = time.perf_counter() - began
    controls = sum(len(control.values) for judgement in judgements for control in judgement.controls)
    benchmark.extra_info.update(
        checkpoints=len(systems),
        judgements=len(judgements),
        control_draws=controls,
        forward_passes=len(passes),
        judging_seconds=judging,
        forward_seconds=forward,
        ratio=judging / forward,
    )
    assert judging / forward <= RATIO
