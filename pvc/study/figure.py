"""The figure of a study: after figure 4 of the annotation paper, and strengths of more than two codecs."""

import math
from pathlib import Path

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator, PercentFormatter

from pvc.evaluation import style
from pvc.study.intervals import Interval
from pvc.study.result import Comparison, Result

AHEAD, BEHIND, OPEN, WHOLE = "#4a92dd", "#f08a4b", "#b6bfcb", "#7d879a"
FORMATS = ("png", "svg", "pdf")
_RC = style.RC | {"svg.fonttype": "none", "svg.hashsalt": "pvc", "pdf.fonttype": 42}


def preference(result: Result, out: Path) -> list[Path]:
    """``preference.png``, ``.svg`` and ``.pdf``: a panel a codec; returns their paths.

    A bar is the fraction of participants who preferred the codec on a video, with its 95 % interval. Blue is above one
    half beyond the interval, orange below it, grey neither.
    """
    count = max(len(one.videos) for one in result.comparisons)
    with rc_context(_RC):
        figure, panels = style.new(len(result.comparisons), 1, max(4.6, 1.6 + 0.62 * (count + 2)), 3.7)
        for axes, one in zip(panels, result.comparisons):
            _bars(axes, one)
        about = f"{len(result.counted)} participants, 95 % intervals ({_METHOD[result.method]})"
        figure.text(0.01, 0.012, f"{result.study.title}: {about}", fontsize=8, color=style.FAINT)
        figure.get_layout_engine().set(rect=(0, 0.05, 1, 0.95))
        return _save(figure, out, "preference")


_METHOD = {"wilson": "Wilson", "normal": "normal approximation"}


def _bars(axes: Axes, one: Comparison) -> None:
    videos = sorted(one.videos, key=lambda f: (-f.value, f.video))
    for x, found in enumerate(videos):
        _bar(axes, x, found.value, found.interval, _colour(found.interval))
    names, places = [f.video for f in videos], list(range(len(videos)))
    if one.overall is not None:
        x = len(videos) + 0.6
        axes.axvline(x - 0.8, color=style.GRID, linewidth=1.2)
        _bar(axes, x, one.overall.fraction, one.overall.interval, WHOLE)
        names.append("all")
        places.append(x)
    axes.axhline(0.5, color=style.INK, linewidth=1, linestyle=(0, (4, 3)), zorder=2)
    axes.annotate("chance", (1, 0.5), xycoords=("axes fraction", "data"), xytext=(4, 0), textcoords="offset points",
                  va="center", fontsize=8, color=style.FAINT)  # fmt: skip
    axes.set_xlim(-0.7, places[-1] + 0.7)
    axes.set_ylim(0, 1)
    tilted = max(map(len, names)) > 8
    axes.set_xticks(places, names, rotation=32 if tilted else 0, ha="right" if tilted else "center",
                    rotation_mode="anchor" if tilted else "default")  # fmt: skip
    axes.grid(visible=False, axis="x")
    axes.tick_params(axis="x", length=0)
    axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    axes.set_ylabel("share of participants")
    axes.set_title(f"{one.codec} preferred to {one.baseline}")


def _bar(axes: Axes, x: float, value: float, interval: Interval, colour: str) -> None:
    axes.bar(x, value, 0.66, color=colour, zorder=1, linewidth=0)
    errors = [[value - interval[0]], [interval[1] - value]]
    axes.errorbar(x, value, errors, fmt="none", ecolor=style.INK, elinewidth=1.3,
                  capsize=3.5, capthick=1.3, zorder=3)  # fmt: skip


def _colour(interval: Interval) -> str:
    return AHEAD if interval[0] > 0.5 else BEHIND if interval[1] < 0.5 else OPEN


def strengths(result: Result, out: Path) -> list[Path]:
    """``strengths.png``, ``.svg`` and ``.pdf``: Bradley-Terry odds against the baseline; none without strengths."""
    if result.strengths is None:
        return []
    found = result.strengths.strengths[::-1]
    with rc_context(_RC):
        figure, (axes,) = style.new(1, 1, 6.4, 0.5 + 0.42 * len(found))
        for y, one in enumerate(found):
            colour = style.INK
            if one.interval is not None:
                low, high = map(math.exp, one.interval)
                colour = AHEAD if low > 1 else BEHIND if high < 1 else "#667085"
                axes.plot([low, high], [y, y], color=colour, linewidth=2)
            axes.plot(one.odds, y, "o" if one.interval else "D", color=colour, markersize=6)
        axes.axvline(1, color=style.INK, linewidth=1, linestyle=(0, (4, 3)), zorder=1)
        axes.set_yticks(range(len(found)), [one.codec for one in found])
        axes.set_ylim(-0.6, len(found) - 0.4)
        axes.set_xscale("log")
        low, high = axes.get_xlim()
        ticks = [t for t in (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100, 1000) if low <= t <= high]
        axes.xaxis.set_major_locator(FixedLocator(ticks))
        axes.xaxis.set_minor_locator(NullLocator())
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axes.grid(visible=False, axis="y")
        axes.tick_params(axis="y", length=0)
        axes.set_xlabel(f"odds of being preferred to {result.study.baseline} (Bradley-Terry, 95 % intervals)")
        return _save(figure, out, "strengths")


def _save(figure, out: Path, name: str) -> list[Path]:
    paths = [out / f"{name}.{suffix}" for suffix in FORMATS]
    for path in paths:
        # Nothing that changes from day to day: the same answers give the same files.
        dated = {"svg": {"Date": None}, "pdf": {"CreationDate": None}, "png": {}}[path.suffix[1:]]
        figure.savefig(path, metadata=dated)
    return paths
