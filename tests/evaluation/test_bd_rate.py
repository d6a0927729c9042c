"""BD-rate: known shifts, the published anchors, and reasons where a number would mislead."""

import json
import math

import pytest

from pvc.errors import ConfigError
from pvc.evaluation.bd_rate import Settings, bd_rate

CURVE = [(0.1, 30.0), (0.2, 33.0), (0.4, 36.0), (0.8, 38.5), (1.6, 40.5)]


def _times(factor, curve=CURVE):
    return [(rate * factor, value) for rate, value in curve]


@pytest.mark.parametrize("method", ["pchip", "akima"])
def test_a_curve_at_half_the_rate_saves_half_the_bits(method):
    result = bd_rate(CURVE, _times(0.5), settings=Settings(method))
    assert result.percent == pytest.approx(-50)
    assert result.reason is None and result.overlap == 1
    assert bd_rate(CURVE, CURVE, settings=Settings(method)).percent == pytest.approx(0)


def test_order_of_points_and_unit_of_rate_do_not_matter():
    assert bd_rate(CURVE[::-1], _times(0.5)[::-1]).percent == pytest.approx(-50)
    assert bd_rate(_times(1e6), _times(5e5)).percent == pytest.approx(-50)


def test_curves_may_have_different_numbers_of_points():
    assert bd_rate(CURVE, _times(2)[:4]).percent == pytest.approx(100, abs=0.5)


def test_for_lpips_lower_is_better():
    anchor = [(0.1, 0.5), (0.2, 0.4), (0.4, 0.3), (0.8, 0.25)]
    assert bd_rate(anchor, _times(0.5, anchor), "lpips").percent == pytest.approx(-50)
    assert "not monotone" in bd_rate(anchor, anchor, "psnr").reason


def test_ms_ssim_is_compared_in_decibels():
    anchor = [(0.1, 0.9), (0.2, 0.95), (0.4, 0.975), (0.8, 0.9875)]
    assert bd_rate(anchor, _times(0.5, anchor), "ms_ssim").percent == pytest.approx(-50)
    # Halving the distance to 1 with every doubling of rate is a straight line in dB: half the rate is 3.01 dB less.
    better = [(rate, 1 - (1 - value) / 2) for rate, value in anchor]
    assert bd_rate(anchor, better, "ms_ssim").percent == pytest.approx(-50, abs=0.1)


def test_too_few_points_have_a_reason():
    result = bd_rate(CURVE, CURVE[:3], names=("x265", "mine"))
    assert result.percent is None and result.reason == "mine has 3 points, 4 are needed"
    assert "x265 has 1 point," in bd_rate(CURVE[:1], CURVE, names=("x265", "mine")).reason


def test_curves_that_bend_back_have_a_reason_that_names_the_place():
    bent = [(0.1, 30.0), (0.2, 33.0), (0.4, 32.5), (0.8, 38.5)]
    result = bd_rate(CURVE, bent)
    assert result.percent is None
    assert result.reason == "codec is not monotone: PSNR 33.00 at rate 0.2, 32.50 at 0.4"


def test_overlap_is_a_share_of_the_shorter_curve():
    inside = [(0.15, 33.0), (0.2, 34.0), (0.3, 35.0), (0.4, 36.0)]  # wholly inside: a fair comparison
    assert bd_rate(CURVE, inside).overlap == 1
    beside = [(0.15, 39.5), (0.2, 40.5), (0.3, 41.5), (0.4, 42.5)]  # 1 dB of its 3 dB
    result = bd_rate(CURVE, beside)
    assert result.percent is None and result.overlap == pytest.approx(1 / 3)
    assert "overlap by 33%" in result.reason and "50% is needed" in result.reason and "39.5 to 42.5 dB" in result.reason
    assert bd_rate(CURVE, beside, settings=Settings(min_overlap=0.3)).percent is not None
    apart = [(r, v + 50) for r, v in CURVE]
    assert bd_rate(CURVE, apart).overlap == 0 and bd_rate(CURVE, apart).percent is None


@pytest.mark.parametrize(
    "bad", [{"method": "cubic"}, {"min_overlap": 0.0}, {"min_overlap": 1.1}, {"min_overlap": math.nan}]
)
def test_bad_settings_are_named(bad):
    with pytest.raises(ConfigError, match=r"bd\."):
        Settings(**bad)


@pytest.mark.parametrize(
    ("name", "published"),
    [
        ("ssf2020-mse-ans-vimeo", 93.85),
        ("ssf2020-from-authors", 36.7),
        ("x265-medium-tune-zerolatency", -34.85),
        ("VTM-v15.0-lowdelay", -73.7),
    ],
)
@pytest.mark.parametrize("method", ["pchip", "akima"])
def test_published_curves_give_the_published_numbers(shared_clips, name, published, method):
    folder = shared_clips.parent / "anchors"
    if not folder.is_dir():
        pytest.skip("no published anchors beside the shared clips")

    def curve(stem):
        results = json.loads((folder / f"uvg-1080p-{stem}.json").read_text())["results"]
        return list(zip(results["bitrate"], results["psnr-rgb"], strict=True))

    result = bd_rate(curve("x264-medium-tune-zerolatency"), curve(name), settings=Settings(method))
    print(name, method, result)
    assert result.percent == pytest.approx(published, abs=0.1)
