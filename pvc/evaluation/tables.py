"""BD-rate and BD-quality rows as files (JSON, CSV, Markdown, LaTeX) and on the console."""

import csv
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from pvc.evaluation.comparison import MEAN, MEAN_CURVE, Row
from pvc.evaluation.curves import CurveKey
from pvc.metrics.axes import axis
from pvc.metrics.bd_rate import Settings

READING = (
    "BD-rate: bits more (+) or less (-) than the anchor at equal quality. "
    "BD-quality: difference of quality at equal rate, up or down arrow: whether more or less is better. "
    "Bold: the best of a column, among the numbers that cover all sequences."
)

FLOATS = 16
"""Tables of a LaTeX file from one ``\\clearpage`` to the next: more than 18 at a time stop some versions of it."""


@dataclass(frozen=True)
class Cell:
    """One number of a table.

    Attributes:
        text: With sign, "n/a" for none; a mean over some of the sequences says over how many.
        tone: ``good`` for better than the anchor, ``bad`` for worse, ``none`` for neither or no number.
        best: Whether it is the best of its column.
    """

    text: str
    tone: str
    best: bool = False


@dataclass
class Block:
    """The rows of one dataset, anchor and sequence: a line for each codec and u_alpha, a column for each metric.

    ``metrics`` are those with any number, of ``rows`` of all: a column without one is only a reason.

    It shows BD-quality where ``quality`` is true, else BD-rate. ``anchor`` is the codec compared with, without ROI, or
    ``NAME at the same u_alpha``: then each line is against the anchor's curve at the line's own u_alpha. ``same`` are
    curves without a line, as they are the anchor's own; those that are each other's share one.
    """

    dataset: str
    anchor: str
    sequence: str
    metrics: list[str]
    rows: list[tuple[str, list[Row]]]
    quality: bool = False
    same: Sequence[str] = ()

    @property
    def over(self) -> str:
        """Which sequences it is about, and how they were put together."""
        if self.sequence not in (MEAN, MEAN_CURVE):
            return self.sequence
        count = max(row.sequences for _, line in self.rows for row in line)
        over = {0: "published means", 1: "one sequence"}.get(count, f"{count} sequences")
        if self.sequence == MEAN:
            return f"mean of the {'BD-qualities' if self.quality else 'BD-rates'} of {over}"
        return f"on mean curves over {over}" if count else "on published mean curves"

    @property
    def title(self) -> str:
        """What the table shows."""
        what = "BD-quality at equal rate" if self.quality else "BD-rate in %"
        between = " / " if self.sequence not in (MEAN, MEAN_CURVE) else ", "
        return f"{self.dataset}{between}{self.over}: {what} against {self.anchor}"

    @property
    def heads(self) -> list[str]:
        """Title of each column; of BD-quality with unit and direction."""
        if not self.quality:
            return [axis(m).title for m in self.metrics]
        return [f"{axis(m).label} {'↑' if axis(m).higher_is_better else '↓'}" for m in self.metrics]

    @property
    def lines(self) -> list[tuple[str, list[Cell]]]:
        """The lines as they are shown: label and cells."""
        columns = [
            _column([row for _, line in self.rows for row in line if row.metric == metric], metric, self.quality)
            for metric in self.metrics
        ]
        return [(label, list(cells)) for (label, _), cells in zip(self.rows, zip(*columns, strict=True), strict=True)]

    @property
    def reasons(self) -> list[str]:
        """A line for each reason why numbers are missing or do not cover everything, with those that it is about."""
        found: dict[str, dict[str, list[str]]] = {}
        for label, line in self.rows:
            for row in line:
                if reason := row.quality_reason if self.quality else row.reason:
                    found.setdefault(reason, {}).setdefault(label, []).append(axis(row.metric).title)
        lines = [f"{', '.join(self.same)}: the very bits of {self.anchor}"] if self.same else []
        for reason, metrics_of in found.items():
            metrics = list(dict.fromkeys(m for own in metrics_of.values() for m in own))
            whose = ["" if len(metrics_of) == len(self.rows) > 1 else _several(metrics_of, len(self.rows))]
            whose.append("" if len(metrics) == len({row.metric for row in self.rows[0][1]}) else ", ".join(metrics))
            lines.append(": ".join(filter(None, [", ".join(filter(None, whose)), reason])))
        return lines


def _several(labels: Iterable[str], of: int) -> str:
    """Up to three names, or how many there are."""
    labels = list(labels)
    return ", ".join(labels) if len(labels) <= 3 else f"{len(labels)} of {of} curves"


