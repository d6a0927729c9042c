"""Flow is in pixels: the same motion means the same at every size."""

import pytest
import torch
import torch.nn.functional as F

from pvc.models import warp as warping
from pvc.models.motion import estimate_flow
from pvc.models.warp import enlarged, half_pixels, scale_space, warp


def flow_of(x: float, y: float, h: int, w: int) -> torch.Tensor:
    return torch.tensor([x, y]).view(1, 2, 1, 1).expand(1, 2, h, w)


def space(x: torch.Tensor, half: bool) -> list[torch.Tensor]:
    """Scale space of ``x``, with or without what lies between the pixels of level 0."""
    sharp, *blurred = scale_space(x)
    return [half_pixels(sharp) if half else sharp, *blurred]


@pytest.mark.parametrize("half", [False, True])
@pytest.mark.parametrize("size", [(64, 64), (64, 192), (256, 128)])
def test_zero_flow_is_the_identity(size, half):
    x = torch.rand(2, 3, *size)
    zero = torch.zeros(2, 2, *size)
    assert torch.allclose(warp(space(x, half), zero, zero[:, :1]), x, atol=1e-4)


@pytest.mark.parametrize("half", [False, True])
@pytest.mark.parametrize("size", [(64, 64), (64, 192), (256, 128)])
def test_flow_is_in_pixels_at_every_size(size, half):
    x = torch.rand(1, 3, *size)
    moved = warp(space(x, half), flow_of(5, -3, *size), torch.zeros(1, 1, *size))
    assert torch.allclose(moved[..., 3:, :-5], x[..., :-3, 5:], atol=1e-4)


def test_eight_pixels_keep_the_detail_between_pixels():
    """Waves of a little more than three pixels, moved by a half and by a quarter of one."""
    places = torch.arange(96) * 2 * torch.pi * 0.3

    def wave(shift):
        return (0.5 + 0.4 * torch.sin(places + 2 * torch.pi * 0.3 * shift)).expand(1, 3, 64, 96)

    for shift, gain in ((0.5, 100), (0.25, 3)):
        errors = []
        for half in (False, True):
            moved = warp(space(wave(0), half), flow_of(shift, 0, 64, 96), torch.zeros(1, 1, 64, 96))
            errors.append((moved - wave(shift))[..., 8:-8].square().mean())
        assert errors[1] * gain < errors[0]


@pytest.mark.parametrize("half", [False, True])
def test_pixels_outside_take_the_border(half):
    x = torch.rand(1, 3, 64, 64)
    sides = {(100, 0): x[..., -1:], (-100, 0): x[..., :1], (0, 100): x[..., -1:, :], (0, -100): x[..., :1, :]}
    for flow, border in sides.items():
        moved = warp(space(x, half), flow_of(*flow, 64, 64), torch.zeros(1, 1, 64, 64))
        assert torch.allclose(moved, border.expand_as(x), atol=1e-4)


def test_higher_levels_are_smoother_and_keep_the_mean():
    x = torch.rand(1, 3, 128, 128)
    volume = scale_space(x, levels=5)
    volume = [enlarged(volume, i) for i in range(len(volume))]
    assert [level.shape for level in volume] == [x.shape] * 6
    spread = torch.stack([level.flatten(2).std(-1).mean() for level in volume])
    assert (spread[1:] < spread[:-1]).all()
    assert torch.allclose(torch.stack([level.mean() for level in volume]), x.mean().expand(6), atol=2e-2)


def test_the_scale_field_picks_the_level():
    volume = scale_space(torch.rand(1, 3, 64, 64))
    zero = torch.zeros(1, 2, 64, 64)
    for level in (1, 4, 5):
        out = warp(volume, zero, torch.full((1, 1, 64, 64), float(level)))
        assert torch.allclose(out, enlarged(volume, level), atol=1e-4)
    between = warp(volume, zero, torch.full((1, 1, 64, 64), 2.5))
    assert torch.allclose(between, (enlarged(volume, 2) + enlarged(volume, 3)) / 2, atol=1e-4)


