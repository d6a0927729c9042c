import math

import pytest
import torch

from pvc.errors import ImportanceError
from pvc.importance import alpha_from_u, check_map, distortion_weight, u_from_alpha, weighted_mask


def test_the_papers_pair_of_alpha_and_u():
    assert alpha_from_u(0.2) == pytest.approx(26.5, abs=0.1)
    assert alpha_from_u(1.0) == 1
    assert alpha_from_u(0.0) == 60


@pytest.mark.parametrize("alpha", [1.0, 3.7, 26.5, 60.0])
def test_u_and_alpha_are_inverse(alpha):
    assert alpha_from_u(u_from_alpha(alpha)) == pytest.approx(alpha)
    assert torch.allclose(alpha_from_u(u_from_alpha(torch.tensor([alpha]))), torch.tensor([alpha]))


def test_alpha_one_is_the_codec_without_roi_exactly():
    m = (torch.rand(2, 1, 8, 8) > 0.5).float()
    assert u_from_alpha(1.0) == 1.0
    assert torch.equal(weighted_mask(m, u_from_alpha(1.0)), torch.ones_like(m))


def test_the_weight_is_one_in_the_roi_and_one_over_alpha_outside():
    m = torch.tensor([0.0, 1.0])
    weight = distortion_weight(weighted_mask(m, u_from_alpha(26.5)))
    assert torch.allclose(weight, torch.tensor([1 / 26.5, 1.0]))


def test_one_u_for_each_clip_of_a_batch():
    m = torch.zeros(2, 3, 1, 4, 4)
    q = weighted_mask(m, torch.tensor([0.2, 0.7]).view(2, 1, 1, 1, 1))
    assert torch.allclose(q[0], torch.tensor(0.2)) and torch.allclose(q[1], torch.tensor(0.7))


@pytest.mark.parametrize("alpha", [0.9, 60.1, math.nan, torch.tensor([2.0, 61.0])])
def test_alpha_outside_its_range(alpha):
    with pytest.raises(ImportanceError, match=r"alpha = .* lies outside \[1, 60\]"):
        u_from_alpha(alpha)


def test_a_map_that_fits():
    check_map(torch.rand(3, 1, 8, 12), torch.zeros(3, 3, 8, 12, dtype=torch.uint8))


@pytest.mark.parametrize(
    ("importance", "message"),
    [
        (torch.rand(3, 1, 8, 10), "m.mkv is 10x8 but a.mp4 is 12x8"),
        (torch.rand(2, 1, 8, 12), "m.mkv has 2 frames but a.mp4 has 3"),
        (torch.rand(3, 3, 8, 12), "shape"),
        (torch.rand(3, 1, 8, 12) * 255, "values from"),
        (torch.full((3, 1, 8, 12), torch.nan), "values from"),
        (torch.zeros(3, 1, 8, 12, dtype=torch.uint8), "uint8"),
    ],
)
def test_a_map_that_does_not_fit(importance, message):
    with pytest.raises(ImportanceError, match=message):
        check_map(importance, torch.zeros(3, 3, 8, 12), map_name="m.mkv", clip_name="a.mp4")
