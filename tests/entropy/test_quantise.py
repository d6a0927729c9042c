"""Quantisation with a dead zone."""

import pytest
import torch

from pvc.entropy.quantise import DeadZone


@pytest.mark.parametrize("rounding", [1 / 3, 1 / 6, 0.5])
def test_values_are_rounded_towards_zero(rounding):
    v = torch.linspace(-6, 6, 4001)
    assert torch.equal(DeadZone(rounding)(v), torch.sign(v) * torch.floor(v.abs() + rounding))


def test_only_values_that_are_coded_get_a_gradient():
    v = torch.tensor([0.2, -0.7, 1.4, -5.2]).requires_grad_()
    DeadZone(1 / 6)(v).sum().backward()
    assert v.grad.tolist() == [0, 0, 1, 1]
