import math

import numpy as np
import pytest
import torch
from hypothesis import find as hypothesis_find
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import solve_ivp
from scipy.stats import kstest

from mechtests.families.ode import (
    Equations,
    Exponential,
    Fault,
    Harmonic,
    Hyperbolic,
    Linear,
    LinearPlane,
    Logistic,
    LotkaVolterra,
    RandomPolynomials,
    checked,
    equations,
    place,
    solved,
    terms,
)
from mechtests.families.ode.family import uniforms
from mechtests.families.ode.odebench import ODEBENCH, Odebench

steady = settings(deadline=None, derandomize=True, max_examples=30)
CLOSED = [Linear(), Exponential(), Logistic(), Hyperbolic(), Harmonic(), LinearPlane()]
SOLVED = [LotkaVolterra(), RandomPolynomials(), RandomPolynomials(dimension=1, degree=3)]
CHAOTIC = {55, 56, 58, 59, 60, 61}
"""Systems of ODEBench whose trajectories part from any reference within ten units of time, or nearly so."""


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def named(family):
    return type(family).__name__


def find(strategy, condition):
    return hypothesis_find(strategy, condition, settings=settings(derandomize=True, database=None, max_examples=1000))


def reference(trajectories, index, method="DOP853"):
    """One trajectory as scipy solves it from its first state, at a relative tolerance of 1e-9."""
    one = trajectories.system[torch.tensor([index])]

    def slope(_, state):
        return one.derivatives(torch.from_numpy(state)[None])[0].numpy()

    times = trajectories.times[index].numpy()
    start = trajectories.states[index, 0].numpy()
    span = (times[0], times[-1])
    return solve_ivp(slope, span, start, method, times, rtol=1e-9, atol=1e-13).y.T


def distance(trajectories, index):
    expected = reference(trajectories, index)
    return np.abs(trajectories.states[index].numpy() - expected).max() / np.abs(expected).max()


# Against a reference


# A steep logistic curve starts so close to a fixed point that rounding decides when a solver leaves it.
@pytest.mark.parametrize("family", [*CLOSED[:2], Logistic(steepness=(0.5, 1.5)), *CLOSED[3:]], ids=named)
def test_a_formula_solves_its_equations(family):
    made = family.sample(12, generator())
    made = made[made.valid]
    assert len(made) >= 8
    assert max(distance(made, index) for index in range(len(made))) < 1e-6


@pytest.mark.parametrize("family", SOLVED, ids=named)
def test_the_solver_agrees_with_scipy(family):
    made = family.sample(16, generator())
    made = made[made.valid]
    assert len(made) >= 5
    assert max(distance(made, index) for index in range(len(made))) < 1e-6


@pytest.mark.parametrize("number", ODEBENCH)
def test_every_system_of_odebench_is_solved_from_both_its_states(number):
    family = Odebench(number=number, points=20, span=(0.0, 1.0) if number in CHAOTIC else (0.0, 10.0))
    dimension = family.benchmark.dimension
    factors = {f"factor_{i}": torch.ones(2, dtype=torch.float64) for i in range(dimension)}
    made = family.build(start=torch.tensor([0, 1]), **factors)
    assert made.states[:, 0].tolist() == [list(start) for start in family.benchmark.starts]
    assert made.valid.all()
    assert max(distance(made, index) for index in range(2)) < 1e-5


def test_odebench_has_its_published_dimensions():
    assert np.bincount([system.dimension for system in ODEBENCH.values()]).tolist() == [0, 23, 28, 10, 2]
    assert list(ODEBENCH) == list(range(1, 64))


