"""Negative OV diagonal: does the encoder's attention take from a feature what it finds of it?

``W_OV`` is what a layer's heads add up to, ``W_V W_O`` summed over heads: its diagonal is what a feature of the
residual stream gets back of itself.
"""

from collections.abc import Callable

import numpy as np
import pytest
import torch

from claims.odeformer.attended import at_points, attention_to_points, mat_points
from claims.odeformer.measures import forced, name_of
from claims.odeformer.source import ATTENTION_LENS, HARMONICS, Unsearched, few
from mechtests import Edit, Monotone, Permutation, Rate, claim, instead, replace, shuffled_weights, untrained

INHIBITION = ATTENTION_LENS.section("Self-Inhibiting Behaviour of the Encoders")
each_layer = pytest.mark.parametrize("layer", range(4))


def encoder_layer(odeformer, layer):
    """The layer; the claim is untested where the encoder has fewer."""
    if layer >= (layers := odeformer.module.config.n_enc_layers):
        pytest.skip(f"{odeformer.name} has {layers} encoder layers, and no layer {layer}")
    return layer


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
    matrix = odeformer.W_OV(encoder_layer(odeformer, layer))
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
    layers = range(odeformer.module.config.n_enc_layers)
    if len(layers) < 2:
        pytest.skip(f"{odeformer.name} has one encoder layer")
    evidence.curve(
        "mean of W_OV's diagonal against layer", layers, [odeformer.W_OV(i).diagonal().mean() for i in layers]
    )


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
    matrix = odeformer.W_OV(encoder_layer(odeformer, layer)).double().cpu().numpy()
    evidence.census(np.linalg.eigvals(matrix).real < 0)


# Is it of use?

Removed = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]


def diagonal(read, own):
    """What each feature gets back of itself."""
    return read * own


def as_much_elsewhere(read, own):
    """As much, given to the next feature."""
    return (read * own).roll(1, -1)


def without(odeformer, inputs, removed):
    """Edits that take a part of what attention adds away, in every encoder layer, each as it is after those below it.

    A head adds ``sum_k pattern[q, k] x_k W_V W_O``. Of that, ``removed`` says what goes: it is given what the head
    reads, ``sum_k pattern[q, k] x_k``, and the diagonal of its ``W_V W_O``.
    """
    edits: list[Edit] = []
    for layer in range(odeformer.module.config.n_enc_layers):
        site = f"encoder.attentions.{layer}"
        stream = f"encoder.layer_norm2.{layer - 1}" if layer else "encoder.layer_norm_emb"
        x, pattern, added = odeformer.activations(inputs[:2], [stream, f"{site}.pattern", site], *edits).values()
        heads = range(odeformer.module.config.n_enc_heads)
        parts = [removed(pattern[:, head] @ x, odeformer.W_OV(layer, head=head).diagonal()) for head in heads]
        edits.append(replace(site, added - sum(parts), f"itself without {removed.__name__}"))
    return edits


@claim(
    "odeformer/negative-ov-diagonal/matters-for-the-mat-point",
    "With the diagonal part of W_OV removed in all encoder layers, the mostly-attended-to point gets less attention "
    "from the words than before, on more than half of all harmonics.",
    source=INHIBITION,
    expect=Rate(above=0.5),
    kind="causal",
    criterion="necessity",
    controls=[untrained, instead(removed=as_much_elsewhere)],
    published="“yet to ascertain”",
)
@pytest.mark.parametrize("removed", [diagonal], ids=name_of)
def test_matters_for_the_mat_point(odeformer, removed, evidence):
    for trajectories in few(evidence, Unsearched(HARMONICS), most=64):
        inputs = forced(odeformer, trajectories)
        before = attention_to_points(odeformer, inputs)
        after = attention_to_points(odeformer, inputs, *without(odeformer, inputs, removed))
        mat = mat_points(before)
        evidence.observe(at_points(after, mat) < at_points(before, mat))
