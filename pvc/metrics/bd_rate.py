"""Bjontegaard deltas of one rate-distortion curve against another, or the reason why there is none.

The numbers are those of the ``bjontegaard`` package, interpolated by PCHIP or Akima: BD-rate is the mean difference of
log-rate at equal quality over the qualities that both curves cover, BD-quality (BD-PSNR and its like) the mean
difference of quality at equal rate over the log-rates that both cover. What the package leaves to the user is checked
here: a curve that bends back, too few points, or curves that hardly overlap give a reason instead of a number.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from pvc.errors import ConfigError
from pvc.metrics.axes import Axis, axis

METHODS = ("pchip", "akima")
MIN_POINTS = 4
"""Points a curve needs (VCEG-M33 was made for four)."""


@dataclass(frozen=True)
class Settings:
    """How BD-rate and BD-quality are computed.

    Attributes:
        method: Interpolation between points: ``pchip`` or ``akima``.
        min_overlap: Share of the shorter curve's range, in (0, 1], that both curves must cover: its range of quality
            for BD-rate, of log-rate for BD-quality.
    """

    method: str = "pchip"
    min_overlap: float = 0.5

    def __post_init__(self):
        if self.method not in METHODS:
            raise ConfigError(f"bd.method={self.method!r} is unknown; use one of {', '.join(METHODS)}")
        if not isinstance(self.min_overlap, int | float) or not 0 < self.min_overlap <= 1:
            raise ConfigError(f"bd.min_overlap={self.min_overlap} lies outside (0, 1]")

    def __str__(self) -> str:
        return (
            f"BD-rate over log-rate by {self.method.upper() if self.method == 'pchip' else self.method.capitalize()} "
            f"interpolation; a number needs {MIN_POINTS} points a curve, quality that rises with rate, and "
            f"{self.min_overlap:.0%} overlap of the shorter curve's range of quality (BD-quality: of log-rate)"
        )


@dataclass(frozen=True)
class BdRate:
    """``percent`` more bits than the anchor at equal quality (negative is better), or None and the ``reason``.

    ``overlap`` is the share of the shorter curve's quality range that both cover, None where it could not be computed.
    """

    percent: float | None
    reason: str | None = None
    overlap: float | None = None


@dataclass(frozen=True)
class BdQuality:
    """``difference`` to the anchor at equal rate in the metric's own unit and direction, or None and the ``reason``.

    The unit is that of the metric's axis (dB for MS-SSIM). Positive is better for PSNR and its like, negative for LPIPS
    and its like. ``overlap`` is the share of the shorter curve's log-rate range that both cover.
    """

    difference: float | None
    reason: str | None = None
    overlap: float | None = None


Curve = Sequence[tuple[float, float]]
"""Points (rate, value of the metric) in any order; the rate in any unit, the same for the curves that are compared."""


def bd_rate(
    anchor: Curve,
    test: Curve,
    metric: str = "psnr",
    settings: Settings | None = None,
    names: tuple[str, str] = ("anchor", "codec"),
) -> BdRate:
    """BD-rate of ``test`` against ``anchor``.

    Args:
        anchor, test: The two curves.
        metric: Decides direction and scale (:mod:`pvc.metrics.axes`): for LPIPS and its like lower is better.
        settings: Interpolation and smallest overlap.
        names: What to call the two curves in a reason.
    """
    settings, ax = settings or Settings(), axis(metric)
    curves = [_turned(curve, ax) for curve in (anchor, test)]
    if reason := _faults(curves, names, ax):
        return BdRate(None, reason)
    overlap = _overlap(*([q for _, q in curve] for curve in curves))
    if overlap < settings.min_overlap:
        spans = [_span((curve[0][1], curve[-1][1]), ax) for curve in curves]
        return BdRate(None, _too_little(overlap, settings, names, spans), overlap)
    percent = _delta("bd_rate", curves, settings)
    if not math.isfinite(percent):
        return BdRate(None, f"the interpolation gives {percent}", overlap)
    return BdRate(percent, None, overlap)


def bd_quality(
    anchor: Curve,
    test: Curve,
    metric: str = "psnr",
    settings: Settings | None = None,
    names: tuple[str, str] = ("anchor", "codec"),
) -> BdQuality:
    """BD-quality of ``test`` against ``anchor``; arguments as of :func:`bd_rate`."""
    settings, ax = settings or Settings(), axis(metric)
    curves = [_turned(curve, ax) for curve in (anchor, test)]
    if reason := _faults(curves, names, ax):
        return BdQuality(None, reason)
    overlap = _overlap(*([math.log(rate) for rate, _ in curve] for curve in curves))
    if overlap < settings.min_overlap:
        spans = [f"rate {curve[0][0]:.4g} to {curve[-1][0]:.4g}" for curve in curves]
        return BdQuality(None, _too_little(overlap, settings, names, spans), overlap)
    better = _delta("bd_psnr", curves, settings)
    if not math.isfinite(better):
        return BdQuality(None, f"the interpolation gives {better}", overlap)
    return BdQuality(better if ax.higher_is_better else -better, None, overlap)


def gain_at_rate(
    anchor: Curve, point: tuple[float, float], metric: str = "psnr", name: str = "the anchor"
) -> BdQuality:
    """Difference of one ``point`` to the curve ``anchor`` at the point's own rate, interpolated by PCHIP over log-rate.

    For codecs of one rate, and before there are points enough for a BD-rate. ``overlap`` is None.

    Args:
        anchor: The curve. point: (rate, value of the metric).
        metric: As for :func:`bd_rate`. name: What to call the anchor in a reason.
    """
    from scipy.interpolate import PchipInterpolator

    ax, rate = axis(metric), point[0]
    curve = _turned(anchor, ax)
    if reason := _fault(name, curve, ax, least=2):
        return BdQuality(None, reason)
    if not curve[0][0] <= rate <= curve[-1][0]:
        return BdQuality(None, f"rate {rate:.4g} lies outside that of {name} ({curve[0][0]:.4g} to {curve[-1][0]:.4g})")
    at = PchipInterpolator([math.log(r) for r, _ in curve], [q for _, q in curve])
    better = _quality(point[1], ax) - float(at(math.log(rate)))
    return BdQuality(better if ax.higher_is_better else -better)


def _turned(curve: Curve, ax: Axis) -> list[tuple[float, float]]:
    """The curve by rate, with the metric on its axis, turned so that higher is better."""
    return sorted((rate, _quality(value, ax)) for rate, value in curve)


def _delta(function: str, curves: list[list[tuple[float, float]]], settings: Settings) -> float:
    import bjontegaard  # it imports pyplot: a second that no process needs in which only jobs run

    columns = [column for curve in curves for column in zip(*curve, strict=True)]
    return float(
        getattr(bjontegaard, function)(*columns, method=settings.method, require_matching_points=False, min_overlap=0)
    )


def _faults(curves: list[list[tuple[float, float]]], names: tuple[str, str], ax: Axis) -> str | None:
    """What the first curve that is not fit for a comparison has wrong."""
    return next((fault for n, c in zip(names, curves, strict=True) if (fault := _fault(n, c, ax))), None)


def _too_little(overlap: float, settings: Settings, names: tuple[str, str], spans: list[str]) -> str:
    ranges = " and ".join(f"{name} {span}" for name, span in zip(names, spans, strict=True))
    digits = 0 if f"{overlap:.0%}" != f"{settings.min_overlap:.0%}" else 2
    needed = f"{settings.min_overlap:.{digits}%}"
    return f"curves overlap by {overlap:.{digits}%} of the shorter one, {needed} is needed ({ranges})"


def _quality(value: float, ax: Axis) -> float:
    """The metric on its axis, turned so that higher is better."""
    return ax.scale(value) if ax.higher_is_better else -ax.scale(value)


def _fault(name: str, curve: list[tuple[float, float]], ax: Axis, least: int = MIN_POINTS) -> str | None:
    if len(curve) < least:
        return f"{name} has {len(curve)} point{'s' * (len(curve) != 1)}, {least} are needed"
    if curve[0][0] <= 0:
        return f"{name} has a rate of {curve[0][0]:g}"
    for (r0, q0), (r1, q1) in pairwise(curve):
        if r1 <= r0 or q1 <= q0:
            v0, v1 = (q if ax.higher_is_better else -q for q in (q0, q1))
            return f"{name} is not monotone: {ax.title} {v0:.5g} at rate {r0:.4g}, {v1:.5g} at {r1:.4g}"
    return None


def _overlap(one: Sequence[float], two: Sequence[float]) -> float:
    """Share of the shorter range (min to max) that lies in both."""
    common = min(max(one), max(two)) - max(min(one), min(two))
    return max(0.0, common / min(max(one) - min(one), max(two) - min(two)))


def _span(ends: tuple[float, float], ax: Axis) -> str:
    low, high = sorted(q if ax.higher_is_better else -q for q in ends)
    return f"{low:.5g} to {high:.5g}{' ' + ax.unit if ax.unit else ''}"
