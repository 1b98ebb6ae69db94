import math
import sys

import numpy as np
import pytest
import sympy
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st

from mechtests.families.ode import Equations, Linear, LinearPlane, equations, place, terms
from mechtests.systems.odeformer.package import OdeformerConfig, OdeformerMissingError, build
from mechtests.systems.odeformer.tokens import EquationTokens, FloatTokens, UntokenisableError, encode_points

pytest.importorskip("odeformer", reason="pip install --no-deps odeformer==0.1.7")

steady = settings(deadline=None, derandomize=True, max_examples=300)
SMALL = {"emb_emb_dim": 8, "enc_emb_dim": 16, "dec_emb_dim": 16, "n_enc_layers": 1, "n_dec_layers": 1}
MODELS = {precision: build(OdeformerConfig(**SMALL, float_precision=precision)) for precision in (2, 3)}
ENVIRONMENTS = {precision: model.env for precision, model in MODELS.items()}
TOKENS = {p: FloatTokens(environment.float_word2id, p, 100) for p, environment in ENVIRONMENTS.items()}
WORDS = {
    p: EquationTokens(environment.equation_word2id, FloatTokens(environment.equation_word2id, p, 100))
    for p, environment in ENVIRONMENTS.items()
}

writable = st.floats(min_value=-9e101, max_value=9e101) | st.floats(-1e3, 1e3)
carries = st.builds(
    lambda digits, exponent, ulps: float(np.nextafter(float(f"{digits}e{exponent}"), math.inf * ulps or 0.0)),
    st.integers(0, 100_000).map(lambda k: k / 10 + 0.05),
    st.integers(-30, 30),
    st.sampled_from([-1, 1]),
)
ties = st.builds(math.ldexp, st.integers(-4096, 4096), st.integers(-12, 12))
coefficients = st.sampled_from([0.0, 0.0, 1.0]).flatmap(
    lambda there: st.floats(-50, 50).filter(lambda c: abs(c) > 1e-90) if there else st.just(0.0)
)


def tokens(precision, values):
    ids = TOKENS[precision].encode(torch.tensor(values, dtype=torch.float64))
    return [[ENVIRONMENTS[precision].float_id2word[i] for i in row] for row in ids.tolist()]


def package_tokens(precision, value):
    return ENVIRONMENTS[precision].float_encoder.encode(np.array([value]))


def written(precision, system):
    ids, lengths = WORDS[precision].encode(system)
    named = ENVIRONMENTS[precision].equation_id2word
    return [[named[i] for i in row[:length]] for row, length in zip(ids.tolist(), lengths.tolist(), strict=True)]


# Floats


@pytest.mark.parametrize("precision", [2, 3])
@settings(steady)
@given(st.lists(writable | carries | ties | st.just(math.nan), min_size=1, max_size=20))
@example([0.0, -0.0, 5e-324, -5e-324, 2.2e-308, 1e-98, 9.995e-99, -1e-97, 1e-101])
@example([9.995, 9.985, 0.9995, 99.95, 999.5, 9995.0, 99_950.0, 9.9949999999999992, 9.9995, 99.995])
@example([0.125, 0.375, 1.125, 1.375, 2.5, 1.005, 1.015, 1.025, 1e22, 1e23, 8.5, 8.125])
@example([1.0, 10.0, 100.0, 1e15, 1e16, 1e17, 9.99e15, 1e-5, 1e-15, 123456789012345678.0])
def test_floats_are_written_word_for_word_as_the_package_writes_them(precision, values):
    assert tokens(precision, values) == [package_tokens(precision, value) for value in values]


def test_many_random_floats_are_written_as_the_package_writes_them():
    generator = torch.Generator().manual_seed(0)
    exponents = 190 * torch.rand(20_000, generator=generator, dtype=torch.float64) - 95
    values = torch.randn(20_000, generator=generator, dtype=torch.float64) * 10**exponents
    words = ENVIRONMENTS[2].float_encoder.encode(values.numpy())
    assert [word for row in tokens(2, values.tolist()) for word in row] == words


@pytest.mark.parametrize(("precision", "largest"), [(2, 1e103), (3, 1e104)])
def test_what_has_no_exponent_is_refused_where_the_package_would_crash(precision, largest):
    environment = ENVIRONMENTS[precision]
    below = float(np.nextafter(largest * (1 - 0.5 * 10 ** -(precision + 1)), 0))
    assert tokens(precision, [below]) == [package_tokens(precision, below)]
    for value in (largest, -largest, sys.float_info.max):
        assert package_tokens(precision, value)[2] not in environment.float_word2id
        with pytest.raises(UntokenisableError, match="Expected numbers below"):
            TOKENS[precision].encode(torch.tensor([1.0, value], dtype=torch.float64))
    for value in (math.inf, -math.inf):
        with pytest.raises(ValueError, match="unpack"):
            package_tokens(precision, value)
        with pytest.raises(UntokenisableError, match=r"found -?inf and 0 more"):
            TOKENS[precision].encode(torch.tensor([1.0, value], dtype=torch.float64))


