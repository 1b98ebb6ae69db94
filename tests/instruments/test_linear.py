from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import spearmanr
from sklearn.linear_model import LinearRegression

from mechtests.instruments import correlation, explained_variance, linear_fit, rank_correlation

OPERANDS = torch.cartesian_prod(torch.arange(100.0), torch.arange(100.0))
steady = settings(deadline=None, derandomize=True, max_examples=40)
seeds = st.integers(0, 2**32 - 1)


def normal(*shape, seed=0, dtype=torch.float64):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def close(found, expected, tolerance=1e-9):
    torch.testing.assert_close(found, expected, rtol=tolerance, atol=tolerance)


class TestLinearFit:
    def test_finds_a_planted_plane(self):
        fit = linear_fit(OPERANDS.double(), (OPERANDS.double() @ torch.tensor([[2.0], [-3.0]]).double()) + 7)
        close(fit.slopes[:, 0], torch.tensor([2.0, -3.0]).double())
        close(fit.intercept, torch.tensor([7.0]).double())
        close(fit.r2, torch.tensor([1.0]).double())

    @pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
    def test_r2_is_the_planted_share_of_variance(self, share):
        plane = OPERANDS.double() @ torch.tensor([0.4, -0.4]).double() - 3
        noise = normal(len(plane)) * plane.std() * ((1 - share) / share) ** 0.5
        fit = linear_fit(OPERANDS, (plane + noise).unsqueeze(1))
        assert fit.r2.item() == pytest.approx(share, abs=0.02)
        assert fit.spread.item() == pytest.approx((plane + noise).std().item())
        assert (fit.r2.sqrt() * fit.spread).item() == pytest.approx(plane.std().item(), rel=0.05)

    def test_noise_is_not_linear(self):
        assert linear_fit(OPERANDS, normal(10_000, 50)).r2.max() < 0.003

    def test_a_plane_with_its_units_permuted_is_not_linear(self):
        targets = (OPERANDS[:, :1] - OPERANDS[:, 1:])[np.random.default_rng(1).permutation(10_000)]
        assert linear_fit(OPERANDS, targets).r2.item() < 0.002

    @pytest.mark.parametrize("constant", [0.0, 0.1, -1e6])
    def test_a_target_that_does_not_vary_has_an_r2_of_0(self, constant):
        fit = linear_fit(OPERANDS, torch.full((10_000, 1), constant))
        assert fit.r2.item() == pytest.approx(0, abs=1e-3)
        assert fit.predict(OPERANDS) == pytest.approx(constant, rel=1e-5)

    @pytest.mark.parametrize(("units", "features"), [(5, 2), (40, 1), (300, 6)])
    def test_agrees_with_scikit_learn(self, units, features):
        x, y = normal(units, features, seed=1), normal(units, 7, seed=2) * 10 + 100
        fit, reference = linear_fit(x, y), LinearRegression().fit(x, y)
        close(fit.slopes, torch.tensor(reference.coef_.T))
        close(fit.intercept, torch.tensor(reference.intercept_))
        close(fit.predict(x), torch.tensor(reference.predict(x)))
        residual = (y - torch.tensor(reference.predict(x))).square().sum(0)
        close(fit.r2, 1 - residual / (y - y.mean(0)).square().sum(0))

    def test_agrees_with_scikit_learn_on_preactivations_in_float32(self):
        # As large as a layer's pre-activations over all problems, from nearly linear to nearly noise, far off zero.
        shares, slopes = torch.linspace(0.001, 0.999, 512).double(), normal(2, 512, seed=3) * 0.02
        noise = normal(10_000, 512, seed=4) * ((1 - shares) / shares).sqrt() * 0.02 * 29
        pre = (OPERANDS.double() @ slopes + noise + normal(512, seed=5) * 5).float()
        fit = linear_fit(OPERANDS, pre)
        exact = LinearRegression().fit(OPERANDS.double(), pre.double())
        predicted = torch.tensor(exact.predict(OPERANDS.double()))
        r2 = 1 - (pre - predicted).square().sum(0) / (pre.double() - pre.double().mean(0)).square().sum(0)
        close(fit.r2, r2)
        close(fit.slopes, torch.tensor(exact.coef_.T))
        close(fit.predict(OPERANDS), predicted)

    @steady
    @given(seeds, st.floats(1e-3, 1e3), st.floats(-100, 100))
    def test_scaling_and_shifting_a_target_leaves_r2_and_scales_the_slopes(self, seed, factor, shift):
        x, y = normal(30, 2, seed=seed), normal(30, 3, seed=seed + 1)
        fit, changed = linear_fit(x, y), linear_fit(x, y * factor + shift)
        close(changed.r2, fit.r2)
        close(changed.slopes, fit.slopes * factor)
        close(changed.intercept, fit.intercept * factor + shift)
        close(changed.spread, fit.spread * factor)

    @steady
    @given(seeds, st.floats(1e-3, 1e3), st.floats(-100, 100))
    def test_scaling_and_shifting_a_feature_leaves_r2_and_the_predictions(self, seed, factor, shift):
        x, y = normal(30, 2, seed=seed), normal(30, 3, seed=seed + 1)
        fit, changed = linear_fit(x, y), linear_fit(x * factor + shift, y)
        close(changed.r2, fit.r2, 1e-6)
        close(changed.predict(x * factor + shift), fit.predict(x), 1e-6)

    @steady
    @given(seeds)
    def test_the_order_of_units_features_and_targets_does_not_matter(self, seed):
        x, y = normal(30, 3, seed=seed), normal(30, 4, seed=seed + 1)
        rng = np.random.default_rng(seed)
        units, features, targets = rng.permutation(30), rng.permutation(3), rng.permutation(4)
        fit, changed = linear_fit(x, y), linear_fit(x[units][:, features], y[units][:, targets])
        close(changed.r2, fit.r2[targets])
        close(changed.slopes, fit.slopes[features][:, targets])

    @steady
    @given(seeds)
    def test_r2_lies_between_0_and_1_and_grows_with_features(self, seed):
        x, y = normal(12, 5, seed=seed), normal(12, 3, seed=seed + 1)
        r2 = [linear_fit(x[:, :features], y).r2 for features in range(1, 6)]
        assert all((one >= 0).all() and (one <= 1).all() for one in r2)
        assert all((more >= fewer - 1e-9).all() for fewer, more in pairwise(r2))

    @pytest.mark.parametrize("units", [1, 2, 3])
    def test_refuses_no_more_units_than_coefficients(self, units):
        with pytest.raises(ValueError, match=f"{units} units cannot test a fit of 3 coefficients"):
            linear_fit(normal(units, 2), normal(units, 1))


