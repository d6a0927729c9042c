"""Rate-distortion plots, and the trade-off between the region of interest and the background."""

import math
from collections.abc import Iterable, Sequence
from pathlib import Path

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

from pvc.evaluation import style
from pvc.evaluation.comparison import MEAN, MEAN_CURVE, Row
from pvc.evaluation.curves import CurveKey, curve_keys, mean_points, mean_title
from pvc.evaluation.published import Published, per_pixel
from pvc.evaluation.records import Record
from pvc.importance import alpha_from_u
from pvc.metrics.axes import axis, in_order

MOST_PANELS = 12


def rate_distortion(records: Sequence[Record], out: Path, published: Sequence[Published] = ()) -> list[Path]:
    """``rd_<metric>.png``, or ``rd_<dataset>_<metric>.png`` of several data sets: mean and every sequence.

    Published curves are drawn beside the means of their data set.
    """
    datasets, paths = list(dict.fromkeys(r.dataset for r in records)), []
    for dataset in datasets:
        own = [r for r in records if r.dataset == dataset]
        beside = [c for c in published if c.dataset.casefold() == dataset.casefold()]
        for metric in in_order({m for r in own for m in r.metrics}):
            path = out / (f"rd_{metric}.png" if len(datasets) == 1 else f"rd_{dataset}_{metric}.png")
            with rc_context(style.RC):
                _rd_figure(own, beside, metric, path)
            paths.append(path)
    return paths


def _rd_figure(records: list[Record], published: list[Published], metric: str, path: Path) -> None:
    sequences = list(dict.fromkeys(r.sequence for r in records if metric in r.metrics))
    looks = style.looks([*style.shown(curve_keys(records)), *(c.key for c in published)])
    means = {c.key: (per_pixel(c, records) or {}).get(metric) for c in published}
    panels = [[s] for s in sequences]
    if len(sequences) > 1:
        panels = [sequences, *panels[: MOST_PANELS - 1]]
    columns = {1: 1, 2: 2, 3: 3, 4: 2}.get(len(panels), 4 if len(panels) > 9 else 3)
    rows = math.ceil(len(panels) / columns)
    size = (6.4, 4.4) if len(panels) == 1 else (3.6, 2.9) if columns > 2 else (4.6, 3.4)
    figure, grid = style.new(rows, columns, *size)
    handles: dict[str, object] = {}
    for i, (axes, which) in enumerate(zip(grid, panels, strict=False)):
        absent = []
        for key, look in looks.items():
            curve = mean_points(records, key, which, metric) or (which == sequences and means.get(key))
            if curve:
                rates, values = zip(*curve, strict=True)
                handles[style.label(key)] = axes.plot(rates, [axis(metric).scale(v) for v in values], **look)[0]
            elif len(which) > 1 and any(mean_points(records, key, [sequence], metric) for sequence in which):
                absent.append(style.label(key))
        axes.set_title(mean_title(len(which), absent, "\n") if len(which) > 1 else which[0])
        _log_rate(axes)
        if i % columns == 0:
            axes.set_ylabel(axis(metric).label)
        if i >= len(panels) - columns:
            axes.set_xlabel("bits per pixel")
        if not axis(metric).higher_is_better:
            axes.invert_yaxis()  # better is up in every plot
    for axes in grid[len(panels) :]:
        axes.remove()
    figure.legend(handles.values(), handles.keys(), loc="outside lower center", ncols=min(5, max(1, len(handles))))
    left_out = len(sequences) + (len(sequences) > 1) - len(panels)
    note = f"; {left_out} more sequences are in the mean" if left_out else ""
    figure.suptitle(f"{axis(metric).title} over rate, {records[0].dataset}{note}", x=0.01, ha="left", fontsize=11.5)
    figure.savefig(path)


def _log_rate(axes: Axes) -> None:
    """Logarithmic rate axis (BD-rate is a distance on it) with plain numbers at 1, 2, 5."""
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))


