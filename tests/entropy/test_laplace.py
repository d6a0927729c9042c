"""The Laplace tables are those of a Laplace distribution."""

import torch

from pvc.entropy.laplace import LaplaceConditional


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
