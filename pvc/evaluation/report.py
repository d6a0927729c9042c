"""``report.html``: tables, curves, side-by-side frames and every number, in one file that needs nothing else."""

import base64
from collections.abc import Sequence
from itertools import groupby
from pathlib import Path

from pvc.evaluation import chart, crop_views, tables
from pvc.evaluation.comparison import Row
from pvc.evaluation.crops import CropRow
from pvc.evaluation.curves import curve_keys, key_of
from pvc.evaluation.published import Published
from pvc.evaluation.records import Failure, Record, point_label
from pvc.evaluation.sidebyside import scenes
from pvc.metrics.axes import axis, in_order
from pvc.metrics.bd_rate import Settings
from pvc.page import render


def write(
    records: Sequence[Record],
    rows: Sequence[Row],
    out: Path,
    *,
    anchors: Sequence[str],
    baseline: str,
    settings: Settings,
    tradeoff: Path | None = None,
    pictures: Sequence[Path] = (),
    crops: Sequence[CropRow] = (),
    published: Sequence[Published] = (),
    failures: Sequence[Failure] = (),
    notes: Sequence[str] = (),
) -> Path:
    """Write ``out/report.html`` and return its path.

    Args:
        tradeoff: The trade-off plot, where there is one.
        pictures: Folders of runs in whose ``frames`` the decoded pictures are.
        crops: The enlarged crops of sequences.
        notes: What a reader of the numbers should know.
    """
    shown, left_out = scenes(records, anchors[0], pictures)
    crops_shown, crops_left_out = crop_views.for_report(crops)
    html = render(
        "pvc.evaluation",
        "report.html.j2",
        styles=["base.css", "report.css"],
        scripts=["svg.js", "rd_chart.js", "report.js"],
        facts=_facts(records, anchors, baseline, failures),
        settings=str(settings),
        reading=tables.READING,
        groups=_groups(rows),
        chart=chart.data(records, published),
        tradeoff=tradeoff and f"data:image/png;base64,{base64.b64encode(tradeoff.read_bytes()).decode()}",
        scenes=shown,
        left_out=left_out,
        crops=crops_shown,
        crops_left_out=crops_left_out,
        numbers=_numbers(records),
        options={r.codec: r.meta.get("made_by", {}).get("codec", {}) for r in records},
        failures=[(f, point_label(f.point)) for f in failures],
        notes=notes,
    )
    path = out / "report.html"
    path.write_text(html)
    return path


def _facts(
    records: Sequence[Record], anchors: Sequence[str], baseline: str, failures: Sequence[Failure]
) -> list[tuple[str, str]]:
    """What was run, as pairs of heading and text."""
    facts = []
    if records:
        lengths = sorted({r.frames for r in records})
        facts += [
            ("data", ", ".join(dict.fromkeys(r.dataset for r in records))),
            ("sequences", str(len({(r.dataset, r.sequence) for r in records}))),
            ("frames each", f"{lengths[0]}" if len(lengths) == 1 else f"{lengths[0]} to {lengths[-1]}"),
            ("GOP", ", ".join(f"{g}" for g in sorted({r.gop for r in records}))),
            ("codecs", ", ".join(dict.fromkeys(k.codec for k in curve_keys(records)))),
        ]
    facts.append(("anchor", ", ".join(anchors)))
    if baseline not in anchors:
        facts.append(("baseline", baseline))
    if failures:
        facts.append(("failed jobs", f"{len(failures)} of {len(failures) + len(records)}"))
    return facts


def _groups(rows: Sequence[Row]) -> list[tuple[str, str, list[tuple[str, list[tables.Block]]]]]:
    """The tables by (data set, anchor), each with its choices: name, and the tables of BD-rate and BD-quality."""
    out = []
    for (dataset, anchor), blocks in groupby(tables.blocks(rows), lambda b: (b.dataset, b.anchor)):
        choices = [(name, list(pair)) for name, pair in groupby(blocks, lambda b: b.sequence)]
        out.append((dataset, anchor, choices))
    return out


def _numbers(records: Sequence[Record]) -> list[tuple[str, list[str], list[list[str]]]]:
    """Every record of every sequence: (sequence, column heads, lines)."""
    out = []
    keys = curve_keys(records)
    for dataset, sequence in dict.fromkeys((r.dataset, r.sequence) for r in records):
        own = [r for r in records if (r.dataset, r.sequence) == (dataset, sequence)]
        own.sort(key=lambda r: (keys.index(key_of(r)), r.bpp))
        metrics = in_order({m for r in own for m in r.metrics})
        heads = ["codec", "point", "bytes", "bpp", "kbit/s", *(axis(m).title for m in metrics), "encode s", "decode s"]
        columns = [_column(own, m) for m in metrics]
        lines = [
            [
                r.codec,
                point_label(r.point),
                f"{r.bits // 8}",
                f"{r.bpp:.4f}",
                f"{r.kbps:.1f}",
                *values,
                f"{r.encode_seconds:.2f}",
                f"{r.decode_seconds:.2f}",
            ]
            for r, *values in zip(own, *columns, strict=True)
        ]
        out.append((f"{dataset} / {sequence}", heads, lines))
    return out


def _column(records: Sequence[Record], metric: str) -> list[str]:
    """The recorded values of a metric as text; similarities and distances below 1 have four decimals."""
    values = [r.metrics.get(metric) for r in records]
    digits = 4 if all(abs(v) <= 1 for v in values if v is not None) else 2
    return ["n/a" if v is None else f"{v:.{digits}f}" for v in values]
