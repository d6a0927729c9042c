"""Equations 5 and 6 by hand; the loss falls where patches match."""

import math

import pytest
import torch

from pvc.errors import ConfigError
from pvc.losses.patch_contrastive import PatchContrastive, PatchEncoder, contrastive


def test_it_is_equation_6():
    torch.manual_seed(0)
    v, v_plus = (torch.nn.functional.normalize(torch.rand(1, 5, 4), dim=1) for _ in range(2))
    expected = 0.0
    for i in range(4):
        terms = [math.exp(float(v[0, :, i] @ v_plus[0, :, j]) / 0.07) for j in range(4)]
        expected -= math.log(terms[i] / sum(terms)) / 4
    assert contrastive(v, v_plus, 0.07) == pytest.approx(expected, rel=1e-4)


def test_patches_of_other_clips_are_no_negatives():
    v = torch.eye(4).repeat(2, 1, 1)  # two frames with the same features
    assert contrastive(v, v, 0.07) == pytest.approx(-math.log(1 / (1 + 3 * math.exp(-1 / 0.07))), rel=1e-3, abs=1e-6)


def test_features_have_unit_length_and_five_convolutions_of_3x3():
    encoder = PatchEncoder(channels=8)
    convolutions = [m for m in encoder.modules() if isinstance(m, torch.nn.Conv2d)]
    assert [m.kernel_size for m in convolutions] == [(3, 3)] * 5
    features = encoder(torch.rand(2, 3, 64, 64))
    assert features.shape == (2, 8, 8, 8)
    assert torch.allclose(features.norm(dim=1), torch.ones(2, 8, 8), atol=1e-4)


def test_it_falls_when_patches_match():
    torch.manual_seed(0)
    loss, x = PatchContrastive(patches=64, channels=16), torch.rand(2, 3, 64, 64)
    noise = torch.rand_like(x)
    values = []
    for share in (1.0, 0.5, 0.0):  # of something else in y
        torch.manual_seed(1)
        values.append(float(loss((1 - share) * x + share * noise, x)))
    assert values[0] > values[1] > values[2]


def test_its_gradient_pulls_y_to_the_source_and_trains_f():
    torch.manual_seed(0)
    loss, x = PatchContrastive(patches=64, channels=16), torch.rand(1, 3, 64, 64)
    y = (0.5 * x + 0.5 * torch.rand_like(x)).requires_grad_()
    torch.manual_seed(1)
    before = loss(y, x)
    before.backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in loss.parameters())
    torch.manual_seed(1)
    assert loss(y.detach() - 0.05 * y.grad / y.grad.abs().max(), x) < before


def test_frames_with_few_places_use_all_of_them():
    assert torch.isfinite(PatchContrastive(patches=256)(torch.rand(1, 3, 32, 32), torch.rand(1, 3, 32, 32)))


@pytest.mark.parametrize("wrong", [{"patches": 1}, {"tau": 0}, {"strides": (1, 2)}, {"channels": 0}])
def test_settings_out_of_range_are_refused(wrong):
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        PatchContrastive(**wrong)
