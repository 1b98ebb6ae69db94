import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mechtests.instruments import periodicity_p_values, top_power_share
from mechtests.instruments.spectrum import SLOWEST

steady = settings(deadline=None, derandomize=True, max_examples=40)
seeds = st.integers(0, 2**32 - 1)
N = 100
PHASE = 2 * math.pi * torch.arange(N, dtype=torch.float64) / N

BENDS = {
    "line": PHASE,
    "one period": PHASE.cos(),
    "two periods": (2 * PHASE).sin(),
    "square": (PHASE - 3) ** 2,
    "cubic": (PHASE - 3) ** 3 - 5 * PHASE,
    "corner": (PHASE - 2).relu(),
}


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def noise(*shape, seed=0):
    return torch.randn(*shape, generator=generator(seed), dtype=torch.float64)


def wave(in_a, in_b, shift=0.0):
    """A wave over the plane of operands, of ``in_a`` and ``in_b`` periods."""
    return torch.cos(in_a * PHASE.unsqueeze(1) + in_b * PHASE + shift)


class TestTopPowerShare:
    @pytest.mark.parametrize("shift", [0.0, 1.0])
    @pytest.mark.parametrize("periods", [(3, 0), (0, 7), (1, 1), (12, -12), (12, 12), (49, 31), (50, 3), (0, 1)])
    def test_a_pure_wave_is_one_wave(self, periods, shift):
        assert top_power_share(wave(*periods, shift).unsqueeze(0), 1).item() == pytest.approx(1)

    @pytest.mark.parametrize("periods", [(50, 0), (0, 50), (50, 50)])
    def test_a_wave_at_the_edge_of_the_spectrum_is_one_wave(self, periods):
        assert top_power_share(wave(*periods).unsqueeze(0), 1).item() == pytest.approx(1)

    def test_shares_follow_the_squared_amplitudes(self):
        grid = 3 * wave(5, 0) + 2 * wave(0, 9) + wave(20, 4)
        shares = [top_power_share(grid.unsqueeze(0), waves).item() for waves in (1, 2, 3)]
        assert shares == pytest.approx([9 / 14, 13 / 14, 1])

    def test_a_wave_at_the_edge_takes_no_part_of_another_wave(self):
        # A wave at (50, 0) is its own conjugate: its variance is its squared amplitude, that of the others half.
        grid = 2 * wave(50, 0) + 2 * wave(5, 0)
        assert top_power_share(grid.unsqueeze(0), 1).item() == pytest.approx(4 / 6)

    def test_a_cosine_of_each_operand_is_two_waves(self):
        grid = (wave(8, 0) + wave(0, 8, 0.3)).unsqueeze(0)
        assert top_power_share(grid, 1).item() == pytest.approx(0.5)
        assert top_power_share(grid, 2).item() == pytest.approx(1)

    def test_white_noise_has_no_strong_wave(self):
        assert top_power_share(noise(20, N, N), 4).max() < 0.02

    def test_a_permuted_wave_has_no_strong_wave(self):
        order = torch.randperm(N * N, generator=generator())
        assert top_power_share(wave(8, 3).flatten()[order].reshape(1, N, N), 4).item() < 0.02

    @pytest.mark.parametrize("constant", [0.0, 0.1, -3e5])
    def test_a_constant_has_no_wave(self, constant):
        assert top_power_share(torch.full((1, N, N), constant), 4).item() == 0

    @steady
    @given(seeds, st.floats(1e-3, 1e3), st.floats(-100, 100), st.integers(1, 6))
    def test_scale_and_shift_do_not_matter(self, seed, factor, shift, waves):
        grid = noise(2, 8, 10, seed=seed)
        changed = top_power_share(factor * grid + shift, waves)
        torch.testing.assert_close(changed, top_power_share(grid, waves), rtol=0, atol=1e-7)

    @steady
    @given(seeds, st.integers(0, 9), st.integers(0, 9), st.integers(1, 6))
    def test_rolling_mirroring_and_swapping_the_operands_does_not_matter(self, seed, down, right, waves):
        grid = noise(2, 8, 10, seed=seed)
        expected = top_power_share(grid, waves)
        for changed in (grid.roll((down, right), (1, 2)), grid.flip(1), grid.mT):
            torch.testing.assert_close(top_power_share(changed, waves), expected)

    @steady
    @given(seeds)
    def test_more_waves_carry_more_up_to_the_whole(self, seed):
        grid = noise(3, 5, 7, seed=seed)
        shares = torch.stack([top_power_share(grid, waves) for waves in range(1, 18)])
        assert (shares.diff(dim=0) >= -1e-12).all()
        torch.testing.assert_close(shares[-1], torch.ones(3, dtype=torch.float64))

    @steady
    @given(seeds)
    def test_a_target_does_not_depend_on_the_others(self, seed):
        grid = noise(4, 6, 8, seed=seed)
        alone = torch.cat([top_power_share(one.unsqueeze(0), 2) for one in grid])
        torch.testing.assert_close(top_power_share(grid, 2), alone)


