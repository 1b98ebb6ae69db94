"""Verdicts and estimates do not depend on the processor: on the order of sums, the batches, the threads or the kernels.

Another processor sums in another order, so the order is changed here: a sample of claims, each without its controls, is
judged on a checkpoint of each system in several ways.
"""

import copy
import dataclasses
import json
import os
import subprocess
import sys
from contextlib import contextmanager
from functools import cache

import pytest
import torch

from claims.induction import test_composition, test_copying, test_prefix_matching, test_token_match
from claims.odeformer import test_negative_ov_diagonal
from claims.subtraction import test_algorithm, test_linear_neurons, test_mirrored_logits, test_operand_readers
from claims.subtraction.neurons import operand_fit
from fixtures import induction, odeformer, subtraction
from mechtests import findings
from mechtests.cache import Cache
from mechtests.judging.judge import Judge, Settings
from mechtests.systems import Induction, Odeformer, Subtraction, System

TOLERANCE = 1e-6
"""Of an estimate, or of its size where that is greater than one."""

SUBTRACTION = {
    "linear-neurons/linear-fits",
    "linear-neurons/opposite-slopes",
    "linear-neurons/periodic-neurons",
    "linear-neurons/necessary",
    "operand-readers/linear-ov",
    "operand-readers/mixed-heads",
    "algorithm/mlp-decides",
    "algorithm/closed-form",
    "mirrored-logits/minus-rises-below-zero",
    "mirrored-logits/cancelling-sum",
    "mirrored-logits/antialigned-readout",
}
INDUCTION = {
    "copying/positive-eigenvalues",
    "copying/raises-the-attended-token",
    "copying/in-activations",
    "composition/k-above-other-pairs",
    "prefix-matching/exists",
    "token-match/matches-its-own-token",
}
ODEFORMER = {"negative-ov-diagonal/negative", "negative-ov-diagonal/copies-negatively"}

CHECKPOINTS = {
    Subtraction: subtraction.CHECKPOINTS / "light-decay-seed00.safetensors",
    Induction: induction.CHECKPOINTS / "two-layer-seed00.safetensors",
    Odeformer: odeformer.CHECKPOINTS / "mini-seed00.safetensors",
}
SAMPLE = {
    Subtraction: (SUBTRACTION, (test_linear_neurons, test_operand_readers, test_algorithm, test_mirrored_logits)),
    Induction: (INDUCTION, (test_copying, test_composition, test_prefix_matching, test_token_match)),
    Odeformer: (ODEFORMER, (test_negative_ov_diagonal,)),
}


@contextmanager
def threads(number):
    before = torch.get_num_threads()
    torch.set_num_threads(number)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def judged(kind, changed=lambda system: system):
    """By finding, its verdict and its estimate on the checkpoint of a kind of system, ``changed`` first."""
    names, modules = SAMPLE[kind]
    system = changed(kind.load(CHECKPOINTS[kind], torch.device("cpu"), Cache()))
    judge, outcomes = Judge(Settings(budget=128)), {}
    for finding in findings(*modules):
        if finding.claim.id.partition("/")[2] in names:
            region_alone = dataclasses.replace(finding.claim, controls=())
            judgement = dataclasses.replace(finding, claim=region_alone).judge(judge, system)
            outcomes[str(finding)] = judgement.verdict.value, judgement.estimate and judgement.estimate.value
    return outcomes


@pytest.fixture(autouse=True)
def one_thread():
    """As nothing else says how many, and so that other work on the machine costs no time."""
    with threads(1):
        yield


@cache
def plainly(kind):
    return judged(kind)


def assert_same(outcomes, kind):
    expected = plainly(kind)
    assert outcomes.keys() == expected.keys()
    assert {name.partition("[")[0] for name in expected} == SAMPLE[kind][0]  # no claim of the sample is gone
    for name, (verdict, estimate) in expected.items():
        assert outcomes[name][0] == verdict, name
        assert outcomes[name][1] == pytest.approx(estimate, rel=TOLERANCE, abs=TOLERANCE), name


def with_module(system, change):
    """The same system with its module changed by ``change``."""
    module = copy.deepcopy(system.module)
    with torch.no_grad():
        change(module)
    return type(system)(module, system.name)


