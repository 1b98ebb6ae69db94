"""Negative OV diagonal: does the encoder's attention subtract from a feature what it finds of it?

``W_OV`` is what a layer's heads add up to, ``W_V W_O`` summed over heads: its diagonal is what a feature of the
residual stream gets back of itself.
"""

import numpy as np
import pytest

from claims.odeformer.attention import attention_to_points, the_mat_point
from claims.odeformer.circuits import without
from claims.odeformer.heads import the_layer
from claims.odeformer.inputs import HARMONICS, with_equations
from claims.odeformer.source import INHIBITION
from mechtests import Monotone, Permutation, Rate, claim, instead, shuffled_weights, untrained
from mechtests.instruments.profiles import at_points

each_layer = pytest.mark.parametrize("layer", range(4))


@claim(
    "odeformer/negative-ov-diagonal/negative",
    "The mean of the diagonal of W_OV is further below that of the rest than when its columns are permuted.",
    source=INHIBITION,
    expect=Permutation(p_at_most=0.001, tail="low"),
    kind="structural",
    controls=[untrained],
    published="“significantly more negative”, in all four layers (LALens12)",
)
@each_layer
def test_negative(odeformer, layer, evidence):
    matrix = odeformer.W_OV(the_layer(odeformer, layer, evidence, "encoder"))
    total = float(matrix.sum())  # the same however columns are permuted

    def diagonal_mean_minus_rest(permuted):
        n, diagonal = len(permuted), float(permuted.diagonal().sum())
        return diagonal / n - (total - diagonal) / (n * n - n)

    evidence.permutation(matrix, diagonal_mean_minus_rest)


@claim(
    "odeformer/negative-ov-diagonal/deepens",
    "The mean of the diagonal of W_OV falls from each encoder layer to the next.",
    source=INHIBITION,
    expect=Monotone("decreasing", at_least=1),
    kind="structural",
    controls=[untrained, shuffled_weights],
    published="“more and more negative”",
)
def test_deepens(odeformer, evidence):
    layers = range(odeformer.n_encoder_layers)
    if len(layers) < 2:
        evidence.untested(f"{odeformer.name} has one encoder layer")
    means = [odeformer.W_OV(layer).diagonal().mean() for layer in layers]
    evidence.response("mean of W_OV's diagonal against layer", layers, means)


@claim(
    "odeformer/negative-ov-diagonal/copies-negatively",
    "Four eigenvalues of W_OV in five have a negative real part.",
    source=INHIBITION,
    expect=Rate(at_least=0.8),
    kind="structural",
    controls=[untrained],
)
@each_layer
def test_copies_negatively(odeformer, layer, evidence):
    matrix = odeformer.W_OV(the_layer(odeformer, layer, evidence, "encoder")).double().cpu().numpy()
    evidence.census(np.linalg.eigvals(matrix).real < 0)


@claim(
    "odeformer/negative-ov-diagonal/matters-for-the-mat-point",
    "With the diagonal part of W_OV removed in all encoder layers, the mostly-attended-to point gets less attention "
    "from the tokens than before, on more than half of all harmonics.",
    source=INHIBITION,
    expect=Rate(above=0.5),
    kind="causal",
    criterion="necessity",
    controls=[untrained, instead(removed="as_much_elsewhere")],
    published="“yet to ascertain”",
)
def test_matters_for_the_mat_point(odeformer, evidence, removed="diagonal"):
    for trajectories in evidence.batches(HARMONICS, most=512, search=False):
        inputs = with_equations(odeformer, trajectories)
        before = attention_to_points(odeformer, inputs)
        after = attention_to_points(odeformer, inputs, *without(odeformer, inputs, removed))
        mat = the_mat_point(before)
        evidence.observe(at_points(after, mat) < at_points(before, mat))
