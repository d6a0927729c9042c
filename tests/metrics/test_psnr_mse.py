"""PSNR of the mean squared error over a clip: the formula, its regions, and what it is when there is no error."""

import math

import pytest
import torch

from pvc.metrics import load_metrics, measure
from pvc.metrics.psnr import CAP

(METRIC,) = load_metrics(["psnr_mse"])


def _pair(frames=2):
    one = torch.full((frames, 3, 4, 6), 100, dtype=torch.uint8)
    return one, one.clone()


def test_is_one_logarithm_of_the_mean_over_frames_and_never_above_psnr():
    reference, decoded = _pair()
    decoded[0] += 1  # MSE 1
    decoded[1] += 10  # MSE 100
    values = measure([METRIC, *load_metrics(["psnr"])], reference, decoded, None).values
    assert values["psnr_mse"] == pytest.approx(10 * math.log10(255**2 / 50.5), abs=1e-9)
    assert values["psnr_mse"] < values["psnr"]


def test_a_lossless_frame_does_not_lift_it_to_the_cap():
    reference, decoded = _pair()
    decoded[1] += 10
    assert METRIC(reference, decoded).values["psnr_mse"] == pytest.approx(10 * math.log10(255**2 / 50), abs=1e-9)
    lossless = METRIC(*_pair())
    assert lossless.values["psnr_mse"] == CAP and "lossless" in lossless.notes["psnr_mse"]


def test_roi_and_background_are_means_over_the_frames_that_have_them():
    reference, decoded = _pair(3)
    mask = torch.zeros(3, 1, 4, 6)
    mask[:2, ..., :2] = 1
    decoded[0, ..., :2] += 2
    decoded[1, ..., :2] += 4
    decoded[2] += 20
    scores = METRIC(reference, decoded, mask)
    assert scores.values["psnr_mse_roi"] == pytest.approx(10 * math.log10(255**2 / 10), abs=1e-9)
    assert scores.values["psnr_mse_bg"] == pytest.approx(10 * math.log10(255**2 / (400 / 3)), abs=1e-9)
    assert scores.notes["psnr_mse_roi"] == "mean over 2 of 3 frames; the others have no ROI"
    assert "has no mask" in METRIC(reference, decoded).unavailable["psnr_mse_roi"]


def test_is_the_same_whether_frames_come_at_once_or_one_by_one():
    generator = torch.Generator().manual_seed(0)
    reference, decoded = (torch.randint(0, 256, (5, 3, 8, 9), generator=generator).byte() for _ in range(2))
    accumulator = METRIC.start()
    for a, b in zip(reference, decoded, strict=True):
        accumulator.add(a[None], b[None], None)
    assert accumulator.scores().values == METRIC(reference, decoded).values