def permute_width(system):
    """The residual stream's coordinates, and neurons and heads, in another order: the same function."""
    generator = torch.Generator().manual_seed(0)

    def change(module):
        width = torch.randperm(module.W_E.shape[1], generator=generator)
        for name, weight in module.named_parameters():
            last = name.rpartition(".")[2]
            along = {"W_E": 1, "W_pos": 1, "W_Q": 1, "W_K": 1, "W_V": 1, "W_O": 2, "b_O": 0, "W_in": 0, "W_out": 1}
            along |= {"b_out": 0, "W_U": 0}
            if last in along:
                weight.copy_(weight.index_select(along[last], width))
        for block in module.blocks:
            if (mlp := getattr(block, "mlp", None)) is not None:
                neurons = torch.randperm(mlp.W_out.shape[0], generator=generator)
                for weight, axis in ((mlp.W_in, 1), (mlp.b_in, 0), (mlp.W_out, 0)):
                    weight.copy_(weight.index_select(axis, neurons))

    return with_module(system, change)


def in_small_batches(system):
    system.batch_bytes = 1 << 20
    return system


def in_float64(system):
    return with_module(system, lambda module: module.double())


@pytest.mark.parametrize("kind", [Subtraction, Induction])
@pytest.mark.parametrize("change", [in_small_batches, permute_width, in_float64])
def test_batches_order_and_precision_change_nothing(kind, change):
    assert_same(judged(kind, change), kind)


@pytest.mark.parametrize("change", [in_small_batches, permute_width, in_float64])
def test_the_fits_that_neurons_are_selected_by_are_the_same(change):
    """Every neuron's, where a selection would show only those near its edge; in any order."""
    system = Subtraction.load(CHECKPOINTS[Subtraction], torch.device("cpu"), Cache())
    fit, changed = operand_fit(system), operand_fit(change(copy.copy(system)))
    for name in ("r2", "spread"):
        before, after = (getattr(one, name).double().sort().values for one in (fit, changed))
        torch.testing.assert_close(after, before, atol=TOLERANCE, rtol=TOLERANCE)


@pytest.mark.parametrize("kind", SAMPLE)
def test_a_second_thread_changes_nothing(kind):
    expected = plainly(kind)
    with threads(2):
        assert_same(judged(kind), kind)
    assert expected


def test_the_order_of_the_problems_changes_nothing(monkeypatch):
    names = ("linear-neurons/linear-fits", "linear-neurons/opposite-slopes", "linear-neurons/necessary")
    names += ("algorithm/mlp-decides", "algorithm/closed-form", "mirrored-logits/minus-rises-below-zero")
    names += ("mirrored-logits/cancelling-sum", "operand-readers/mixed-heads")
    order = torch.randperm(10_000, generator=torch.Generator().manual_seed(0))
    expected = {name: one for name, one in plainly(Subtraction).items() if name.partition("[")[0] in names}
    for name, module in list(sys.modules.items()):
        if name.startswith("claims.subtraction") and hasattr(module, "PROBLEMS"):
            monkeypatch.setattr(module, "PROBLEMS", module.PROBLEMS[order])
    monkeypatch.setitem(SAMPLE, Subtraction, (set(names), SAMPLE[Subtraction][1]))
    outcomes = judged(Subtraction)
    for name, (verdict, estimate) in expected.items():
        assert outcomes[name] == (verdict, pytest.approx(estimate, rel=TOLERANCE, abs=TOLERANCE)), name
    assert expected


def test_kernels_for_any_processor_change_nothing():
    script = (
        "import json; from tests.test_same_on_every_processor import *; print(json.dumps([judged(k) for k in SAMPLE]))"
    )
    environment = os.environ | {"ATEN_CPU_CAPABILITY": "default", "OMP_NUM_THREADS": "1"}
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, env=environment, check=False)
    assert ran.returncode == 0, ran.stderr
    for kind, outcomes in zip(SAMPLE, json.loads(ran.stdout.splitlines()[-1]), strict=True):
        assert_same(outcomes, kind)


def test_the_sample_covers_every_adapter_with_checkpoints_here():
    assert all(issubclass(kind, System) and path.exists() for kind, path in CHECKPOINTS.items())