class TestPeriodicity:
    @pytest.mark.parametrize("periods", [SLOWEST, 17, 50])
    def test_a_planted_wave_under_noise_stands_out(self, periods):
        series = torch.cos(periods * PHASE) + 0.7 * noise(N)
        assert periodicity_p_values(series.unsqueeze(0), 199, generator()).item() <= 0.05

    @pytest.mark.parametrize("bend", BENDS.values(), ids=BENDS)
    def test_a_line_or_a_slow_bend_is_no_wave(self, bend):
        # Twenty times noise of a hundredth: by chance about one of them stands out.
        p_values = periodicity_p_values(bend + 0.01 * noise(20, N), 199, generator())
        assert (p_values <= 0.05).sum() <= 3

    def test_a_wave_stands_out_beside_a_larger_bend(self):
        series = 3 * (2 * PHASE).cos() + 0.5 * torch.cos(9 * PHASE) + 0.01 * noise(N)
        assert periodicity_p_values(series.unsqueeze(0), 199, generator()).item() <= 0.05

    def test_p_values_are_superuniform_for_noise(self):
        # 2,000 series: a share above its level by more than three standard errors would show an error rate above it.
        p_values = periodicity_p_values(noise(2000, 30, seed=3), 99, generator(4))
        for level in (0.01, 0.02, 0.05, 0.1, 0.5):
            assert (p_values <= level).double().mean() <= level + 3 * (level * (1 - level) / 2000) ** 0.5

    def test_p_values_are_superuniform_for_permuted_waves(self):
        orders = torch.stack([torch.randperm(N, generator=generator(seed)) for seed in range(1000)])
        p_values = periodicity_p_values(torch.cos(9 * PHASE)[orders], 99, generator(5))
        for level in (0.01, 0.05, 0.1, 0.5):
            assert (p_values <= level).double().mean() <= level + 3 * (level * (1 - level) / 1000) ** 0.5

    def test_p_values_lie_on_the_steps_of_the_draws(self):
        steps = periodicity_p_values(noise(50, 20), 19, generator()) * 20
        torch.testing.assert_close(steps, steps.round())
        assert steps.min() >= 1
        assert steps.max() <= 20

    def test_a_series_that_does_not_vary_is_not_periodic(self):
        assert periodicity_p_values(torch.full((1, N), 0.1), 99, generator()).item() == 1

    def test_the_generator_decides(self):
        first, again, another = (periodicity_p_values(noise(50, 20), 99, generator(seed)) for seed in (1, 1, 2))
        assert first.equal(again)
        assert not first.equal(another)

    @steady
    @given(seeds, st.floats(1e-3, 1e3), st.floats(-100, 100))
    def test_scale_and_shift_do_not_matter(self, seed, factor, shift):
        series = noise(5, 20, seed=seed)
        expected = periodicity_p_values(series, 19, generator(seed))
        torch.testing.assert_close(periodicity_p_values(factor * series + shift, 19, generator(seed)), expected)

    def test_a_series_does_not_depend_on_the_others(self):
        series = noise(5, 20)
        alone = torch.cat([periodicity_p_values(one.unsqueeze(0), 99, generator()) for one in series])
        assert periodicity_p_values(series, 99, generator()).equal(alone)
