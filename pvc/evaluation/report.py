"""``report.html``: tables, plots, side-by-side frames and every number, in one file that needs nothing else."""

import base64
from collections.abc import Sequence
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined

from pvc import __version__
from pvc.evaluation import tables
from pvc.evaluation.axes import axis, in_order
from pvc.evaluation.bd_rate import Settings
from pvc.evaluation.comparison import MEAN, Row
from pvc.evaluation.curves import curve_keys
from pvc.evaluation.records import Record, point_label
from pvc.evaluation.sidebyside import scenes


def write(
    records: Sequence[Record],
    rows: Sequence[Row],
    plots: Sequence[Path],
    anchors: Sequence[str],
    baseline: str,
    settings: Settings,
    out: Path,
    notes: Sequence[str] = (),
) -> Path:
    """Write ``out/report.html`` and return its path. ``notes`` are things that a reader of the numbers should know."""
    environment = Environment(
        loader=PackageLoader("pvc.evaluation", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    blocks = tables.blocks(rows)
    html = environment.get_template("report.html.j2").render(
        version=__version__,
        facts=_facts(records, anchors, baseline),
        settings=str(settings),
        means=[b for b in blocks if b.sequence == MEAN],
        details=[b for b in blocks if b.sequence != MEAN],
        cell=tables.cell,
        tone=tables.tone,
        reasons=lambda block: list(tables.reasons(block)),
        axis=axis,
        plots=[(p.stem, _png(p)) for p in plots],
        scenes=scenes(records, anchors[0], out),
        numbers=_numbers(records),
        options={r.codec: r.meta.get("made_by", {}).get("codec", {}) for r in records},
        notes=[*notes, *_metric_notes(records)],
    )
    path = out / "report.html"
    path.write_text(html)
    return path


def _facts(records: Sequence[Record], anchors: Sequence[str], baseline: str) -> list[tuple[str, str]]:
    """What was run, as pairs of heading and text."""
    datasets = dict.fromkeys(r.dataset for r in records)
    sequences = dict.fromkeys((r.dataset, r.sequence) for r in records)
    lengths = sorted({r.frames for r in records})
    frames = f"{lengths[0]}" if len(lengths) == 1 else f"{lengths[0]} to {lengths[-1]}"
    facts = [
        ("data", ", ".join(datasets)),
        ("sequences", str(len(sequences))),
        ("frames each", frames),
        ("GOP", ", ".join(f"{g}" for g in sorted({r.gop for r in records}))),
        ("codecs", ", ".join(dict.fromkeys(k.codec for k in curve_keys(records)))),
        ("anchor", ", ".join(anchors)),
    ]
    return facts if baseline in anchors else [*facts, ("baseline", baseline)]


def _metric_notes(records: Sequence[Record]) -> list[str]:
    """Notes and missing metrics of the records, each said once with the sequences that it is about."""
    found: dict[str, list[str]] = {}
    for r in records:
        for kind in ("notes", "unavailable"):
            for metric, text in r.meta.get(kind, {}).items():
                found.setdefault(f"{axis(metric).title}: {text}", []).append(r.sequence)
    return [f"{text} ({', '.join(dict.fromkeys(names))})" for text, names in found.items()]


def _numbers(records: Sequence[Record]) -> list[tuple[str, list[str], list[list[str]]]]:
    """Every record of every sequence: (sequence, column heads, lines)."""
    out = []
    keys = curve_keys(records)
    for dataset, sequence in dict.fromkeys((r.dataset, r.sequence) for r in records):
        own = [r for r in records if (r.dataset, r.sequence) == (dataset, sequence)]
        own.sort(key=lambda r: (keys.index((r.codec, r.u_alpha)), r.bpp))
        metrics = in_order({m for r in own for m in r.metrics})
        heads = ["codec", "point", "bytes", "bpp", "kbit/s", *(axis(m).title for m in metrics), "encode s", "decode s"]
        lines = [
            [
                r.codec,
                point_label(r.point),
                f"{r.bits // 8}",
                f"{r.bpp:.4f}",
                f"{r.kbps:.1f}",
                *(_value(r, m) for m in metrics),
                f"{r.encode_seconds:.2f}",
                f"{r.decode_seconds:.2f}",
            ]
            for r in own
        ]
        out.append((f"{dataset} / {sequence}", heads, lines))
    return out


def _value(record: Record, metric: str) -> str:
    if metric not in record.metrics:
        return "n/a"
    return f"{record.metrics[metric]:.4f}" if metric == "ms_ssim" else f"{record.metrics[metric]:.2f}"


def _png(path: Path) -> str:
    return f"data:image/png;base64,{base64.b64encode(path.read_bytes()).decode()}"
