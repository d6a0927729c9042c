"""PSNR: hand-computed values, regions by the mask, and defined values where the formula has none."""

import json
import math

import pytest
import torch

from pvc.errors import ConfigError, ImportanceError, VideoError
from pvc.metrics import load_metrics, measure
from pvc.metrics.psnr import CAP, Psnr


def _pair(frames=2, height=4, width=6):
    return torch.full((frames, 3, height, width), 100, dtype=torch.uint8), torch.full(
        (frames, 3, height, width), 100, dtype=torch.uint8
    )


def test_is_the_mean_over_frames_of_the_frames_psnr():
    reference, decoded = _pair()
    decoded[0] += 1  # MSE 1
    decoded[1] += 10  # MSE 100
    expected = 20 * math.log10(255) - (0 + 20) / 2
    assert Psnr()(reference, decoded).values["psnr"] == pytest.approx(expected, abs=1e-9)


def test_roi_and_background_see_only_their_pixels():
    reference, decoded = _pair()
    mask = torch.zeros(2, 1, 4, 6)
    mask[..., :2] = 1
    decoded[..., :2] += 2
    decoded[..., 2:] += 20
    values = Psnr()(reference, decoded, mask).values
    assert values["psnr_roi"] == pytest.approx(20 * math.log10(255 / 2), abs=1e-9)
    assert values["psnr_bg"] == pytest.approx(20 * math.log10(255 / 20), abs=1e-9)
    assert values["psnr_bg"] < values["psnr"] < values["psnr_roi"]


def test_importance_counts_as_roi_from_the_threshold_on():
    reference, decoded = _pair()
    mask = torch.full((2, 1, 4, 6), 0.49)
    mask[..., 0] = 0.5
    decoded[..., 0] += 5
    values = Psnr()(reference, decoded, mask).values
    assert values["psnr_roi"] == pytest.approx(20 * math.log10(255 / 5), abs=1e-9)
    assert values["psnr_bg"] == CAP


def test_error_in_one_colour_counts_a_third():
    reference, decoded = _pair(1)
    decoded[:, 1] += 3
    assert Psnr()(reference, decoded).values["psnr"] == pytest.approx(10 * math.log10(255**2 / 3), abs=1e-9)


def test_frames_without_roi_are_skipped_and_said_so():
    reference, decoded = _pair(3)
    mask = torch.zeros(3, 1, 4, 6)
    mask[1, :, 0] = 1
    decoded[1] += 2
    decoded[0] += 50
    scores = Psnr()(reference, decoded, mask)
    assert scores.values["psnr_roi"] == pytest.approx(20 * math.log10(255 / 2), abs=1e-9)
    assert scores.notes["psnr_roi"].startswith("mean over 1 of 3 frames")


def test_no_roi_at_all_and_no_mask_at_all_have_reasons():
    reference, decoded = _pair()
    empty = Psnr()(reference, decoded, torch.zeros(2, 1, 4, 6))
    assert "psnr_roi" not in empty.values and "ROI" in empty.unavailable["psnr_roi"]
    assert "psnr_bg" in empty.values
    without = Psnr()(reference, decoded)
    assert set(without.values) == {"psnr"}
    assert without.unavailable == {"psnr_roi": "the sequence has no mask", "psnr_bg": "the sequence has no mask"}


def test_lossless_is_a_number_in_json():
    reference, decoded = _pair()
    scores = Psnr()(reference, decoded)
    assert json.loads(json.dumps(scores.values, allow_nan=False)) == {"psnr": CAP}
    assert "lossless" in scores.notes["psnr"]


def test_clips_and_masks_that_do_not_fit_are_named():
    reference, decoded = _pair()
    with pytest.raises(VideoError, match=r"\[2, 3, 4, 6\].*\[1, 3, 4, 6\]"):
        Psnr()(reference, decoded[:1])
    with pytest.raises(VideoError, match="float32"):
        Psnr()(reference, decoded.float())
    with pytest.raises(ImportanceError, match=r"\[2, 1, 4, 5\]"):
        Psnr()(reference, decoded, torch.ones(2, 1, 4, 5))


def test_metric_families_come_by_name():
    reference, decoded = _pair()
    scores = measure(load_metrics(["psnr", "ms_ssim"]), reference, decoded, None)
    assert set(scores.values) == {"psnr"}
    assert "161x161" in scores.unavailable["ms_ssim"]
    with pytest.raises(ConfigError, match=r"psmr.*ms_ssim, psnr"):
        load_metrics(["psmr"])
    with pytest.raises(ConfigError, match="empty"):
        load_metrics([])
