"""Cost of judging: all claims of the subtraction system, compared with the forward passes that they need.

The cost is a ratio and not a time: the passes that judging made are counted and made again by themselves, on the same
inputs and in the same run. It covers everything on top of them: fits, spectra, twins, and the controls' draws. The
passes that the claims need are those made, and one for each ablation of neurons, which judging replaces by a product.
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
from mechtests.cache import Cache
from mechtests.judging.judge import Judge, Settings
from mechtests.systems import Subtraction
from mechtests.systems.subtraction.transformer import SubtractionTransformer

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


@contextmanager
def ablations_recorded(monkeypatch):
    """How often the logits were computed from changed neurons, where a plain implementation makes a pass."""
    calls, plain = [], Subtraction.logits_from_neurons

    def record(self, problems, neurons):
        calls.append((problems, neurons))
        return plain(self, problems, neurons)

    with monkeypatch.context() as patched:
        patched.setattr(Subtraction, "logits_from_neurons", record)
        yield calls


def judge_all(systems):
    judge = Judge(Settings())
    return [finding.judge(judge, system) for system in systems for finding in FINDINGS]


def seconds_of(run):
    began = time.perf_counter()
    with torch.inference_mode():
        run()
    return time.perf_counter() - began


def test_judging_costs_at_most_three_times_its_forward_passes(benchmark, monkeypatch):
    cache, cpu = Cache(), torch.device("cpu")
    systems = [Subtraction.load(path, cpu, cache) for path in sorted(CHECKPOINTS.glob("*.safetensors"))[:SEEDS]]
    if not systems:
        pytest.skip(f"no checkpoint in {CHECKPOINTS}")
    with passes_recorded() as passes, ablations_recorded(monkeypatch) as ablations:
        began = time.perf_counter()
        judgements = benchmark.pedantic(judge_all, args=(systems,), rounds=1)
        judging = time.perf_counter() - began
    module = systems[0].module
    made = seconds_of(lambda: [module(*args, **kwargs) for args, kwargs in passes])
    whole = max(passes, key=lambda call: len(call[0][0]))
    # An ablation of neurons is one product here; anyone else makes a pass over all problems for it.
    spared = seconds_of(lambda: [module(*whole[0], **whole[1]) for _ in ablations])
    benchmark.extra_info.update(
        checkpoints=len(systems),
        judgements=len(judgements),
        control_draws=sum(len(control.values) for judgement in judgements for control in judgement.controls),
        forward_passes=len(passes),
        passes_spared=len(ablations),
        judging_seconds=judging,
        forward_seconds=made,
        spared_seconds=spared,
        ratio_to_passes_made=judging / made,
        ratio=judging / (made + spared),
    )
    assert judging / (made + spared) <= RATIO
