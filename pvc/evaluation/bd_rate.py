"""Bjontegaard-delta rate of one rate-distortion curve against another, or the reason why there is none.

The number is that of the ``bjontegaard`` package: mean difference of log-rate at equal quality over the range that both
curves cover, interpolated by PCHIP or Akima. What it leaves to the user is checked here: a curve that bends back, too
few points, or curves that hardly overlap give a reason instead of a number.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import bjontegaard

from pvc.errors import ConfigError
from pvc.evaluation.axes import Axis, axis

METHODS = ("pchip", "akima")
MIN_POINTS = 4
"""Points a curve needs (VCEG-M33 was made for four)."""


@dataclass(frozen=True)
class Settings:
    """How BD-rates are computed.

    Attributes:
        method: Interpolation of log-rate over quality: ``pchip`` or ``akima``.
        min_overlap: Share of the shorter curve's quality range, in (0, 1], that both curves must cover.
    """

    method: str = "pchip"
    min_overlap: float = 0.5

    def __post_init__(self):
        if self.method not in METHODS:
            raise ConfigError(f"bd.method={self.method!r} is unknown; use one of {', '.join(METHODS)}")
        if not 0 < self.min_overlap <= 1:
            raise ConfigError(f"bd.min_overlap={self.min_overlap} lies outside (0, 1]")

    def __str__(self) -> str:
        return (
            f"BD-rate over log-rate by {self.method.upper() if self.method == 'pchip' else self.method.capitalize()} "
            f"interpolation; a number needs {MIN_POINTS} points a curve, quality that rises with rate, and "
            f"{self.min_overlap:.0%} overlap of the shorter curve's quality range"
        )


@dataclass(frozen=True)
class BdRate:
    """``percent`` more bits than the anchor at equal quality (negative is better), or None and the ``reason``.

    ``overlap`` is the share of the shorter curve's quality range that both cover, None where it could not be computed.
    """

    percent: float | None
    reason: str | None = None
    overlap: float | None = None


def bd_rate(
    anchor: Sequence[tuple[float, float]],
    test: Sequence[tuple[float, float]],
    metric: str = "psnr",
    settings: Settings | None = None,
    names: tuple[str, str] = ("anchor", "codec"),
) -> BdRate:
    """BD-rate of ``test`` against ``anchor``.

    Args:
        anchor, test: Points (rate, value of the metric) in any order; the rate in any unit, the same for both.
        metric: Decides direction and scale (:mod:`pvc.evaluation.axes`): for LPIPS and its like lower is better.
        settings: Interpolation and smallest overlap.
        names: What to call the two curves in a reason.
    """
    settings, ax = settings or Settings(), axis(metric)
    curves = [sorted((rate, _quality(value, ax)) for rate, value in curve) for curve in (anchor, test)]
    for name, curve in zip(names, curves, strict=True):
        if reason := _fault(name, curve, ax):
            return BdRate(None, reason)
    (a_rate, a_quality), (t_rate, t_quality) = (zip(*curve, strict=True) for curve in curves)
    overlap = _overlap(a_quality, t_quality)
    if overlap < settings.min_overlap:
        ranges = " and ".join(f"{n} {_span(c, ax)}" for n, c in zip(names, curves, strict=True))
        reason = f"curves overlap by {overlap:.0%} of the shorter one, {settings.min_overlap:.0%} is needed ({ranges})"
        return BdRate(None, reason, overlap)
    percent = bjontegaard.bd_rate(
        a_rate, a_quality, t_rate, t_quality, method=settings.method, require_matching_points=False, min_overlap=0
    )
    if not math.isfinite(percent):
        return BdRate(None, f"the interpolation gives {percent}", overlap)
    return BdRate(float(percent), None, overlap)


def _quality(value: float, ax: Axis) -> float:
    """The metric on its axis, turned so that higher is better."""
    return ax.scale(value) if ax.higher_is_better else -ax.scale(value)


def _fault(name: str, curve: list[tuple[float, float]], ax: Axis) -> str | None:
    if len(curve) < MIN_POINTS:
        return f"{name} has {len(curve)} point{'s' * (len(curve) != 1)}, {MIN_POINTS} are needed"
    if curve[0][0] <= 0:
        return f"{name} has a rate of {curve[0][0]:g}"
    for (r0, q0), (r1, q1) in pairwise(curve):
        if r1 <= r0 or q1 <= q0:
            v0, v1 = (q if ax.higher_is_better else -q for q in (q0, q1))
            return f"{name} is not monotone: {ax.title} {v0:.2f} at rate {r0:.4g}, {v1:.2f} at {r1:.4g}"
    return None


def _overlap(one: Sequence[float], two: Sequence[float]) -> float:
    """Share of the shorter range (min to max) that lies in both."""
    common = min(max(one), max(two)) - max(min(one), min(two))
    return max(0.0, common / min(max(one) - min(one), max(two) - min(two)))


def _span(curve: list[tuple[float, float]], ax: Axis) -> str:
    low, high = sorted(q if ax.higher_is_better else -q for q in (curve[0][1], curve[-1][1]))
    return f"{low:.1f} to {high:.1f}{' ' + ax.unit if ax.unit else ''}"