class TestExplainedVariance:
    @pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
    def test_is_the_planted_share(self, share):
        features, noise = normal(4, 500, 3), normal(4, 500, seed=1)
        signal = features.sum(-1)
        noise = noise - (features @ torch.linalg.lstsq(features, noise[..., None]).solution)[..., 0]
        targets = share**0.5 * signal / signal.norm(dim=1, keepdim=True)
        targets = targets + (1 - share) ** 0.5 * noise / noise.norm(dim=1, keepdim=True)
        assert explained_variance(targets, features).tolist() == pytest.approx([share] * 4, abs=0.02)

    @pytest.mark.parametrize("units", [10, 200])
    def test_agrees_with_the_fit_of_one_target(self, units):
        features, targets = normal(1, units, 3), normal(5, units, seed=2) + normal(units, seed=3)
        close(explained_variance(targets, features), linear_fit(features[0], targets.T).r2)

    def test_a_feature_given_twice_explains_no_more(self):
        features, targets = normal(2, 40, 3), normal(2, 40, seed=4)
        twice = torch.cat([features, features], -1)
        close(explained_variance(targets, twice), explained_variance(targets, features))

    def test_of_a_target_that_does_not_vary_is_0(self):
        assert explained_variance(torch.ones(1, 9).double(), normal(1, 9, 2)).tolist() == [0]


