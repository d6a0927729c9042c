"""BD-rate and BD-quality: known shifts, and reasons where a number would mislead."""

import math

import pytest

from pvc.errors import ConfigError
from pvc.metrics.bd_rate import Settings, bd_quality, bd_rate

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
    assert result.reason == "codec is not monotone: PSNR 33 at rate 0.2, 32.5 at 0.4"


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


@pytest.mark.parametrize("method", ["pchip", "akima"])
def test_a_curve_one_decibel_higher_has_a_bd_quality_of_one_decibel(method):
    higher = [(rate, value + 1) for rate, value in CURVE]
    result = bd_quality(CURVE, higher, settings=Settings(method))
    assert result.difference == pytest.approx(1.0)
    assert result.reason is None and result.overlap == pytest.approx(1)
    assert bd_quality(higher, CURVE, settings=Settings(method)).difference == pytest.approx(-1.0)


def test_bd_quality_keeps_the_direction_of_the_metric():
    anchor = [(0.1, 0.5), (0.2, 0.4), (0.4, 0.3), (0.8, 0.25)]
    better = [(rate, value - 0.02) for rate, value in anchor]  # of LPIPS less is better
    assert bd_quality(anchor, better, "lpips").difference == pytest.approx(-0.02)
    assert bd_rate(anchor, better, "lpips").percent < 0
    assert "not monotone" in bd_quality(anchor, better, "psnr").reason


def test_bd_quality_of_ms_ssim_is_in_decibels():
    anchor = [(0.1, 0.9), (0.2, 0.95), (0.4, 0.975), (0.8, 0.9875)]
    half_the_distance = [(rate, 1 - (1 - value) / 2) for rate, value in anchor]
    assert bd_quality(anchor, half_the_distance, "ms_ssim").difference == pytest.approx(3.01, abs=0.01)


def test_overlap_of_bd_quality_is_that_of_rates():
    apart = _times(100)
    result = bd_quality(CURVE, apart, names=("x265", "mine"))
    assert result.difference is None and result.overlap == 0
    assert "x265 rate 0.1 to 1.6 and mine rate 10 to 160" in result.reason
    assert bd_rate(CURVE, apart).percent == pytest.approx(9900)  # the same qualities, so there BD-rate has a number
    far_better = [(rate, value + 50) for rate, value in CURVE]  # the same rates, so there BD-quality has one
    assert bd_quality(CURVE, far_better).difference == pytest.approx(50)


def test_bd_quality_has_the_same_reasons_as_bd_rate():
    assert bd_quality(CURVE, CURVE[:3]).reason == "codec has 3 points, 4 are needed"
    bent = [(0.1, 30.0), (0.2, 33.0), (0.4, 32.5), (0.8, 38.5)]
    assert bd_quality(CURVE, bent).reason == bd_rate(CURVE, bent).reason
