"""The numbers behind the report's interactive curves, as JSON-able lists; ``report.js`` draws them."""

from collections.abc import Iterable, Sequence
from statistics import fmean
from typing import Any

from pvc.evaluation import style
from pvc.evaluation.curves import CurveKey, by_point, curve_keys, key_of, mean_title
from pvc.evaluation.published import Published, per_pixel
from pvc.evaluation.records import Record, point_label
from pvc.metrics.axes import axis, in_order


def data(records: Sequence[Record], published: Sequence[Published] = ()) -> dict[str, Any]:
    """All curves of all sequences and their means.

    Returns:
        ``metrics``: how each is shown; ``curves``: name and look of each, and whether it is shown at first (as in the
        plots: not more than three u_alphas of a codec); ``panels``: for each sequence and data set a name and by metric
        lists of [curve, points], a point being [bits per pixel, kbit/s, value, value on the axis, label], where a rate
        that is not known is null.
    """
    own = curve_keys(records)
    first = [*style.shown(own), *(c.key for c in published)]
    looks = style.looks([*first, *(k for k in own if k not in first)])
    keys = list(dict.fromkeys([*own, *(c.key for c in published)]))
    datasets: dict[str, str] = {}
    for item in (*records, *published):
        datasets.setdefault(item.dataset.casefold(), item.dataset)
    panels = []
    for folded, dataset in datasets.items():
        ours = [r for r in records if r.dataset.casefold() == folded]
        beside = [c for c in published if c.dataset.casefold() == folded]
        panels += _panels(dataset if len(datasets) > 1 else "", ours, beside, keys)
    metrics = in_order({m for panel in panels for m in panel["curves"]})
    return {
        "metrics": {
            m: {"title": axis(m).title, "label": axis(m).label, "up": axis(m).higher_is_better} for m in metrics
        },
        "curves": [
            {"name": key.label, "shown": key in first} | {k: looks[key][k] for k in ("color", "marker", "linestyle")}
            for key in keys
        ],
        "panels": panels,
    }


def _panels(dataset: str, records: list[Record], published: list[Published], keys: list[CurveKey]) -> list[dict]:
    """The mean's panel, if there is more than one sequence or a published curve, and that of each sequence."""
    sequences = list(dict.fromkeys(r.sequence for r in records))
    panels = []
    if len(sequences) > 1 or published:
        curves = _means(records, sequences, keys)
        there = {i for metric in curves.values() for i, _ in metric} | {keys.index(c.key) for c in published}
        absent = [key.label for i, key in enumerate(keys) if i not in there]
        name = mean_title(len(sequences), absent) if sequences else "published means"
        for curve in published:
            for metric, points in _published_points(curve, records).items():
                curves.setdefault(metric, []).append([keys.index(curve.key), points])
        panels.append((name, curves))
    for sequence in sequences:
        curves = {}
        for key in keys:
            jobs = sorted((r for r in records if r.sequence == sequence and key_of(r) == key), key=lambda r: r.bpp)
            for metric in {m for r in jobs for m in r.metrics}:
                points = [
                    _point(r.bpp, r.kbps, r.metrics[metric], metric, point_label(r.point))
                    for r in jobs
                    if metric in r.metrics
                ]
                curves.setdefault(metric, []).append([keys.index(key), points])
        panels.append((sequence, curves))
    return [{"name": f"{dataset}: {name}" if dataset else name, "curves": curves} for name, curves in panels]


def _means(records: list[Record], sequences: list[str], keys: Iterable[CurveKey]) -> dict[str, list]:
    """Mean curves of each metric over the sequences that have it."""
    curves: dict[str, list] = {}
    for metric in {m for r in records for m in r.metrics}:
        over = [s for s in sequences if any(r.sequence == s and metric in r.metrics for r in records)]
        for i, key in enumerate(keys):
            points = sorted(
                _point(
                    fmean(r.bpp for r in rs),
                    fmean(r.kbps for r in rs),
                    fmean(r.metrics[metric] for r in rs),
                    metric,
                    point_label(rs[0].point),
                )
                for rs in by_point(records, key, over, metric)
                if len(rs) == len(over)
            )
            if points:
                curves.setdefault(metric, []).append([i, points])
    return curves


def _published_points(curve: Published, records: list[Record]) -> dict[str, list]:
    pixels = per_pixel(curve, records) or {}
    out = {}
    for metric, points in curve.curves.items():
        bpps = [rate for rate, _ in pixels[metric]] if pixels else [None] * len(points)
        kbps = [rate for rate, _ in points] if curve.rate == "kbps" else [None] * len(points)
        out[metric] = [
            _point(b, k, v, metric, "published mean") for b, k, (_, v) in zip(bpps, kbps, points, strict=True)
        ]
    return out


def _point(bpp: float | None, kbps: float | None, value: float, metric: str, label: str) -> list:
    rounded = [None if rate is None else float(f"{rate:.6g}") for rate in (bpp, kbps)]
    return [*rounded, float(f"{value:.6g}"), float(f"{axis(metric).scale(value):.6g}"), label]
