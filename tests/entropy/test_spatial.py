"""Latents told by the blocks around them: what is coded is what they could not tell, and nothing is lost."""

import pytest
import torch
import torch.nn.functional as F

from pvc.entropy.spatial import LIMIT, differences, predict, restore, unfolded
from pvc.entropy.step_map import FACTORS


def told(s: list[list[int]], i: int, j: int, factor: int) -> int:
    """LOCO-I's predictor as its authors write it, rounded to a multiple, halves away from zero."""
    left = s[i][j - 1] if j else 0
    above = s[i - 1][j] if i else 0
    corner = s[i - 1][j - 1] if i and j else 0
    if corner >= max(left, above):
        value = min(left, above)
    elif corner <= min(left, above):
        value = max(left, above)
    else:
        value = left + above - corner
    whole, rest = divmod(abs(value), factor)
    rounded = (whole + (2 * rest >= factor)) * factor
    return rounded if value > 0 else -rounded


@pytest.fixture
def factor() -> torch.Tensor:
    """Of a step map [1, 1, 9, 13]."""
    torch.manual_seed(0)
    return torch.tensor(FACTORS)[torch.randint(len(FACTORS), (1, 1, 9, 13))].float()


def some(factor, largest: int) -> torch.Tensor:
    """Symbols [1, 6, 9, 13], multiples of their block's factor."""
    torch.manual_seed(1)
    return torch.randint(-largest, largest + 1, (1, 6, 9, 13)).float() // factor * factor


def test_it_is_the_median_edge_detector(factor):
    symbols = some(factor, 40)
    found = predict(symbols, factor)[0, 0].tolist()
    s, f = symbols[0, 0].int().tolist(), factor[0, 0].int().tolist()
    assert found == [[told(s, i, j, f[i][j]) for j in range(13)] for i in range(9)]


@pytest.mark.parametrize("largest", [0, 3, 500, LIMIT])
@pytest.mark.parametrize("coarse", [False, True])
def test_nothing_is_lost(factor, largest, coarse):
    steps = factor if coarse else 1
    symbols, channels = some(factor if coarse else 1, largest), (0, 1, 4)
    coded = differences(symbols, channels, steps)
    assert torch.equal(coded[:, [2, 3, 5]], symbols[:, [2, 3, 5]])  # the others are as they are
    assert coded.abs().max() < 2**15 and not (coded % steps).any()
    assert torch.equal(restore(coded, channels, steps), symbols)


def test_a_pan_costs_one_difference():
    symbols = torch.full((1, 2, 9, 13), 17.0)
    coded = differences(symbols, (0, 1), 1)
    assert coded[0, :, 0, 0].tolist() == [17, 17] and coded.count_nonzero() == 2


@pytest.mark.parametrize("coarse", [False, True])
def test_quarters_of_blocks_are_told_by_those_around_them_in_the_plane(factor, coarse):
    """Four channels in a row are the quarters of each block; to the right of the left one lies its own right one."""
    steps = factor if coarse else 1
    plane = torch.randint(-30, 31, (1, 1, 18, 26), generator=torch.Generator().manual_seed(0)).float()
    fine = unfolded(steps, 2)
    plane = plane // fine * fine
    symbols = torch.cat((torch.full((1, 1, 9, 13), 5.0), F.pixel_unshuffle(plane, 2)), dim=1)
    coded = differences(symbols, (1, 2, 3, 4), steps, 2)
    assert torch.equal(coded[:, :1], symbols[:, :1])
    assert torch.equal(F.pixel_shuffle(coded[:, 1:], 2), differences(plane, (0,), fine))
    assert torch.equal(restore(coded, (1, 2, 3, 4), steps, 2), symbols)


def test_damaged_differences_give_symbols_that_later_steps_can_hold():
    coded = torch.full((1, 1, 40, 60), 2.0**15 - 1)
    assert restore(coded, (0,), 1).abs().max() < 2**15


def test_gradients_count_what_a_symbol_changes_behind_it():
    symbols = torch.tensor([[[[5.0, 7.0, 9.0]]]], requires_grad=True)
    differences(symbols, (0,), 1)[..., 1].sum().backward()
    assert symbols.grad.flatten().tolist() == [-1, 1, 0]