def blocks(rows: Sequence[Row]) -> list[Block]:
    """Rows as tables of BD-rate, each followed by that of BD-quality: by dataset and anchor, means first.

    Mean curves of a single sequence are left out: they are that sequence's curves. So are metrics without any value in
    the data set; the notes say why they have none. An anchor that is another one under a second name has no tables.
    """
    order = {MEAN: 0, MEAN_CURVE: 1}
    groups: dict[tuple[str, str], dict[str, list[Row]]] = {}
    plain = {(r.dataset, r.anchor) for r in rows if not r.at_same_u_alpha}
    shown = (r for r in rows if r.measured and (r.at_same_u_alpha or (r.dataset, r.anchor_same_as) not in plain))
    for row in sorted(shown, key=lambda r: order.get(r.sequence, 2)):
        anchor = f"{row.anchor} at the same u_alpha" if row.at_same_u_alpha else row.anchor
        groups.setdefault((row.dataset, anchor), {}).setdefault(row.sequence, []).append(row)
    out = []
    for (dataset, anchor), by_sequence in groups.items():
        for sequence, group in by_sequence.items():
            alone = sequence == MEAN_CURVE and group[0].sequences == 1 and MEAN in by_sequence
            if alone and not any(r.key.published for r in group):
                continue
            lines, same = _folded(group)
            for quality in (False, True):
                metrics = _with_numbers([row for _, own in lines for row in own], quality)
                out.append(Block(dataset, anchor, sequence, metrics, lines, quality, same))
    return out


def _with_numbers(rows: Sequence[Row], quality: bool) -> list[str]:
    """The metrics that have any number in a table; all where none has one."""
    every = dict.fromkeys(r.metric for r in rows)
    numbers = {r.metric for r in rows if (r.bd_quality if quality else r.bd_rate) is not None}
    return [metric for metric in every if metric in numbers] or list(every)


def _folded(group: Sequence[Row]) -> tuple[list[tuple[str, list[Row]]], list[str]]:
    """A line (label and rows) for each curve of a table, and the curves that are the anchor's own.

    Curves that are each other's share a line. Where all are the anchor's own, each has a line.
    """
    names: dict[str, list[str]] = {}
    same = []
    for key, row in {r.key: r for r in group}.items():
        if row.same_as is not None and row.same_as == CurveKey(row.anchor, row.anchor_u_alpha).label:
            same.append(key.label)
        else:
            names.setdefault(row.same_as if row.same_as in names else key.label, []).append(key.label)
    if not names:
        names, same = {label: [label] for label in same}, []
    rows = {label: [r for r in group if r.key.label == label] for label in names}
    return [(", ".join(names[label]), own) for label, own in rows.items()], same


def decimals(metric: str, values: Iterable[float]) -> int:
    """How many a column of a metric's values needs: 2, or 4 where all lie below 1 and are no decibels (LPIPS, KID)."""
    return 2 if axis(metric).unit == "dB" or any(abs(v) >= 1 for v in values) else 4


def _column(rows: list[Row], metric: str, quality: bool) -> list[Cell]:
    """The cells of one metric. The best number is marked where there are two or more that cover all sequences.

    Only numbers against the same curve compete.
    """
    numbers = [r.bd_quality if quality else r.bd_rate for r in rows]
    counts = [r.sequences_with_quality if quality else r.sequences_with_number for r in rows]
    digits = decimals(metric, (n for n in numbers if n is not None)) if quality else 1
    sign = 1 if quality and axis(metric).higher_is_better else -1
    rounded = [None if n is None else round(n, digits) for n in numbers]
    whole: dict[float | None, list[float]] = {}
    for number, count, row in zip(rounded, counts, rows, strict=True):
        if number is not None and count == row.sequences:
            whole.setdefault(row.anchor_u_alpha, []).append(sign * number)
    best = {u_alpha: sign * max(own) for u_alpha, own in whole.items() if len(own) > 1}
    cells = []
    for number, count, row in zip(rounded, counts, rows, strict=True):
        if number is None:
            cells.append(Cell("n/a", "none"))
            continue
        partly = count < row.sequences
        text = f"{number:+.{digits}f}" if number else f"{0:.{digits}f}"
        if partly:
            text += f" ({count} of {row.sequences})"
        tone = "none" if not number else "good" if sign * number > 0 else "bad"
        cells.append(Cell(text, tone, best=number == best.get(row.anchor_u_alpha) and not partly))
    return cells


