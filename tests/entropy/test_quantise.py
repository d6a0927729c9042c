"""Quantisation: a dead zone where everything counts, and a price on bits where less does."""

import math
from itertools import pairwise

import pytest
import torch

from pvc.entropy.laplace import LaplaceConditional
from pvc.entropy.quantise import PRICE, DeadZone
from pvc.models.branch import Condition

ROUNDINGS = (1 / 3, 1 / 6, 0.5)


def sample(std: float, n: int = 20_000) -> tuple[torch.Tensor, torch.Tensor]:
    """Laplace values [1, 1, 1, n] and their standard deviation."""
    torch.manual_seed(0)
    b = std / math.sqrt(2)
    return torch.distributions.Laplace(0.0, b).sample((1, 1, 1, n)), torch.full((1, 1, 1, n), std)


def q(value: float) -> torch.Tensor:
    return torch.full((1, 1, 1, 1), value)


def bits(symbols: torch.Tensor, std: torch.Tensor) -> torch.Tensor:
    return -torch.log2(LaplaceConditional(None)._likelihood(symbols, std))


@pytest.mark.parametrize("rounding", ROUNDINGS)
def test_full_importance_changes_nothing(rounding):
    v, std = sample(2.0)
    zone = DeadZone(rounding)
    assert torch.equal(zone(v, q(1.0), std), zone(v))
    assert torch.equal(zone.leave(v, q(1.0)), zone.leave(v, None))
    assert torch.equal(zone(v), torch.sign(v) * torch.floor(v.abs() + rounding))


@pytest.mark.parametrize("std", [0.2, 1.0, 8.0])
def test_less_importance_never_costs_more_bits(std):
    v, stds = sample(std)
    coarser = [DeadZone(1 / 6)(v, q(u), stds) for u in (1.0, 0.7, 0.4, 0.2, 0.0)]
    for more, less in pairwise(coarser):
        assert (less.abs() <= more.abs()).all()
        assert (less * more >= 0).all()
    spent = [float(bits(symbols, stds).sum()) for symbols in coarser]
    assert spent == sorted(spent, reverse=True) and spent[-1] < spent[0]


@pytest.mark.parametrize("u", [0.1, 0.2, 0.5])
@pytest.mark.parametrize("std", [0.3, 1.0, 3.0])
def test_it_spends_bits_better_than_a_wider_dead_zone(u, std):
    """Distortion plus price of the bits, in steps^2, against zeroing all values below the step that suits q."""
    v, stds = sample(std)
    zone = DeadZone(1 / 6)

    def cost(symbols):
        return ((v - symbols) ** 2 + PRICE * 60 ** (1 - u) * bits(symbols, stds)).mean()

    assert cost(zone(v, q(u), stds)) <= cost(zone.leave(v, q(u))) + 1e-6


def test_a_value_that_the_density_calls_unlikely_is_dropped_first():
    v = torch.full((1, 1, 1, 1), 3.0)
    zone = DeadZone(1 / 6)
    assert zone(v, q(0.3), torch.full_like(v, 0.2)) == 0
    assert zone(v, q(0.3), torch.full_like(v, 6.0)) > 0


def test_only_values_that_are_coded_get_a_gradient():
    v = torch.tensor([0.2, -0.7, 1.4, -5.2]).view(1, 1, 1, 4).requires_grad_()
    DeadZone(1 / 6)(v, q(1.0), torch.ones(1, 1, 1, 4)).sum().backward()
    assert v.grad.flatten().tolist() == [0, 0, 1, 1]


def test_a_block_counts_as_much_as_its_most_important_pixel():
    whole = torch.zeros(1, 1, 32, 32)
    whole[..., 3, 20] = 1.0
    assert Condition(q=whole).latent_q(16).flatten().tolist() == [0, 1, 0, 0]