class TestCorrelation:
    @pytest.mark.parametrize("planted", [-0.9, 0.0, 0.6])
    def test_is_the_planted_one(self, planted):
        x, noise = normal(2, 20_000)
        assert correlation(x, planted * x + (1 - planted**2) ** 0.5 * noise) == pytest.approx(planted, abs=0.02)

    @steady
    @given(seeds, st.integers(3, 50))
    def test_agrees_with_numpy(self, seed, units):
        x, y = normal(units, seed=seed), normal(units, seed=seed + 1)
        assert correlation(x, y) == pytest.approx(np.corrcoef(x, y)[0, 1], abs=1e-9)

    @steady
    @given(seeds, st.floats(1e-3, 1e3), st.floats(-100, 100))
    def test_scale_shift_and_order_do_not_matter_and_a_turned_sign_turns_it(self, seed, factor, shift):
        x, y = normal(20, seed=seed), normal(20, seed=seed + 1)
        order = np.random.default_rng(seed).permutation(20)
        assert correlation((factor * x + shift)[order], y[order]) == pytest.approx(correlation(x, y).item(), abs=1e-9)
        assert correlation(-x, y) == pytest.approx(-correlation(x, y).item(), abs=1e-9)
        assert correlation(y, x) == pytest.approx(correlation(x, y).item(), abs=1e-9)

    @pytest.mark.parametrize("units", [0, 1, 2])
    def test_refuses_fewer_than_three_units(self, units):
        with pytest.raises(ValueError, match=f"{units} units"):
            correlation(normal(units), normal(units, seed=1))

    @pytest.mark.parametrize("constant", [0.0, 0.1, 1e6])
    @pytest.mark.parametrize("units", [3, 270])
    def test_refuses_a_side_that_does_not_vary(self, constant, units):
        with pytest.raises(ValueError, match="three or more that vary"):
            correlation(torch.full((units,), constant), normal(units, dtype=torch.float32))

    @pytest.mark.parametrize("of", [correlation, rank_correlation])
    def test_is_that_of_every_row_and_of_what_does_not_vary_what_is_asked(self, of):
        x, y = normal(4, 2, 20), normal(2, 20, seed=1)
        x[1, 0] = 0.1  # whose mean over 20 is another float
        found = of(x, y, constant=0.0)
        assert found.shape == (4, 2)
        assert found[1, 0] == 0
        assert found[2, 1] == pytest.approx(of(x[2, 1], y[1]).item(), abs=1e-12)

    def test_of_float32_is_worked_out_in_float64(self):
        x, y = (normal(100_000, seed=seed).float() + 50 for seed in (0, 1))
        assert correlation(x, y).item() == pytest.approx(np.corrcoef(x.double(), y.double())[0, 1], abs=1e-12)


class TestRankCorrelation:
    @steady
    @given(seeds, st.integers(20, 50))
    def test_agrees_with_scipy_with_ties_and_without(self, seed, units):
        x, y = normal(units, seed=seed), normal(units, seed=seed + 1).round()
        assert rank_correlation(x, y) == pytest.approx(spearmanr(x, y)[0], abs=1e-9)

    @steady
    @given(seeds)
    def test_what_keeps_the_order_keeps_it(self, seed):
        x, y = normal(20, seed=seed), normal(20, seed=seed + 1)
        assert rank_correlation(x.exp(), y) == pytest.approx(rank_correlation(x, y).item(), abs=1e-9)
        assert rank_correlation(x, x**3) == pytest.approx(1)

    def test_refuses_a_side_that_does_not_vary(self):
        with pytest.raises(ValueError, match="three or more that vary"):
            rank_correlation(torch.ones(5), normal(5))