def write(rows: Sequence[Row], out: Path, settings: Settings, notes: Sequence[str] = ()) -> None:
    """Write ``bd_rate.json``, ``.csv``, ``.md`` and ``.tex`` to ``out``; the last two with ``notes``."""
    out.mkdir(parents=True, exist_ok=True)
    (out / "bd_rate.json").write_text(json.dumps([asdict(r) for r in rows], indent=1, allow_nan=False) + "\n")
    with (out / "bd_rate.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, [f.name for f in fields(Row)])
        writer.writeheader()
        writer.writerows(asdict(r) for r in rows)
    (out / "bd_rate.md").write_text("\n".join(_markdown(rows, settings, notes)) + "\n")
    (out / "bd_rate.tex").write_text("\n".join(_latex(rows, settings, notes)) + "\n")


def _markdown(rows: Sequence[Row], settings: Settings, notes: Sequence[str]) -> Iterator[str]:
    yield f"{settings}. {READING}"
    for block in blocks(rows):
        yield from ("", f"**{block.title}**", "")
        yield "| codec | " + " | ".join(block.heads) + " |"
        yield "|---|" + "---:|" * len(block.metrics)
        for label, line in block.lines:
            yield f"| {label} | " + " | ".join(f"**{c.text}**" if c.best else c.text for c in line) + " |"
        if block.reasons:
            yield ""
            yield from (f"- {reason}" for reason in block.reasons)
    if notes:
        yield from ("", "**Notes**", "")
        yield from (f"- {note}" for note in notes)


def _latex(rows: Sequence[Row], settings: Settings, notes: Sequence[str]) -> Iterator[str]:
    yield "% Needs \\usepackage{booktabs}."
    yield from (f"% {_one_line(text)}" for text in (f"{settings}. {READING}", *notes))
    for number, block in enumerate(blocks(rows)):
        if number and number % FLOATS == 0:
            yield "\\clearpage"
        yield from ("", "\\begin{table}", "\\centering", f"\\caption{{{_escape(_caption(block))}}}")
        yield "\\begin{tabular}{l" + "r" * len(block.metrics) + "}"
        yield "\\toprule"
        yield "codec & " + " & ".join(map(_escape, block.heads)) + " \\\\"
        yield "\\midrule"
        for label, line in block.lines:
            yield f"{_escape(label)} & " + " & ".join(map(_latex_cell, line)) + " \\\\"
        yield from ("\\bottomrule", "\\end{tabular}")
        yield from (f"% {_one_line(reason)}" for reason in block.reasons)
        yield "\\end{table}"


def _caption(block: Block) -> str:
    """The table's caption: data set, anchor, what is shown and how it is read."""
    if block.quality:
        return f"{block.title}. Arrows: direction of better; best in bold."
    return f"{block.title}. Negative: fewer bits at equal quality; best in bold."


def _latex_cell(cell: Cell) -> str:
    text = cell.text.replace("-", "$-$")
    return f"\\textbf{{{text}}}" if cell.best else text


_LATEX = {
    "\\": "\\textbackslash{}",
    "~": "\\textasciitilde{}",
    "^": "\\textasciicircum{}",
    "<": "\\textless{}",
    ">": "\\textgreater{}",
    "↑": "$\\uparrow$",
    "↓": "$\\downarrow$",
    **{char: "\\" + char for char in "&%$#_{}"},
}


def _escape(text: str) -> str:
    """Text with LaTeX's special characters escaped; ``u_alpha`` as a symbol."""
    return "".join(_LATEX.get(char, char) for char in text).replace("u\\_alpha", "$u_\\alpha$")


def _one_line(text: str) -> str:
    return " ".join(text.split())


def show(rows: Sequence[Row], console: Console | None = None) -> None:
    """Print the tables of means and of mean curves (with the reasons behind missing numbers) on the console."""
    console = console or Console()
    for block in blocks(rows):
        if block.sequence not in (MEAN, MEAN_CURVE):
            continue
        table = Table()
        table.add_column("codec")
        for head in block.heads:
            table.add_column(head, justify="right")
        for label, line in block.lines:
            table.add_row(Text(label), *map(_coloured, line))
        console.print(f"\n{block.title}", style="bold", markup=False, highlight=False, soft_wrap=True)
        before, needed = console.width, console.measure(table, options=console.options.update(max_width=1000)).maximum
        console.width = max(before, needed)  # a number that is cut off is worth nothing
        console.print(table, crop=False)
        console.width = before
        for reason in block.reasons:
            console.print(f"  {reason}", style="dim", markup=False, highlight=False, soft_wrap=True)


def _coloured(cell: Cell) -> Text:
    colour = {"good": "green", "bad": "red", "none": "dim"}[cell.tone]
    return Text(cell.text, style=f"bold {colour}" if cell.best else colour)
