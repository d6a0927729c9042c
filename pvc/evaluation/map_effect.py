"""What a map does at equal settings: size and quality with it, against the same codec without one.

The comparison of Alizada, "Saliency-guided video codec pre-processing", 2022, section 5 and figures 4 to 8, for every
codec that takes maps. It says what changes, not whether it pays: a codec without map at a lower rate is smaller and
worse, too. The BD-rates weigh one against the other.
"""

import csv
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

from matplotlib import rc_context

from pvc.evaluation import style
from pvc.evaluation.comparison import MEAN
from pvc.evaluation.curves import CurveKey, curve_keys, key_of
from pvc.evaluation.records import Record, has_roi, point_label
from pvc.metrics.axes import axis, in_order

SIZE = "size"
"""Kilobytes (1000 bytes) of the stream, in the place of a metric."""
_MOST_PANELS = 4
_COLUMNS = ("dataset", "sequence", "codec", "u_alpha", "point", "reference", "metric", "without", "with", "percent")


@dataclass(frozen=True)
class Effect:
    """One value without and with a map.

    Attributes:
        sequence: A sequence's name, or ``"mean"``: of the values of all that have both.
        key: The curve with a map. at: Its operating point but for alpha.
        reference: Name of the codec without map: the same one, or one of the same options.
        metric: A metric, or ``"size"``.
    """

    dataset: str
    sequence: str
    key: CurveKey
    at: str
    reference: str
    metric: str
    without: float
    with_map: float

    @property
    def percent(self) -> float:
        """Change of the value, in % of that without map (of means: of the mean, as in the paper)."""
        return 100 * (self.with_map / self.without - 1) if self.without else float("nan")


def effects(records: Sequence[Record]) -> list[Effect]:
    """Size and every metric of each job with a map beside those of the same job without, with their means.

    The job without is one of the same codec at alpha = 1, else of a codec all of whose options are among this one's
    (``x264`` for ``x264-roi`` and ``x264-blur``). Jobs that have none are left out.
    """
    plain: dict[tuple, list[Record]] = {}
    for r in records:
        if not has_roi(r.point):
            plain.setdefault((r.dataset, r.sequence, _at(r)), []).append(r)
    found: dict[tuple, list[Effect]] = {}
    for r in filter(lambda r: has_roi(r.point), records):
        others = plain.get((r.dataset, r.sequence, _at(r)), [])
        other = next((o for o in sorted(others, key=lambda o: o.codec != r.codec) if _same_options(o, r)), None)
        if other is not None:
            shared = [m for m in r.metrics if m in other.metrics]
            pairs = {SIZE: (other.bits / 8000, r.bits / 8000)} | {m: (other.metrics[m], r.metrics[m]) for m in shared}
            for metric, pair in pairs.items():
                effect = Effect(r.dataset, r.sequence, key_of(r), _at(r), other.codec, metric, *pair)
                found.setdefault((r.dataset, effect.key, effect.at, effect.reference, metric), []).append(effect)
    out = []
    for (dataset, *rest), group in found.items():
        means = fmean(e.without for e in group), fmean(e.with_map for e in group)
        out += [*group, Effect(dataset, MEAN, *rest, *means)]
    return out


def _at(record: Record) -> str:
    return point_label({k: v for k, v in record.point.items() if k != "alpha"})


def _same_options(plain: Record, record: Record) -> bool:
    options, own = (r.meta.get("made_by", {}).get("codec", {}) for r in (plain, record))
    return plain.codec == record.codec or (bool(options) and all(own.get(k) == v for k, v in options.items()))


def write(records: Sequence[Record], out: Path) -> list[Effect]:
    """Write ``map_effect.csv``, ``.md`` and ``.png`` to ``out``; nothing where no job with a map has one without."""
    found = effects(records)
    if found:
        keys = curve_keys(records)
        found.sort(key=lambda e: keys.index(e.key))
        _csv(found, out / "map_effect.csv")
        (out / "map_effect.md").write_text("\n".join(_markdown(found)) + "\n")
        with rc_context(style.RC):
            _figure(found, keys, out / "map_effect.png")
    return found


def _csv(found: Sequence[Effect], path: Path) -> None:
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(_COLUMNS)
        for e in found:
            head = (e.dataset, e.sequence, *e.key, e.at, e.reference, e.metric)
            writer.writerow([*head, *(f"{v:.6g}" for v in (e.without, e.with_map, e.percent))])