@pytest.mark.parametrize(
    ("number", "conserved"),
    [
        (24, lambda x, c: x[1] ** 2 + c[0] * x[0] ** 2),
        (27, lambda x, c: c[3] * x[0] - c[2] * x[0].log() + c[1] * x[1] - c[0] * x[1].log()),
        (28, lambda x, c: x[1] ** 2 / 2 - c[0] * x[0].cos()),
        (34, lambda x, c: x[1] ** 2 / 2 - x[0].sin() ** 2 / 2 - c[0] * x[0].cos()),
        (53, lambda x, _: x[1] + x[2]),
        (63, lambda x, _: sum(x)),
    ],
    ids=lambda value: ODEBENCH[value].name if isinstance(value, int) else "",
)
def test_what_a_system_conserves_is_conserved(number, conserved):
    made = Odebench(number=number, spread=0.1).sample(5, generator())
    values = conserved(made.states.unbind(-1), ODEBENCH[number].constants)
    assert torch.allclose(values, values[:, :1].expand_as(values), rtol=1e-5, atol=1e-6)


# What every trajectory says about itself


@pytest.mark.parametrize("family", [*CLOSED, *SOLVED, Odebench(number=37, spread=0.5)], ids=named)
def test_derivatives_are_the_slopes_of_the_states(family):
    fine = type(family)(**{**vars(family), "points": 2001})
    made = fine.sample(6, generator(1))
    made = made[made.valid]
    between = (made.states[:, 2:] - made.states[:, :-2]) / (made.times[:, 2:] - made.times[:, :-2])[..., None]
    wrong = (between - made.derivatives[:, 1:-1]).abs() / made.derivatives.abs().amax((1, 2), keepdim=True)
    assert wrong.max() < 2e-3


@pytest.mark.parametrize("family", [*CLOSED, *SOLVED, Logistic(noise=0.1, gaps=0.4)], ids=named)
def test_whatever_the_parameters_there_is_no_nan_and_the_valid_stay_in_the_limit(family):
    @settings(steady, max_examples=15)
    @given(family.strategy())
    def holds(made):
        assert made.states.isfinite().all()
        assert made.derivatives.isfinite().all()
        assert (made.times.diff(dim=1) > 0).all()
        assert (made.states[made.valid].abs() <= family.limit * (1 + 10 * family.noise)).all()
        assert len(made) == len(made.system) == 1

    holds()


@pytest.mark.parametrize("family", [*CLOSED, *SOLVED, Odebench(number=27, spread=0.2)], ids=named)
def test_the_generator_decides_a_sample(family):
    first, again, other = (family.sample(5, generator(seed)) for seed in (1, 1, 2))
    assert first.states.equal(again.states)
    assert first.key == again.key != other.key


@pytest.mark.parametrize("family", [*CLOSED, *SOLVED], ids=named)
def test_a_batch_is_its_trajectories_one_by_one(family):
    made = family.sample(6, generator())
    for index in range(6):
        alone = family.build(**{name: values[[index]] for name, values in made.parameters.items()})
        assert torch.allclose(alone.states[0], made.states[index], rtol=1e-9, atol=1e-9)
        assert alone.fault[0] == made.fault[index]


def test_simple_systems_come_first_in_a_search():
    assert find(Linear().strategy(), lambda made: made.states[0, -1] > 0).parameters["rate"].item() == 0
    found = find(Logistic().strategy(), lambda made: made.parameters["steepness"].item() > 2)
    assert found.parameters["steepness"].item() == 3
    assert found.parameters["midpoint"].item() == 3


# Masks


def test_a_trajectory_that_blows_up_is_masked_from_there_on():
    late = equations(1, {(0, place(1, 2)): torch.ones(2, dtype=torch.float64)})  # x' = x², infinite at t = 1 / x(0)
    times = torch.linspace(0, 2, 21, dtype=torch.float64).expand(2, -1)
    states, fault = solved(late, torch.tensor([[1.0], [0.1]], dtype=torch.float64), times)
    made = checked(times, states, late, 1e3, {}, fault)
    assert made.fault.tolist() == [Fault.BLOWN_UP, Fault.NONE]
    assert made.valid.tolist() == [False, True]
    assert torch.allclose(made.states[0, :9, 0], 1 / (1 - times[0, :9]), rtol=1e-4)
    assert (made.states[0, 10:] == 0).all()
    assert (made.derivatives[0, 10:] == 0).all()


