"""Where validation's points stand against the anchor: BD-rate so far ("live"), and each point at its own rate."""

from dataclasses import dataclass, field

from pvc.metrics.axes import axis, in_order
from pvc.metrics.bd_rate import BdRate, Settings, bd_rate, gain_at_rate
from pvc.training.page_log import Validation

Measured = tuple[str, dict[str, float]]
"""A point's label, and ``bpp`` and metrics."""

BASE = "base_"
"""Prefix of what CPVC's validation says of the base layer alone."""
NO_BASE_RATE = "the cache of the base layer does not say how many bits it took; make it anew with pvc data base"


@dataclass
class AnchorCurve:
    """The anchor's points, or the ``reason`` why there are none."""

    name: str
    points: list[Measured] = field(default_factory=list)
    reason: str | None = None


@dataclass
class Standing:
    """A group of points in one metric, at one validation: BD-rate, and what each point gains at its own rate.

    ``gains``: label, dB (or the metric's own unit) or None, and the reason.
    """

    group: str
    metric: str
    bd: BdRate
    gains: list[tuple[str, float | None, str | None]]


def base_layer(validation: Validation) -> tuple[AnchorCurve | None, Validation]:
    """CPVC's anchor, its base layer; and the validation with the whole rate, base and neural stream together.

    None where the validation has no base layer.
    """
    points = [point for group in validation.groups.values() for point in group]
    if not any(name.startswith(BASE) for _, values in points for name in values):
        return None, validation
    if any(BASE + "bpp" not in values for _, values in points):
        return AnchorCurve("base layer", reason=NO_BASE_RATE), validation
    base = [(label, {k[len(BASE) :]: v for k, v in values.items() if k.startswith(BASE)}) for label, values in points]
    whole = {
        group: [
            (
                label,
                {k: v for k, v in values.items() if not k.startswith(BASE)}
                | {"bpp": values["bpp"] + values["base_bpp"]},
            )
            for label, values in found
        ]
        for group, found in validation.groups.items()
    }
    return AnchorCurve("base layer", base), Validation(validation.step, whole)


def _without_base(values: dict[str, float]) -> dict[str, float]:
    return {name: value for name, value in values.items() if not name.startswith(BASE)}


def metrics_of(group: str, points: list[Measured]) -> list[str]:
    """What a group is judged by: with a region of interest in it and outside of it, else over the whole frame."""
    there = {name for _, values in points for name in values if name != "bpp"}
    regions = {name for name in there if name.endswith(("_roi", "_bg"))}
    steered = group and group != "alpha=1"
    return in_order(regions if steered and regions else there - regions)


def standings(
    anchor: AnchorCurve, validation: Validation, name: str, settings: Settings | None = None
) -> list[Standing]:
    """How each group stands in each of its metrics; ``name`` is what to call the run in reasons."""
    found = []
    for group, points in validation.groups.items():
        for metric in metrics_of(group, points):
            theirs, ours = _curve(anchor.points, metric), _curve(points, metric)
            if anchor.reason or not theirs:
                bd = BdRate(None, anchor.reason or f"{anchor.name} has no {axis(metric).title}")
            else:
                bd = bd_rate(theirs, ours, metric, settings, (anchor.name, name))
            gains = []
            for label, values in points:
                if theirs and metric in values and values["bpp"] > 0:
                    gain = gain_at_rate(theirs, (values["bpp"], values[metric]), metric, anchor.name)
                    gains.append((label, gain.difference, gain.reason))
            found.append(Standing(group, metric, bd, gains))
    return found


def _curve(points: list[Measured], metric: str) -> list[tuple[float, float]]:
    return [(values["bpp"], values[metric]) for _, values in points if metric in values and "bpp" in values]
