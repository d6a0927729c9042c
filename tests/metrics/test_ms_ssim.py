"""MS-SSIM: the identity is 1, worse pictures score lower, small ones have a reason."""

import pytest
import torch
from pytorch_msssim import ms_ssim as other_implementation

from pvc.metrics.ms_ssim import MsSsim


def _pictures(size=168):
    generator = torch.Generator().manual_seed(1)
    coarse = torch.rand(2, 3, 12, 12, generator=generator) * 255
    reference = torch.nn.functional.interpolate(coarse, size, mode="bicubic").clamp(0, 255)
    noise = torch.randn(2, 3, size, size, generator=generator)
    return reference.to(torch.uint8), lambda s: (reference + s * noise).clamp(0, 255).to(torch.uint8)


def test_identity_is_one_and_noise_lowers_it():
    reference, noisy = _pictures()
    same, little, much = (MsSsim()(reference, d).values["ms_ssim"] for d in (reference, noisy(5), noisy(40)))
    assert same == pytest.approx(1, abs=1e-6)
    assert same > little > much > 0


def test_agrees_with_another_implementation():
    reference, noisy = _pictures()
    expected = other_implementation(reference.float(), noisy(20).float(), data_range=255).item()
    assert MsSsim()(reference, noisy(20)).values["ms_ssim"] == pytest.approx(expected, abs=2e-3)


def test_small_clips_have_a_reason_instead_of_a_value():
    small = torch.zeros(1, 3, 160, 300, dtype=torch.uint8)
    scores = MsSsim()(small, small)
    assert scores.values == {} and "300x160" in scores.unavailable["ms_ssim"]
    assert MsSsim()(*[torch.zeros(1, 3, 161, 161, dtype=torch.uint8)] * 2).values["ms_ssim"] == pytest.approx(1)