def _markdown(found: Sequence[Effect]) -> Iterator[str]:
    yield "Means over sequences with a map, at the same settings as without one, and their change in %. Smaller and"
    yield "worse is what a lower rate gives, too: [bd_rate.md](bd_rate.md) weighs one against the other."
    means = [e for e in found if e.sequence == MEAN]
    metrics = [SIZE, *in_order({e.metric for e in means} - {SIZE})]
    for dataset, at in dict.fromkeys((e.dataset, e.at) for e in means):
        own = [e for e in means if (e.dataset, e.at) == (dataset, at)]
        count = len({e.sequence for e in found if (e.dataset, e.at) == (dataset, at)} - {MEAN})
        yield from ("", f"**{dataset}, mean of {count} sequences, {at}**", "")
        yield f"| codec | {' | '.join(map(_head, metrics))} |"
        yield "|---|" + "---:|" * len(metrics)
        for reference in dict.fromkeys(e.reference for e in own):
            values = {e.metric: e.without for e in own if e.reference == reference}
            yield f"| {reference} without map | {' | '.join(_value(m, values.get(m)) for m in metrics)} |"
            for key in dict.fromkeys(e.key for e in own if e.reference == reference):
                cells = {e.metric: f"{_value(e.metric, e.with_map)} ({e.percent:+.2f} %)" for e in own if e.key == key}
                yield f"| {key.label} | {' | '.join(cells.get(m, 'n/a') for m in metrics)} |"


def _head(metric: str) -> str:
    return "size (kB)" if metric == SIZE else axis(metric).title + (" (dB)" if _is_db(metric) else "")


def _is_db(metric: str) -> bool:
    return axis(metric).unit == "dB" and axis(metric).scale is float


def _value(metric: str, value: float | None) -> str:
    if value is None:
        return "n/a"
    return f"{value:.1f}" if metric == SIZE else f"{value:.2f}" if abs(value) >= 1.5 else f"{value:.4f}"


def _figure(found: Sequence[Effect], keys: Sequence[CurveKey], path: Path) -> None:
    """Sizes as bars and metrics of the whole frame as markers, a group a clip, at the middle one of the settings."""
    points = list(dict.fromkeys(e.at for e in found))
    counts = {at: sum(e.at == at for e in found) for at in points}
    most = [at for at in points if counts[at] == max(counts.values())]
    at = most[len(most) // 2]
    shown = [e for e in found if e.at == at and e.sequence != MEAN]
    clips = list(dict.fromkeys((e.dataset, e.sequence) for e in shown))
    curves = {key: look for key, look in style.looks(keys).items() if any(e.key == key for e in shown)}
    whole = [m for m in in_order({e.metric for e in shown} - {SIZE}) if not m.endswith(("_roi", "_bg"))]
    metrics = [SIZE, *whole[: _MOST_PANELS - 1]]
    wide = min(15, 5 + 1.2 * len(clips))
    figure, grid = style.new(len(metrics), 1, wide, 2.3)
    width = 0.8 / (len(curves) + 1)
    for axes, metric in zip(grid, metrics, strict=True):
        own = {(e.dataset, e.sequence, e.key): e for e in shown if e.metric == metric}
        without = {(e.dataset, e.sequence): e.without for e in own.values()}
        lines = [("without map", style.FAINT, "s", without)]
        for key, look in curves.items():
            values = {clip: own[*clip, key].with_map for clip in clips if (*clip, key) in own}
            lines.append((style.label(key), look["color"], look["marker"], values))
        for i, (label, colour, marker, values) in enumerate(lines):
            x = [clips.index(clip) + (i - len(curves) / 2) * width for clip in values]
            if metric == SIZE:
                axes.bar(x, values.values(), width, color=colour, label=label)
            else:
                axes.plot(x, values.values(), marker, color=colour, label=label, markersize=4.5)
        axes.set_xticks(range(len(clips)), [name for _, name in clips], fontsize=8.5)
        axes.set_xlim(-0.5, len(clips) - 0.5)
        axes.set_title(_head(metric))
    style.legend_below(figure, grid[0], columns=max(2, round(wide / 2.3)))
    figure.suptitle(f"With maps and without at {at}", x=0.01, ha="left", fontsize=11.5)
    figure.savefig(path)
