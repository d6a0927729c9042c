from itertools import pairwise

import numpy as np
import pytest
import torch

from pvc.errors import ConfigError
from pvc.importance import PerlinSettings, perlin_mask
from pvc.importance.perlin import nth_smallest


def make(seed=0, shape=(3, 64, 96), **ranges):
    return perlin_mask(shape, np.random.default_rng(seed), PerlinSettings(**ranges))


@pytest.mark.parametrize("share", [0.05, 0.3, 0.9])
def test_the_roi_has_exactly_the_share_that_was_asked_for(share):
    mask = make(share=(share, share))
    assert mask.shape == (3, 1, 64, 96) and mask.dtype == torch.float32
    assert set(mask.unique().tolist()) == {0.0, 1.0}
    assert abs(mask.mean().item() - share) <= 1 / mask.numel()


def test_shares_of_nothing_and_everything():
    assert make(share=(0, 0)).max() == 0
    assert make(share=(1, 1)).min() == 1


def test_shares_fill_the_range():
    shares = [make(seed, share=(0.1, 0.6)).mean().item() for seed in range(60)]
    assert 0.1 <= min(shares) < 0.2 and 0.5 < max(shares) <= 0.601


def test_without_speed_all_frames_are_equal():
    mask = make(speed=(0, 0))
    assert torch.equal(mask[0], mask[1]) and torch.equal(mask[0], mask[2])


def test_masks_are_consistent_over_time():
    """Neighbouring frames agree far better than masks that have nothing to do with one another."""
    masks = [make(seed, speed=(2, 2), share=(0.4, 0.4)) for seed in range(10)]
    change = np.mean([(m[1:] != m[:-1]).float().mean() for m in masks])
    chance = np.mean([(a[0] != b[0]).float().mean() for a, b in pairwise(masks)])
    assert 0 < change < chance / 3


def test_faster_masks_change_more():
    def change(speed):
        masks = [make(seed, speed=(speed, speed)) for seed in range(8)]
        return np.mean([(m[1:] != m[:-1]).float().mean() for m in masks])

    assert change(6) > 2 * change(1)


def test_larger_blobs_have_shorter_outlines():
    def outline(scale):
        masks = [make(s, shape=(1, 128, 128), scale=(scale, scale), share=(0.4, 0.4)) for s in range(8)]
        return np.mean([m.diff(dim=-1).abs().mean() for m in masks])

    assert outline(16) > 2 * outline(64)


def test_continuous_maps():
    q = make(continuous=1.0, share=(0.3, 0.3))
    assert q.min() >= 0 and q.max() <= 1
    assert len(q.unique()) > 100
    assert abs((q >= 0.5).float().mean().item() - 0.3) < 0.001


def test_the_same_generator_gives_the_same_mask():
    assert torch.equal(make(5), make(5)) and not torch.equal(make(5), make(6))


@pytest.mark.parametrize(
    "ranges", [{"scale": (1, 5)}, {"speed": (3, 1)}, {"share": (0.2, 1.5)}, {"continuous": 2}, {"octaves": 0}]
)
def test_ranges_that_make_no_sense(ranges):
    with pytest.raises(ConfigError, match=f"perlin.{next(iter(ranges))}"):
        PerlinSettings(**ranges)


@pytest.mark.parametrize("size", [1, 5, 400, 3 * 128 * 128])
def test_the_level_of_a_mask_is_the_exact_order_statistic(size):
    """Also of values that a sample of them misjudges: sorted, equal, with a period, with one outlier."""
    rng = np.random.default_rng(size)
    noise = rng.normal(size=size).astype(np.float32)
    ordered, periodic = np.sort(noise), np.tile(np.sort(noise[:29]), size // 29 + 1)[:size]
    for values in (noise, ordered, ordered[::-1], np.ones_like(noise), periodic, np.append(noise[1:], np.float32(1e9))):
        for n in {0, size // 20, size // 2, size - 1}:
            assert nth_smallest(values, n) == np.sort(values)[n]