def test_a_formula_with_a_pole_is_masked():
    made = Hyperbolic(shift=(-2.0, -2.0), amplitude=(1.0, 1.0), points=19).sample(1, generator())
    assert made.fault.tolist() == [Fault.BLOWN_UP]
    assert made.states.isfinite().all()


def test_a_limit_is_a_limit():
    made = Linear(rate=(1.0, 1.0), amplitude=(1.0, 1.0), limit=100.0).sample(1, generator())
    assert made.fault.tolist() == [Fault.BLOWN_UP]
    assert made.states.max() <= 100


def test_a_stiff_system_is_masked_as_unresolved():
    rates = torch.tensor([-1e7, -1.0], dtype=torch.float64)
    system = equations(1, {(0, place(1, 1)): rates, (0, place(1, 0)): torch.ones_like(rates)})
    times = torch.linspace(0, 10, 11, dtype=torch.float64).expand(2, -1)
    _, fault = solved(system, torch.ones(2, 1, dtype=torch.float64), times, most=200)
    assert fault.tolist() == [Fault.UNRESOLVED, Fault.NONE]


@pytest.mark.parametrize("most", range(1, 60))
def test_each_system_is_at_its_end_or_says_why_not_wherever_steps_run_out(most):
    """Also where others have just been left out of the last step."""
    rate = torch.logspace(0, 2, 12, dtype=torch.float64)
    system = equations(1, {(0, place(1, 1)): -rate})
    times = torch.linspace(0, 1, 10, dtype=torch.float64).repeat(12, 1)
    states, fault = solved(system, torch.ones(12, 1, dtype=torch.float64), times, most=most)
    done = fault == Fault.NONE
    torch.testing.assert_close(states[done, :, 0], (-rate[done, None] * times[done]).exp(), rtol=1e-4, atol=1e-6)
    assert (fault[~done] == Fault.UNRESOLVED).all()
    assert bool((states[~done, -1] == 0).all())


# Rescaling, noise and gaps


@pytest.mark.parametrize("family", [*CLOSED, *SOLVED, Odebench(number=42, spread=0.1)], ids=named)
def test_a_rescaled_trajectory_solves_its_rescaled_system(family):
    made = family.sample(8, generator())
    made = made[made.valid].rescaled()
    assert torch.allclose(made.times[:, [0, -1]], torch.tensor([1.0, 10.0], dtype=torch.float64))
    assert torch.allclose(made.states[:, 0], torch.ones_like(made.states[:, 0]))
    slopes = made.system.derivatives(made.states)
    assert torch.allclose(slopes, made.derivatives, rtol=1e-6, atol=1e-6 * float(slopes.abs().max()))
    assert distance(made, 0) < 1e-5


def test_rescaling_a_sine_takes_its_frequency_along():
    coefficients = torch.zeros(1, 2, len(terms(2)), dtype=torch.float64)
    coefficients[0, 0, place(2, sine=1)] = 2
    coefficients[0, 1, place(2, 1, 1)] = 3
    system = Equations(coefficients, torch.tensor([[0.5, 0.7]], dtype=torch.float64))
    scale, pace = torch.tensor([[4.0, 5.0]], dtype=torch.float64), torch.tensor([2.0], dtype=torch.float64)
    states = torch.tensor([[0.3, -0.2]], dtype=torch.float64)
    found = system.rescaled(scale, pace).derivatives(states)
    assert torch.allclose(found, system.derivatives(states * scale) / (scale * pace))
    assert found[0, 0] == pytest.approx(2 * math.sin(0.7 * 5 * -0.2) / 8)


def test_a_dimension_that_starts_at_zero_keeps_its_scale():
    made = Odebench(number=24).build(
        start=torch.tensor([1]), factor_0=torch.ones(1).double(), factor_1=torch.ones(1).double()
    )
    again = made.rescaled()
    assert made.states[0, 0].tolist() == [0, 0.2]
    assert again.states[0, 0].tolist() == [0, 1]
    assert again.states[0, :, 0].equal(made.states[0, :, 0])


