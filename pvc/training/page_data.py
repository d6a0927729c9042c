"""The numbers behind a run's page, as JSON-able lists; ``page.js`` draws them."""

import math
import re
from collections.abc import Sequence
from statistics import fmean
from typing import Any

from pvc.metrics.axes import axis, in_order
from pvc.training.page_live import AnchorCurve, Measured, Standing, base_layer, metrics_of, standings
from pvc.training.page_log import Log, Series, Validation, validations

MOST_POINTS = 1000
"""Of a curve; longer ones are means over neighbours."""
MOST_VALIDATIONS = 5
"""Shown in the rate-distortion plot at first: the newest, and others evenly spread."""

_TITLES = {"loss": "Loss", "psnr": "PSNR (dB)", "grad_norm": "Norm of the gradient", "mse": "Squared error"}
_NEWEST, _EARLIER, _ANCHOR = "#e8590c", ("#0b6bcb", "#3486d9", "#5a9de2", "#84b6ea", "#a9ccf0"), "#98a2b3"
_LOG_FROM = 20  # largest over smallest value from which a curve starts on a logarithmic axis


def lines(log: Log) -> list[dict[str, Any]]:
    """The charts over steps: ``title``, whether it starts ``log``arithmic, ``series`` of ``name`` and ``points``."""
    own = {name.removeprefix("train/"): s for name, s in log.columns.items() if name.startswith("train/")}
    rates = sorted(name for name in own if name == "bpp" or name.startswith("bpp_"))
    learning = sorted(name for name in log.columns if name.startswith("lr-") or name == "lr")
    charts = [_chart(_TITLES["loss"], {"loss": own["loss"]})] if "loss" in own else []
    if rates:
        charts.append(_chart("Rate (bits per pixel, estimated)", {_part(name): own[name] for name in rates}))
    if "psnr" in own:
        charts.append(_chart(_TITLES["psnr"], {"psnr": own["psnr"]}))
    if learning:
        series = {name: log.columns[name] for name in learning}
        charts.append(_chart("Learning rate", series, smooth=False, wide=False))
    rest = [name for name in own if name not in ("loss", "psnr", "grad_norm", "skipped", *rates)]
    for name in (["grad_norm"] if "grad_norm" in own else []) + sorted(rest):
        charts.append(_chart(_TITLES.get(name, name.replace("_", " ").capitalize()), {name: own[name]}))
    return charts


def _part(name: str) -> str:
    return "all" if name == "bpp" else name.removeprefix("bpp_")


def _chart(title: str, series: dict[str, Series], smooth: bool = True, wide: bool | None = None) -> dict[str, Any]:
    values = [abs(v) for points in series.values() for _, v in points]
    wide = min(values) > 0 and max(values) / min(values) > _LOG_FROM if wide is None else wide
    named = [{"name": name, "points": thinned(points)} for name, points in series.items()]
    return {"title": title, "log": wide, "smooth": smooth, "series": named}


def thinned(series: Series, most: int = MOST_POINTS) -> list[list[float]]:
    """At most ``most`` points [step, value]: means over neighbours, at the last one's step."""
    size = math.ceil(len(series) / most)
    parts = (series[i : i + size] for i in range(0, len(series), size))
    return [[part[-1][0], _rounded(fmean(v for _, v in part))] for part in parts]


def comparison(log: Log, anchor: AnchorCurve, name: str) -> dict[str, Any] | None:
    """All validations against the anchor; None where there was none.

    Returns:
        ``anchor``; ``rd`` for the plot; ``bd`` and ``gains``, charts over steps; ``latest``: the newest validation's
        step, and for each group the numbers or reasons.
    """
    found = []
    for validation in validations(log):
        base, whole = base_layer(validation)
        found.append((base or anchor, whole))
    if not found:
        return None
    judged = [(v.step, standings(a, v, name)) for a, v in found]
    newest_anchor, newest = found[-1]
    return {
        "anchor": newest_anchor.name,
        "base": base_layer(validations(log)[-1])[0] is not None,
        "reason": newest_anchor.reason,
        "rd": _rd(newest_anchor, [v for _, v in found]),
        "bd": _history([(step, _label(s), s.bd.percent) for step, all_of in judged for s in all_of]),
        "gains": _history(
            [
                (step, f"{_label(s)}, {label}", gain)
                for step, all_of in judged
                for s in all_of
                if axis(s.metric).unit == "dB"
                for label, gain, _ in s.gains
            ]
        ),
        "latest": {"step": newest.step, "standings": [_standing(s) for s in judged[-1][1]], "groups": _tables(newest)},
    }


