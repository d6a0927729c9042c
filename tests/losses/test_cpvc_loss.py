"""Equation 8: parts by their weights, lambda by the base layer's QP; what is off is not made."""

import pytest
import torch
from torch import nn

from pvc.errors import ConfigError
from pvc.losses.cpvc import CpvcLoss

LAMBDAS = {29: 1, 32: 2, 35: 4, 38: 8}


class Constant(nn.Module):
    """A part that is always 3 and has been looked at."""

    def forward(self, *frames):
        assert all(f.ndim == 4 for f in frames)
        return torch.tensor(3.0)


def clip(n=2):
    torch.manual_seed(0)
    x, y, x_hat = torch.rand(3, n, 2, 3, 8, 8)
    return x, y, x_hat, 100 * torch.rand(n, 2), torch.rand(n, 2, 1, 8, 8)


def test_it_is_equation_8():
    x, y, x_hat, bits, saliency = clip()
    parts = dict.fromkeys(("perceptual", "contrastive", "adversarial"), Constant)
    weights = {"mse": 10, "mse_y": 5, "perceptual": 2, "contrastive": 0.5, "adversarial": 0.1}
    got = CpvcLoss(LAMBDAS, weights, **parts)(x, y, x_hat, bits, saliency, [32, 38])
    bpp = bits.mean(1) / 64
    rate = (2 * bpp[0] + 8 * bpp[1]) / 2
    errors = 10 * ((x_hat - x) ** 2).mean() + 5 * ((y - x) ** 2).mean()
    assert got["loss"] == pytest.approx(float(rate + errors + 3 * 2.6), rel=1e-5)
    assert got["bpp"] == pytest.approx(float(bpp.mean()), rel=1e-5)
    assert got["psnr"] == pytest.approx(float(-10 * torch.log10(((x_hat - x) ** 2).mean())), rel=1e-4)


def test_a_part_that_is_off_is_not_made():
    def never():
        raise AssertionError("its weights would have to be there")

    loss = CpvcLoss(LAMBDAS, {"mse": 1}, perceptual=never, contrastive=never, adversarial=never)
    assert not list(loss.parameters())
    assert set(loss(*clip(1), [29])) == {"loss", "bpp", "psnr", "mse"}


@pytest.mark.parametrize(
    "weights, words",
    [
        ({"mse": -1}, "0 or more"),
        ({"mse": 0}, "above 0"),
        ({"mse": 1, "vgg": 1}, "perceptual"),
        ({"contrastive": 1}, "contrastive"),
    ],
)
def test_weights_that_make_no_loss_are_refused(weights, words):
    with pytest.raises(ConfigError, match=words):
        CpvcLoss(LAMBDAS, weights)


def test_a_qp_without_lambda_is_named():
    with pytest.raises(ConfigError, match=r"30.*29, 32, 35, 38"):
        CpvcLoss(LAMBDAS, {"mse": 1})(*clip(1), [30])
