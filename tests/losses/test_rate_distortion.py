"""The loss is equations 1 to 4, and the samples are equation 5."""

import pytest
import torch

from pvc.importance import alpha_from_u, weighted_mask
from pvc.losses.rate_distortion import RateDistortion, sample_beta


def test_it_is_equation_2_for_the_papers_mask():
    torch.manual_seed(0)
    x, x_hat = torch.rand(2, 3, 3, 8, 8), torch.rand(2, 3, 3, 8, 8)
    bits = 100 * torch.rand(2, 3)
    beta, u = torch.tensor([1e-4, 5e-3]), torch.tensor([0.2, 0.7]).view(2, 1, 1, 1, 1)
    m = (torch.rand(2, 3, 1, 8, 8) > 0.5).float()
    alpha = alpha_from_u(u)
    error = (x - x_hat) ** 2
    expected = (beta * bits.mean(1) / 64 + (m * error + (1 - m) * error / alpha).flatten(1).mean(1)).mean()
    got = RateDistortion()(x, x_hat, bits, beta, weighted_mask(m, u))
    assert got["loss"] == pytest.approx(expected.item(), rel=1e-5)
    assert got["bpp"] == pytest.approx(bits.mean().item() / 64, rel=1e-5)


def test_alpha_1_is_the_loss_without_roi_bit_for_bit():
    torch.manual_seed(0)
    x, x_hat, bits, beta = torch.rand(2, 3, 3, 8, 8), torch.rand(2, 3, 3, 8, 8), torch.rand(2, 3), torch.rand(2)
    q = weighted_mask((torch.rand(2, 3, 1, 8, 8) > 0.5).float(), 1.0)
    assert torch.equal(
        RateDistortion()(x, x_hat, bits, beta, q)["loss"], RateDistortion()(x, x_hat, bits, beta)["loss"]
    )


def test_beta_power_weighs_rates_alike():
    x, x_hat, bits = torch.zeros(1, 1, 3, 4, 4), torch.ones(1, 1, 3, 4, 4), torch.zeros(1, 1)
    loss = RateDistortion(beta_power=0.5, factor=10)
    assert loss(x, x_hat, bits, torch.tensor([4e-3]))["loss"] == pytest.approx(5)
    assert loss(x, x_hat, bits, torch.tensor([1e-3]))["loss"] == pytest.approx(10)


def test_samples_cover_the_papers_range_and_favour_low_beta():
    beta = sample_beta(torch.rand(20000, generator=torch.Generator().manual_seed(0)))
    assert 1e-4 <= beta.min() < 1.01e-4 and 1.2e-2 < beta.max() <= 1.28e-2
    assert beta.median() == pytest.approx(1e-4 * 128 ** (0.5**3), rel=0.05)