def test_the_shape_of_a_batch_is_kept():
    values = torch.arange(24, dtype=torch.float32).reshape(2, 3, 4)
    words = TOKENS[2].encode(values)
    assert words.shape == (2, 3, 4, 3)
    assert words[1, 2, 3].equal(TOKENS[2].encode(torch.tensor(23.0)))
    assert TOKENS[2].encode(torch.zeros(0, 5)).shape == (0, 5, 3)


# Points


@pytest.mark.parametrize("family", [Linear(points=7), LinearPlane(points=7)], ids=lambda family: type(family).__name__)
def test_points_are_written_as_the_packages_embedder_writes_them(family):
    made = family.sample(5, torch.Generator().manual_seed(0)).rescaled()
    states = made.states.clone()
    states[1, 3, 0] = math.nan
    states[2, 2] = math.nan
    environment = ENVIRONMENTS[2]
    words = encode_points(TOKENS[2], made.times, states, 2, environment.float_word2id["<OUTPUT_PAD>"])
    pairs = [list(zip(t, x, strict=True)) for t, x in zip(made.times.numpy(), states.numpy(), strict=True)]
    expected = MODELS[2].embedder.encode(pairs)
    assert all(row.equal(right) for row, right in zip(words, expected, strict=True))


# Equations


@pytest.mark.parametrize("dimension", [1, 2])
@settings(steady, max_examples=150)
@given(st.data())
def test_the_package_reads_back_the_system_that_was_written(dimension, data):
    kinds = terms(dimension)
    values = data.draw(st.lists(coefficients, min_size=dimension * len(kinds), max_size=dimension * len(kinds)))
    frequency = data.draw(st.lists(st.floats(0.1, 5), min_size=dimension, max_size=dimension))
    table = torch.tensor(values, dtype=torch.float64).reshape(1, dimension, len(kinds))
    system = Equations(table, torch.tensor([frequency], dtype=torch.float64))
    words = written(3, system)[0]
    encoder = ENVIRONMENTS[3].equation_encoder
    tree = encoder.decode(words)
    # Every word belongs to the tree: the package writes the very same from it.
    assert encoder.encode(tree) == words
    states = torch.tensor([[0.7, -1.3][:dimension], [-0.4, 0.2][:dimension]], dtype=torch.float64)
    expected = system.derivatives(states[None])[0]
    size = (table.abs().sum() + 1).item() * 2
    assert torch.allclose(torch.from_numpy(tree.val(states.numpy(), np.zeros(2))), expected, atol=size * 4e-3)


def test_systems_are_written_in_prefix_notation():
    one, half = torch.ones(1, dtype=torch.float64), torch.full((1,), -0.5, dtype=torch.float64)
    decay = equations(1, {(0, place(1, 1)): half})
    logistic = equations(1, {(0, place(1, 1)): one, (0, place(1, 2)): half})
    prey = equations(2, {(0, place(2, 1, 0)): one, (0, place(2, 1, 1)): half, (1, place(2, 0, 0)): one})
    assert " ".join(written(2, decay)[0]) == "mul - N500 E-3 x_0"
    assert " ".join(written(2, logistic)[0]) == "add mul + N100 E-2 x_0 mul - N500 E-3 pow x_0 INT+ 2"
    assert " ".join(written(2, prey)[0]) == "add mul + N100 E-2 x_0 mul - N500 E-3 mul x_0 x_1 | + N100 E-2"


def test_the_package_writes_one_term_alike():
    simplifier = ENVIRONMENTS[3].simplifier
    for text, system in {
        "-0.5*x_0": equations(1, {(0, place(1, 1)): torch.tensor([-0.5]).double()}),
        "1.25*x_0**2": equations(1, {(0, place(1, 2)): torch.tensor([1.25]).double()}),
        "0.7": equations(1, {(0, place(1, 0)): torch.tensor([0.7]).double()}),
        "0.3*sin(1.0*x_0)": equations(1, {(0, place(1, sine=0)): torch.tensor([0.3]).double()}),
    }.items():
        tree = simplifier.sympy_expr_to_tree(sympy.sympify(text))
        assert ENVIRONMENTS[3].equation_encoder.encode(tree) == written(3, system)[0]


def test_a_right_hand_side_without_terms_is_zero():
    nothing = equations(2, {(1, place(2, 1, 0)): torch.ones(1, dtype=torch.float64)})
    words = written(2, nothing)[0]
    assert " ".join(words) == "INT+ 0 | mul + N100 E-2 x_0"
    assert ENVIRONMENTS[2].equation_encoder.decode(words).val(np.ones((1, 2)), np.zeros(1)).tolist() == [[0, 1]]


def test_systems_of_one_batch_keep_to_themselves():
    made = LinearPlane().sample(20, torch.Generator().manual_seed(0))
    chosen = torch.arange(20).flip(0)
    assert written(2, made.system) == [written(2, made.system[torch.tensor([i])])[0] for i in range(20)]
    assert written(2, made.system[chosen]) == written(2, made.system)[::-1]


def test_without_the_package_the_error_says_how_to_install_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "odeformer", None)
    with pytest.raises(OdeformerMissingError, match=r"pip install --no-deps odeformer==0\.1\.7"):
        build(OdeformerConfig())
