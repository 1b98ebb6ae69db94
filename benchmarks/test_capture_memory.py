"""What reading activations takes in memory: the sites asked for and one batch, however many inputs there are."""

import pytest
import torch
from torch import nn

from benchmarks.meter import Meter
from claims.subtraction.source import PROBLEMS
from mechtests import System
from mechtests.cache import Cache
from mechtests.systems import Subtraction
from mechtests.systems.subtraction import tokens_of
from mechtests.systems.subtraction.transformer import SubtractionConfig, SubtractionTransformer

INPUTS = torch.randn(20_000, 64, generator=torch.Generator().manual_seed(0))


def transformer():
    module = SubtractionTransformer(SubtractionConfig())
    return (
        Subtraction(module, "subtraction", cache=Cache(0)),
        tokens_of(PROBLEMS),
        ["blocks.0.attn.pattern", "blocks.0.mlp.pre"],
    )


def wide():
    module = nn.Sequential(nn.Linear(64, 2048), nn.ReLU(), nn.Linear(2048, 2048), nn.ReLU(), nn.Linear(2048, 8))
    return System(module, "wide", cache=Cache(0)), INPUTS, ["4"]


@pytest.mark.parametrize("made", [transformer, wide])
def test_peak_memory_is_that_of_the_sites_and_one_batch(benchmark, made):
    system, inputs, sites = made()
    system.activations(inputs, sites)  # measures once how much a batch may hold
    (rows,) = system._rows_known.values()
    with torch.inference_mode():
        with Meter() as one_batch:
            system.module(inputs[:rows])
        with Meter() as all_at_once:
            system.module(inputs)
    with Meter() as captured:
        found = system.activations(inputs, sites)
    asked = sum(activation.nbytes for activation in found.values())
    parameters = sum(weight.nbytes for weight in system.module.parameters())
    ratio = (parameters + captured.peak_bytes) / (parameters + asked + one_batch.peak_bytes)
    benchmark.extra_info.update(
        inputs=len(inputs),
        rows=rows,
        peak_mib=captured.peak_bytes / 2**20,
        asked_mib=asked / 2**20,
        batch_mib=one_batch.peak_bytes / 2**20,
        parameters_mib=parameters / 2**20,
        all_at_once_mib=all_at_once.peak_bytes / 2**20,
        ratio=ratio,
    )
    benchmark.pedantic(system.activations, args=(inputs, sites), rounds=1)
    assert ratio <= 1.2