def test_noise_is_relative_and_leaves_the_derivatives_alone():
    clean, noisy = Linear(points=200), Linear(points=200, noise=0.05)
    parameters = {"rate": torch.full((100,), 0.3).double(), "amplitude": torch.ones(100).double()}
    true, made = clean.build(**parameters), noisy.build(**parameters, draw=torch.arange(100))
    relative = (made.states / true.states - 1).flatten() / 0.05
    assert kstest(relative.numpy(), "norm").pvalue > 1e-3
    assert made.derivatives.equal(true.derivatives)
    again = noisy.build(**{name: values[:3] for name, values in parameters.items()}, draw=torch.arange(3))
    assert again.states.equal(made.states[:3])


def test_gaps_leave_out_their_share_of_points_in_order():
    made = Logistic(points=40, gaps=0.25).sample(50, generator())
    whole = Logistic(points=40).build(**{name: v for name, v in made.parameters.items() if name != "draw"})
    assert made.times.shape == (50, 30)
    assert (made.times.diff(dim=1) > 0).all()
    for row in range(50):
        kept = [whole.times[row].tolist().index(time) for time in made.times[row].tolist()]
        assert made.states[row].equal(whole.states[row, kept])
    # Each of 40 points is left out a quarter of the time.
    left_out = torch.stack([(made.times != time).all(1) for time in whole.times[0]], 1).double().mean(1)
    assert left_out.tolist() == pytest.approx([0.25] * 50)
    assert len({tuple(times.tolist()) for times in made.times}) > 45


def test_draws_are_uniform_and_independent():
    drawn = uniforms(torch.arange(300), 50)
    assert kstest(drawn.flatten().numpy(), "uniform").pvalue > 1e-3
    between = torch.corrcoef(drawn) - torch.eye(300)
    assert between.abs().mean() < 1.2 * math.sqrt(2 / math.pi / 50)
    assert torch.corrcoef(drawn.T).fill_diagonal_(0).abs().max() < 0.3


# Bad input


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Linear(points=1), "expected two points or more"),
        (lambda: Linear(points=4, gaps=0.75), "expected two points or more"),
        (lambda: Linear(gaps=1.0), "expected two points or more"),
        (lambda: Linear(span=(3.0, 3.0)), "expected the first time before the last"),
        (lambda: Linear(noise=-0.1), "expected noise ≥ 0"),
        (lambda: Linear(rate=(2.0, 1.0)).sample(1, generator()), "expected low ≤ high"),
        (lambda: Odebench(number=64), "expected a number from 1 to 63"),
        (lambda: Odebench(spread=1.0), "expected 0 ≤ spread < 1"),
    ],
)
def test_a_family_that_makes_no_sense_is_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


@steady
@given(st.integers(1, 4))
def test_terms_are_distinct_and_found_by_their_powers(dimension):
    listed = terms(dimension)
    assert len(set(listed)) == len(listed) == 1 + 4 * dimension + math.comb(dimension, 2)
    for i, term in enumerate(listed):
        assert place(dimension, *term.powers, sine=term.sine) == i


def test_a_trajectory_is_drawn_with_its_parameters_in_words():
    family = LinearPlane(points=5)
    point = {"alpha": 1.0, "beta": 0.0, "gamma": 0.5, "delta": -1.0, "x_0": 1.0, "x_1": 2.0}
    drawn = family.describe(point)
    assert drawn.text.startswith("alpha = 1, beta = 0, gamma = 0.5")
    assert [curve.label for curve in drawn.curves] == ["x_0", "x_1"]
    made = family.at([point])
    assert drawn.curves[1].x == tuple(made.times[0].tolist())
    assert drawn.curves[1].y == tuple(made.states[0, :, 1].tolist())