def tradeoff_points(rows: Sequence[Row], dataset: str, baseline: str) -> dict[CurveKey, tuple[float, float, int, int]]:
    """(background, ROI) BD-rate against ``baseline`` of each curve, and over how many of how many sequences.

    Both are means over the sequences that have both numbers. Curves for which these are less than half of all are left
    out: a mean over a few other sequences would not lie where the curve goes.
    """
    found: dict[CurveKey, dict[str, dict[str, float]]] = {}
    sequences: set[str] = set()
    for row in rows:
        if (
            (row.dataset, row.anchor, row.at_same_u_alpha) == (dataset, baseline, False)
            and row.metric in ("psnr_roi", "psnr_bg")
            and row.sequence not in (MEAN, MEAN_CURVE)
        ):
            sequences.add(row.sequence)
            if row.bd_rate is not None:
                found.setdefault(row.key, {}).setdefault(row.sequence, {})[row.metric] = row.bd_rate
    out = {}
    for key, by_sequence in found.items():
        both = [pair for pair in by_sequence.values() if len(pair) == 2]
        if 2 * len(both) >= len(sequences):
            mean = [sum(pair[m] for pair in both) / len(both) for m in ("psnr_bg", "psnr_roi")]
            out[key] = (*mean, len(both), len(sequences))
    return out


def missing_from_tradeoff(rows: Sequence[Row], baseline: str) -> list[str]:
    """The curves without a point in the trade-off plot, as ``codec, u_alpha (data set)``."""
    wanted = dict.fromkeys((r.dataset, r.key) for r in rows if r.anchor == baseline and not r.key.published)
    return [f"{key.label} ({d})" for d, key in wanted if key not in tradeoff_points(rows, d, baseline)]


def tradeoff(rows: Sequence[Row], baseline: str, keys: Iterable[CurveKey], out: Path) -> Path | None:
    """``roi_tradeoff.png``, as figure 3 (right) of the spatial-control paper; None where no curve has both numbers.

    ``keys`` are all curves there are, so that a codec has the colour that it has in the rate-distortion plots. One
    point a u_alpha; the larger alpha, the larger the marker. A hollow marker is a mean over some of the sequences only.
    """
    panels = {d: p for d in dict.fromkeys(r.dataset for r in rows) if (p := tradeoff_points(rows, d, baseline))}
    if not panels:
        return None
    by_codec: dict[str, dict] = {}
    for key, look in style.looks(style.shown(keys)).items():
        by_codec.setdefault(key.codec, look)
    path = out / "roi_tradeoff.png"
    with rc_context(style.RC):
        figure, grid = style.new(1, len(panels), 6.4, 4.4)
        for axes, (dataset, found) in zip(grid, panels.items(), strict=True):
            _tradeoff_panel(axes, found, baseline, by_codec)
            counts = sorted({f"{n}" if n == m else f"{n} of {m}" for _, _, n, m in found.values()})
            axes.set_title(
                f"ROI against background, relative to {baseline}\n{dataset}, mean over {' / '.join(counts)} sequences"
                if counts != ["1"]
                else f"ROI against background, relative to {baseline}\n{dataset}, one sequence"
            )
        style.legend_below(figure, grid[0])
        figure.savefig(path)
        return path


def _tradeoff_panel(axes: Axes, found: dict[CurveKey, tuple], baseline: str, looks: dict[str, dict]) -> None:
    axes.axhline(0, color=style.FAINT, linewidth=1)
    axes.axvline(0, color=style.FAINT, linewidth=1)
    axes.plot(0, 0, marker="+", markersize=13, markeredgewidth=2, color=style.INK, linestyle="none", label=baseline)
    for codec in dict.fromkeys(key.codec for key in found):
        colour, marker = looks[codec]["color"], looks[codec]["marker"]
        own = sorted((k for k in found if k.codec == codec), key=lambda k: -(k.u_alpha or 1))
        axes.plot([found[k][0] for k in own], [found[k][1] for k in own], color=colour, linewidth=1.4, zorder=2)
        for key in own:
            x, y, count, of = found[key]
            alpha = alpha_from_u(1.0 if key.u_alpha is None else key.u_alpha)
            fill, name = "white" if count < of else colour, codec if key == own[0] else None
            size = 24 + 3.2 * alpha
            axes.scatter(
                x, y, size, marker=marker, facecolor=fill, edgecolor=colour, linewidth=1.4, zorder=3, label=name
            )
            if len(own) > 1 and (key in (own[0], own[-1]) or abs(key.u_alpha - style.PAPER_U_ALPHA) < 1e-6):
                text = f"$u_\\alpha$ = {key.u_alpha:g}"
                axes.annotate(text, (x, y), xytext=(9, 6), textcoords="offset points", fontsize=8.5, color=style.FAINT)
    axes.margins(0.18, 0.14)
    axes.set_xlabel("background BD-rate (%)")
    axes.set_ylabel("ROI BD-rate (%)")
    axes.annotate(
        "lower left is better",
        (0.99, 0.02),
        xycoords="axes fraction",
        ha="right",
        fontsize=8.5,
        color=style.FAINT,
        bbox={"facecolor": "white", "edgecolor": "none", "pad": 1.5},
    )
