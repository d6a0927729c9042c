"""The non-saturating loss by hand, and which way its two steps go."""

import pytest
import torch
import torch.nn.functional as F

from pvc.errors import ConfigError
from pvc.losses.adversarial import Adversarial
from pvc.models.discriminator import PatchDiscriminator


def made() -> Adversarial:
    torch.manual_seed(0)
    return Adversarial(PatchDiscriminator([8, 16]))


def test_values_are_logarithms_of_probabilities():
    logits = torch.tensor([[0.3, -1.2]])
    loss = Adversarial(torch.nn.Identity())
    p = torch.sigmoid(logits)
    assert loss(logits) == pytest.approx(-p.log().mean().item(), rel=1e-5)
    got = loss.discriminator_loss(logits, -logits)
    expected = -p.log().mean() - (1 - torch.sigmoid(-logits)).log().mean()
    assert got == pytest.approx(expected.item(), rel=1e-5)


def test_the_codecs_step_makes_frames_look_real_and_the_discriminators_tells_them_apart():
    loss, x = made(), torch.rand(2, 3, 32, 32)
    x_hat = F.avg_pool2d(x, 3, 1, 1).requires_grad_()
    loss(x_hat).backward()
    real = (x_hat - 1e-2 * x_hat.grad / x_hat.grad.abs().max()).detach()
    loss.eval()  # spectral normalisation stays where it is
    assert loss.discriminator(real).mean() > loss.discriminator(x_hat).mean()
    loss.train().zero_grad()
    optimizer = torch.optim.Adam(loss.parameters(), lr=1e-3)
    gap = []
    for _ in range(20):
        optimizer.zero_grad()
        loss.discriminator_loss(x, x_hat).backward()
        optimizer.step()
        gap.append((loss.discriminator(x) - loss.discriminator(x_hat)).mean().item())
    assert gap[-1] > gap[0]


def test_nothing_of_the_discriminators_loss_reaches_the_codec():
    loss, x_hat = made(), torch.rand(1, 3, 32, 32, requires_grad=True)
    loss.discriminator_loss(torch.rand(1, 3, 32, 32), x_hat).backward()
    assert x_hat.grad is None


def test_the_discriminator_is_one_lipschitz_layer_by_layer():
    net = PatchDiscriminator([8, 16])
    for _ in range(30):
        net(torch.rand(1, 3, 32, 32))  # power iterations
    for layer in net.layers:
        if hasattr(layer, "weight"):
            assert torch.linalg.matrix_norm(layer.weight.detach().flatten(1), 2) == pytest.approx(1, rel=0.05)


def test_channels_out_of_range_are_refused():
    with pytest.raises(ConfigError, match="channels"):
        PatchDiscriminator([])