def test_the_motion_estimate_points_from_the_current_frame_into_the_reference():
    torch.manual_seed(0)
    big = torch.nn.functional.interpolate(torch.rand(1, 3, 24, 24), (136, 136), mode="bicubic").clamp(0, 1)
    reference, current = big[..., 4:132, 4:132], big[..., 2:130, 7:135]  # current(p) = reference(p + (3, -2))
    flow = estimate_flow(current, reference)[0, :, 32:96, 32:96].mean((1, 2))
    assert torch.allclose(flow, torch.tensor([3.0, -2.0]), atol=0.3)


@pytest.mark.parametrize("half", [False, True])
def test_coding_and_training_warp_alike(half):
    """Without gradients, pixels far from level 0 are picked out: that must not change what they get."""
    torch.manual_seed(0)
    volume = space(torch.rand(1, 3, 64, 96), half)
    flow, scale = 8 * torch.randn(1, 2, 64, 96), 7 * torch.rand(1, 1, 64, 96) - 1
    expected = warp(volume, flow, scale)
    with torch.no_grad():
        assert torch.allclose(warp(volume, flow, scale), expected, atol=1e-6)


def sampled(how, x, flow, scale, grad) -> list[torch.Tensor]:
    """What ``how`` makes of ``x``, and the derivatives by all three."""
    inputs = [v.clone().requires_grad_() for v in (x, flow, scale)]
    out = how(*inputs)
    out.backward(grad)
    return [out.detach(), *(v.grad for v in inputs)]


@pytest.mark.parametrize("half", [False, True])
@pytest.mark.parametrize("levels", [1, 5])
def test_training_warps_and_derives_as_the_libraries_sampler_does(levels, half):
    """What a GPU runs, on the CPU: convolutions and one trilinear sampler, derived by torch."""
    torch.manual_seed(0)
    x, grad = torch.rand(2, 3, 32, 48), torch.randn(2, 3, 32, 48)
    flow, scale = 8 * torch.randn(2, 2, 32, 48), 7 * torch.rand(2, 1, 32, 48) - 1

    def library(x, flow, scale):
        volume = [x]
        for i in range(levels):
            volume.append(warping._blur_by_convolution(F.avg_pool2d(volume[i], 2) if i else x, 1.5))
        return warping._warp_at_once([half_pixels(x) if half else x, *volume[1:]], flow, scale)

    def ours(x, flow, scale):
        volume = scale_space(x, levels)
        return warp([half_pixels(x) if half else x, *volume[1:]], flow, scale)

    expected = sampled(library, x, flow, scale, grad)
    got = sampled(ours, x, flow, scale, grad)
    for a, b in zip(got, expected, strict=True):
        assert torch.allclose(a, b, rtol=1e-3, atol=1e-4 * b.abs().max())


def test_pictures_are_doubled_as_the_library_does():
    x = torch.rand(2, 3, 5, 8)
    expected = F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)
    assert torch.allclose(warping._double(x), expected, atol=1e-6)
    grad = torch.randn_like(expected)
    y = x.clone().requires_grad_()
    (by_torch,) = torch.autograd.grad(F.interpolate(y, scale_factor=2, mode="bilinear"), y, grad)
    assert torch.allclose(warping._undouble(grad), by_torch, atol=1e-5)


def test_nothing_is_derived_by_a_reference_that_needs_no_gradient():
    x, zero = torch.rand(1, 3, 32, 32), torch.zeros(1, 2, 32, 32)
    flow, scale = zero.clone().requires_grad_(), torch.full((1, 1, 32, 32), 0.5).requires_grad_()
    warp(scale_space(x), flow, scale).sum().backward()
    assert x.grad is None and flow.grad.any() and scale.grad.any()


@pytest.mark.parametrize("half", [False, True])
def test_a_gpu_warps_as_a_cpu_does(gpu, half):
    torch.manual_seed(0)
    x, grad = torch.rand(2, 3, 64, 96), torch.randn(2, 3, 64, 96)
    flow, scale = 8 * torch.randn(2, 2, 64, 96), 7 * torch.rand(2, 1, 64, 96) - 1

    def whole(x, flow, scale):
        return warp(space(x, half), flow, scale)

    expected = sampled(whole, x, flow, scale, grad)
    got = sampled(whole, *(v.to(gpu) for v in (x, flow, scale, grad)))
    for a, b in zip(got, expected, strict=True):
        assert torch.allclose(a.cpu(), b, rtol=1e-3, atol=1e-4 * b.abs().max())