def _label(standing: Standing) -> str:
    """``PSNR``, or ``ROI PSNR at alpha 26.5``."""
    title = axis(standing.metric).title
    return f"{title} at {group_title(standing.group)}" if standing.group else title


def group_title(group: str) -> str:
    """``alpha=26.5`` as it is read."""
    return group.replace("=", " ").replace(",", ", ") or "all points"


def _history(points: list[tuple[int, str, float | None]]) -> list[dict[str, Any]]:
    """Curves over steps by name; those without a value are left out."""
    found: dict[str, list[list[float]]] = {}
    for step, name, value in points:
        if value is not None:
            found.setdefault(name, []).append([step, round(value, 3)])
    return [{"name": name, "points": series} for name, series in found.items()]


def _standing(s: Standing) -> dict[str, Any]:
    gains = [{"label": label, "gain": gain, "reason": reason} for label, gain, reason in s.gains]
    unit = axis(s.metric).unit
    return {"name": _label(s), "percent": s.bd.percent, "reason": s.bd.reason, "gains": gains, "unit": unit}


def _tables(validation: Validation) -> list[dict[str, Any]]:
    """The newest numbers as they are: title of the group, heads, and lines."""
    tables = []
    for group, points in validation.groups.items():
        names = in_order({name for _, values in points for name in values} - {"bpp"})
        heads = ["point", "bpp (estimated)", *(axis(name).title for name in names)]
        rows = [[label, *(_number(values.get(name)) for name in ("bpp", *names))] for label, values in points]
        tables.append({"title": group_title(group), "heads": heads, "lines": rows})
    return tables


def _number(value: float | None) -> str:
    return "n/a" if value is None else f"{value:.4f}" if abs(value) < 10 else f"{value:.2f}"


def _rd(anchor: AnchorCurve, found: Sequence[Validation]) -> dict[str, Any]:
    """The rate-distortion plot, as ``rd_chart.js`` takes it: a panel for each group, a curve for each validation."""
    size = len(found)
    most = min(size, MOST_VALIDATIONS)
    shown = {size - 1 - round(i * (size - 1) / max(most - 1, 1)) for i in range(most)}
    kept = [v for i, v in enumerate(found) if i in shown]
    curves = [{"name": anchor.name, "shown": True, "color": _ANCHOR, "marker": "s", "linestyle": "--"}]
    for v, color in zip(kept, [*_EARLIER[: len(kept) - 1][::-1], _NEWEST], strict=True):
        curves.append({"name": f"step {v.step}", "shown": True, "color": color, "marker": "o", "linestyle": "-"})
    panels, metrics = [], set()
    for group in found[-1].groups:
        by_metric: dict[str, list] = {}
        for metric in metrics_of(group, found[-1].groups[group]):
            every = [anchor.points, *(v.groups.get(group, []) for v in kept)]
            drawn = [[i, points] for i, own in enumerate(every) if (points := _points(own, metric))]
            if drawn:
                by_metric[metric] = drawn
        metrics |= by_metric.keys()
        panels.append({"name": group_title(group), "curves": by_metric})
    return {
        "metrics": {
            m: {"title": axis(m).title, "label": axis(m).label, "up": axis(m).higher_is_better}
            for m in in_order(metrics)
        },
        "curves": curves,
        "panels": panels,
    }


def _points(points: list[Measured], metric: str) -> list[list]:
    there = [(label, v["bpp"], v[metric]) for label, v in points if metric in v and v.get("bpp", 0) > 0]
    scale = axis(metric).scale
    return sorted(
        [_rounded(rate), None, _rounded(value), _rounded(scale(value)), label] for label, rate, value in there
    )


def _rounded(value: float) -> float:
    return float(f"{value:.5g}")


_PICTURE = re.compile(r"step=(\d+)\.png")


def picture_steps(names: Sequence[str], most: int = 6) -> list[int]:
    """Of which steps pictures are shown: the first, the newest, and others evenly spread."""
    steps = sorted(int(m[1]) for name in names if (m := _PICTURE.fullmatch(name)))
    most = min(most, len(steps))
    return [steps[round(i * (len(steps) - 1) / max(most - 1, 1))] for i in range(most)]
