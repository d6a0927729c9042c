"""Values against hand-computed ones and against the libraries that define them."""

import math

import piq
import pytest
import torch

from pvc.errors import ConfigError
from pvc.metrics.blur import Blur
from pvc.metrics.psnr import Psnr
from pvc.metrics.psnr_yuv import PsnrYuv
from pvc.metrics.ssim import Ssim
from pvc.metrics.wpsnr import Wpsnr
from pvc.video import rgb_to_yuv


def _db(mse):
    return 10 * math.log10(255**2 / mse)


def test_psnr_is_exactly_the_mean_of_the_frames_own(clip, blurred, mask):
    decoded = blurred(clip)
    error = (clip.int() - decoded.int()).square()
    expected = {
        "psnr": [_db(int(e.sum()) / e.numel()) for e in error],
        "psnr_roi": [_db(int(e.sum()) / e.numel()) for e in error[..., :32]],
        "psnr_bg": [_db(int(e.sum()) / e.numel()) for e in error[..., 32:]],
    }
    assert Psnr()(clip, decoded, mask).values == {name: math.fsum(v) / 5 for name, v in expected.items()}


@pytest.mark.parametrize("size", [(48, 64), (47, 63)])
def test_psnr_yuv_weighs_the_planes_six_one_one(clip, blurred, size):
    clip = clip[..., : size[0], : size[1]]
    decoded = blurred(clip)
    planes = zip(rgb_to_yuv(clip, "yuv420p"), rgb_to_yuv(decoded, "yuv420p"), strict=True)
    y, u, v = ([_db((p - q).square().mean().item()) for p, q in zip(a.double(), b.double())] for a, b in planes)
    values = PsnrYuv()(clip, decoded).values
    assert values["psnr_y"] == pytest.approx(sum(y) / 5)
    assert values["psnr_yuv"] == pytest.approx((6 * sum(y) + sum(u) + sum(v)) / 8 / 5)


def test_psnr_yuv_names_unknown_matrices():
    with pytest.raises(ConfigError, match=r"psnr_yuv.*bt600.*bt709"):
        PsnrYuv(matrix="bt600")


def test_psnr_of_an_roi_smaller_than_a_chroma_sample_has_luma_only(clip, blurred):
    mask = torch.zeros(5, 1, 48, 64)
    mask[..., 10, 11] = 1
    scores = PsnrYuv()(clip, blurred(clip), mask)
    assert "psnr_y_roi" in scores.values and "no frame has any ROI" in scores.unavailable["psnr_yuv_roi"]


def test_weighted_psnr_counts_pixels_by_their_importance(clip, blurred, mask):
    decoded = clip.clone()
    decoded[..., 0, 0] = clip[..., 0, 0] ^ 4  # squared error 16
    decoded[..., 0, 1] = clip[..., 0, 1] ^ 8  # squared error 64
    q = torch.zeros(5, 1, 48, 64)
    q[..., 0, 0], q[..., 0, 1], q[..., 1, :2] = 0.25, 0.5, 0.125
    assert Wpsnr()(clip, decoded, q).values["wpsnr"] == pytest.approx(_db((0.25 * 16 + 0.5 * 64) / 1))
    blurry = blurred(clip)
    binary = Wpsnr()(clip, blurry, mask).values["wpsnr"]
    assert binary == pytest.approx(Psnr()(clip, blurry, mask).values["psnr_roi"], abs=1e-9)


def test_frames_without_importance_do_not_count(clip, blurred, mask):
    q = mask.clone()
    q[1:] = 0
    scores = Wpsnr()(clip, blurred(clip), q)
    assert scores.notes["wpsnr"] == "mean over 1 of 5 frames; the others have no importance"


@pytest.mark.parametrize("size", [(48, 64), (400, 390)])
def test_ssim_is_the_one_of_piq(blurred, size):
    clip = (torch.rand(1, 3, *size, generator=torch.Generator().manual_seed(2)) * 255).to(torch.uint8)
    decoded = blurred(clip)
    expected = piq.ssim(clip.float(), decoded.float(), data_range=255.0).item()
    assert Ssim()(clip, decoded).values["ssim"] == pytest.approx(expected, abs=1e-5)
    whole = piq.ssim(clip.float(), decoded.float(), data_range=255.0, downsample=False).item()
    assert Ssim(downsample=False)(clip, decoded).values["ssim"] == pytest.approx(whole, abs=1e-5)


def test_blur_rises_with_blur(clip, blurred):
    scores = [Blur()(clip, d).values["blur"] for d in (clip, blurred(clip, 3), blurred(clip, 7))]
    assert 0 <= scores[0] < scores[1] < scores[2] <= 1
