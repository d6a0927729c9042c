"""The Laplace tables are those of a Laplace distribution."""

import pytest
import torch

from pvc.entropy.laplace import LaplaceConditional, LaplaceMixture


def test_it_is_the_laplace_distribution_with_the_standard_deviation_asked_for():
    torch.manual_seed(0)
    model = LaplaceConditional(None).eval()
    for std in (0.3, 1.0, 7.0):
        exact = torch.distributions.Laplace(0.0, std / 2**0.5)
        k = torch.arange(-20, 21.0)
        expected = exact.cdf(k + 0.5) - exact.cdf(k - 0.5)
        assert torch.allclose(model._likelihood(k, torch.full_like(k, std)), expected, atol=1e-6)


def test_its_tables_cover_the_distribution():
    model = LaplaceConditional(None)
    model.update_scale_table([0.5, 4.0])
    for row, std in enumerate((0.5, 4.0)):
        length, offset = int(model.cdf_length[row]), int(model.offset[row])
        pmf = model.quantized_cdf[row, :length].diff().double() / 2**16
        assert abs(pmf.sum() - 1) < 1e-9
        inside = torch.distributions.Laplace(0.0, std / 2**0.5).cdf(torch.tensor(-offset + 0.5))
        assert 1 - inside < 1e-5
        k = torch.arange(offset, offset + length - 2.0, dtype=torch.float64)
        assert abs((pmf[: length - 2] * k**2).sum().sqrt() / std - 1) < 0.2


@pytest.mark.parametrize("std", [2.0, 4.0, 40.0])
def test_a_mixture_has_the_standard_deviation_asked_for_and_heavier_tails(std):
    k = torch.arange(-800, 801.0, dtype=torch.float64)
    one, mixture = (
        c(None).eval()._likelihood(k, torch.full_like(k, std)) for c in (LaplaceConditional, LaplaceMixture)
    )
    assert mixture.sum() == pytest.approx(1, abs=1e-6)
    rounding = 1 / 12  # of whole numbers
    assert (mixture * k**2).sum().item() == pytest.approx(std**2 + rounding, rel=0.02)
    far = k.abs() > 5 * std
    assert mixture[k == 0] > one[k == 0] and mixture[far].sum() > 3 * one[far].sum()


@pytest.mark.parametrize("kind", [LaplaceConditional, LaplaceMixture])
@pytest.mark.parametrize("quantile", [1e-6, 0.01, 0.3, 0.7, 0.999])
def test_quantiles_are_those_of_the_density(kind, quantile):
    model = kind(None)
    at = torch.tensor(model._standardized_quantile(quantile), dtype=torch.float64)
    assert model._standardized_cumulative(at).item() == pytest.approx(quantile, rel=1e-6)


def test_tables_of_a_mixture_leave_little_to_escapes():
    model = LaplaceMixture(None)
    model.update_scale_table([0.5, 4.0])
    for row in range(2):
        pmf = model.quantized_cdf[row, : int(model.cdf_length[row])].diff().double() / 2**16
        assert pmf[-1] < 2e-3 and pmf[: len(pmf) - 1].argmax() == -int(model.offset[row])
