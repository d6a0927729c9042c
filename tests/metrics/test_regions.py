"""Every family with regions: ROI and background see their own pixels, and chunks do not change a value."""

import pytest
import torch

from pvc.metrics import Scores
from pvc.metrics.blur import Blur
from pvc.metrics.features import FeatureDistance
from pvc.metrics.lpips import Lpips
from pvc.metrics.ms_ssim import MsSsim
from pvc.metrics.psnr import CAP, Psnr
from pvc.metrics.psnr_yuv import PsnrYuv
from pvc.metrics.ssim import Ssim
from pvc.metrics.wpsnr import Wpsnr


def _in_chunks(metric, sizes, *clips) -> Scores:
    accumulator = metric.start()
    for part in zip(*(c.split(sizes) for c in clips), strict=True):
        accumulator.add(*part)
    scores = accumulator.scores()
    accumulator.close()
    return scores


@pytest.fixture(params=["psnr", "psnr_yuv", "wpsnr", "ssim", "blur", "features", "lpips"])
def metric(request, stand_in):
    make = {
        "psnr": Psnr,
        "psnr_yuv": PsnrYuv,
        "wpsnr": Wpsnr,
        "ssim": Ssim,
        "blur": Blur,
        "features": lambda: FeatureDistance(weights=str(stand_in("squeezenet1_1"))),
        "lpips": lambda: Lpips(weights=str(stand_in("alexnet"))),
    }
    return make[request.param]()


def test_chunks_do_not_change_the_values(metric, clip, blurred, mask):
    mask = mask.clone()
    mask[1] = 0  # a frame without ROI
    one, two = (_in_chunks(metric, sizes, clip, blurred(clip), mask) for sizes in ([5], [1, 4]))
    assert set(one.values) == set(metric.names)
    assert one == two == metric(clip, blurred(clip), mask)


@pytest.mark.parametrize(
    ("make", "perfect"),
    [(lambda _: Psnr(), CAP), (lambda _: PsnrYuv(), CAP), (lambda _: Ssim(), 1.0)],
    ids=["psnr", "psnr_yuv", "ssim"],
)
def test_an_error_in_the_background_leaves_the_roi_perfect(make, perfect, clip, mask):
    metric, decoded = make(None), clip.clone()
    decoded[..., 40:] = 255 - decoded[..., 40:]  # eight pixels from the ROI: beyond SSIM's window
    values = metric(clip, decoded, mask).values
    for name in metric.names:
        if name.endswith("_roi"):
            assert values[name] == pytest.approx(perfect)
            assert values[name.replace("_roi", "_bg")] < values[name.removesuffix("_roi")] < values[name]


def test_feature_distances_see_where_the_error_is(stand_in, clip, mask):
    decoded = clip.clone()
    decoded[..., 56:] = 255 - decoded[..., 56:]
    for metric in (FeatureDistance(weights=str(stand_in("squeezenet1_1"))), Lpips(weights=str(stand_in("alexnet")))):
        whole, roi, background = (metric(clip, decoded, mask).values[name] for name in metric.names)
        assert 0 < roi < whole < background
        assert metric(clip, clip, mask).values == dict.fromkeys(metric.names, 0)


def test_without_mask_there_is_the_whole_frame_and_a_reason(metric, clip):
    scores = metric(clip, clip)
    by_map = {name for name in metric.names if name.endswith(("_roi", "_bg")) or name == "wpsnr"}
    assert scores.unavailable == dict.fromkeys(by_map, "the sequence has no mask")
    assert set(scores.values) == set(metric.names) - by_map


def test_small_frames_have_a_reason(stand_in):
    tiny = torch.zeros(1, 3, 9, 40, dtype=torch.uint8)
    for metric in (Ssim(), Blur(), MsSsim(), FeatureDistance(weights=str(stand_in("squeezenet1_1")))):
        scores = metric(tiny, tiny)
        assert scores.values == {} and all("40x9" in reason for reason in scores.unavailable.values())


def test_a_clip_without_frames_has_a_reason(metric):
    assert set(metric.start().scores().unavailable.values()) == {"the clip has no frames"}
