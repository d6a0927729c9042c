"""Equation 7 by hand: what is salient counts, what is not does not."""

import pytest
import torch
from torch import nn

from pvc.errors import ConfigError
from pvc.losses.saliency_perceptual import SaliencyPerceptual


class Halves(nn.Module):
    """A stand-in backbone: the frame itself at half its size."""

    def forward(self, rgb):
        return [nn.functional.avg_pool2d(rgb, 2)]


def pair():
    torch.manual_seed(0)
    return torch.rand(2, 3, 8, 8), torch.rand(2, 3, 8, 8)


def test_it_is_equation_7():
    x_hat, x = pair()
    saliency = torch.zeros(2, 1, 8, 8)
    saliency[0, :, :4], saliency[0, :, 4:] = 0.5, 0.49  # binarised at 0.5
    features = [nn.functional.avg_pool2d(255 * v, 2) for v in (x_hat, x)]
    mask = torch.zeros(2, 1, 4, 4)
    mask[0, :, :2] = 1
    expected = ((mask * features[0] - mask * features[1]) ** 2).mean()
    assert SaliencyPerceptual(Halves)(x_hat, x, saliency) == pytest.approx(expected.item(), rel=1e-5)


def test_a_position_that_is_salient_in_part_counts_by_its_area():
    x_hat, x = pair()
    saliency = torch.zeros(2, 1, 8, 8)
    saliency[..., ::2] = 1  # half of each position
    whole = SaliencyPerceptual(Halves)(x_hat, x, torch.ones(2, 1, 8, 8))
    assert SaliencyPerceptual(Halves)(x_hat, x, saliency) == pytest.approx(whole.item() / 4, rel=1e-5)  # M^2


def test_no_gradient_reaches_what_is_not_salient_nor_the_source():
    x_hat, x = (v.requires_grad_() for v in pair())
    saliency = torch.zeros(2, 1, 8, 8)
    saliency[..., :4] = 1
    SaliencyPerceptual(Halves)(x_hat, x, saliency).backward()
    assert x.grad is None
    assert (x_hat.grad[..., :4] != 0).all() and (x_hat.grad[..., 4:] == 0).all()
    # d/dx_hat of the mean of (255 mean_of_4(x_hat - x))^2 over 2 x 3 x 4 x 4 values
    expected = 2 * 255**2 / 96 * nn.functional.avg_pool2d((x_hat - x).detach(), 2)[0, 0, 0, 0] / 4
    assert x_hat.grad[0, 0, 0, 0] == pytest.approx(expected.item(), rel=1e-4)


def test_background_1_is_the_plain_perceptual_loss():
    x_hat, x = pair()
    plain = SaliencyPerceptual(Halves, background=1.0)
    assert torch.equal(plain(x_hat, x, torch.zeros(2, 1, 8, 8)), plain(x_hat, x, torch.ones(2, 1, 8, 8)))


@pytest.mark.parametrize("wrong", [{"threshold": 1.5}, {"background": -0.1}])
def test_settings_out_of_range_are_refused(wrong):
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        SaliencyPerceptual(Halves, **wrong)
