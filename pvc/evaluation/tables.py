"""BD-rate rows as files (JSON, CSV, Markdown, LaTeX) and on the console."""

import csv
import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from rich.console import Console
from rich.table import Table

from pvc.evaluation.axes import axis
from pvc.evaluation.bd_rate import Settings
from pvc.evaluation.comparison import MEAN, Row


@dataclass
class Block:
    """The rows of one dataset, anchor and sequence: a line for each codec and u_alpha, a column for each metric."""

    dataset: str
    anchor: str
    sequence: str
    metrics: list[str]
    lines: list[tuple[str, list[Row]]]

    @property
    def title(self) -> str:
        """What the table shows."""
        if self.sequence != MEAN:
            return f"{self.dataset} / {self.sequence}: BD-rate in % against {self.anchor}"
        count = self.lines[0][1][0].sequences
        over = "one sequence" if count == 1 else f"{count} sequences"
        return f"{self.dataset}, mean of the BD-rates of {over}: BD-rate in % against {self.anchor}"


def blocks(rows: Sequence[Row]) -> list[Block]:
    """Rows as tables, means first."""
    groups: dict[tuple[str, str, str], list[Row]] = {}
    for row in sorted(rows, key=lambda r: r.sequence != MEAN):
        groups.setdefault((row.dataset, row.anchor, row.sequence), []).append(row)
    out = []
    for (dataset, anchor, sequence), group in groups.items():
        metrics = list(dict.fromkeys(r.metric for r in group))
        keys = list(dict.fromkeys(r.key for r in group))
        lines = [(k.label, [r for m in metrics for r in group if r.key == k and r.metric == m]) for k in keys]
        out.append(Block(dataset, anchor, sequence, metrics, lines))
    return out


def cell(row: Row) -> str:
    """A number with sign, "n/a" for none; a mean over some of the sequences says over how many."""
    if row.bd_rate is None:
        return "n/a"
    partial = row.sequence == MEAN and row.sequences_with_number < row.sequences
    number = f"{row.bd_rate:+.1f}" if abs(row.bd_rate) >= 0.05 else "0.0"
    return number + (f" ({row.sequences_with_number} of {row.sequences})" if partial else "")


def tone(row: Row) -> str:
    """``good`` for fewer bits than the anchor, ``bad`` for more, ``none`` where there is no number or no difference."""
    if row.bd_rate is None or abs(row.bd_rate) < 0.05:
        return "none"
    return "good" if row.bd_rate < 0 else "bad"


def reasons(block: Block) -> Iterator[str]:
    """A line for each number that is missing, or is a mean over some of the sequences."""
    for label, line in block.lines:
        for row in line:
            if row.reason:
                yield f"{label}, {axis(row.metric).title}: {row.reason}"


def write(rows: Sequence[Row], out: Path, settings: Settings) -> None:
    """Write ``bd_rate.json``, ``.csv``, ``.md`` and ``.tex`` to ``out``."""
    out.mkdir(parents=True, exist_ok=True)
    (out / "bd_rate.json").write_text(json.dumps([asdict(r) for r in rows], indent=1, allow_nan=False) + "\n")
    with (out / "bd_rate.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, [f.name for f in fields(Row)])
        writer.writeheader()
        writer.writerows(asdict(r) for r in rows)
    (out / "bd_rate.md").write_text("\n".join(_markdown(rows, settings)) + "\n")
    (out / "bd_rate.tex").write_text("\n".join(_latex(rows, settings)) + "\n")


def _markdown(rows: Sequence[Row], settings: Settings) -> Iterator[str]:
    yield f"{settings}. Negative: fewer bits than the anchor at equal quality."
    for block in blocks(rows):
        yield from ("", f"**{block.title}**", "")
        yield "| codec | " + " | ".join(axis(m).title for m in block.metrics) + " |"
        yield "|---|" + "---:|" * len(block.metrics)
        for label, line in block.lines:
            yield f"| {label} | " + " | ".join(map(cell, line)) + " |"
        missing = list(reasons(block))
        if missing:
            yield ""
            yield from (f"- {reason}" for reason in missing)


def _latex(rows: Sequence[Row], settings: Settings) -> Iterator[str]:
    yield f"% {settings}. Needs \\usepackage{{booktabs}}."
    for block in blocks(rows):
        yield from ("\\begin{table}", "\\centering", f"\\caption{{{_escape(block.title)}.}}")
        yield "\\begin{tabular}{l" + "r" * len(block.metrics) + "}"
        yield "\\toprule"
        yield "codec & " + " & ".join(_escape(axis(m).title) for m in block.metrics) + " \\\\"
        yield "\\midrule"
        for label, line in block.lines:
            yield f"{_escape(label)} & " + " & ".join(cell(r).replace("-", "$-$") for r in line) + " \\\\"
        yield from ("\\bottomrule", "\\end{tabular}")
        yield from (f"% {reason}" for reason in reasons(block))
        yield from ("\\end{table}", "")


def _escape(text: str) -> str:
    """Text with LaTeX's special characters escaped; ``u_alpha`` as a symbol."""
    for char in "&%$#_{}":
        text = text.replace(char, "\\" + char)
    return text.replace("u\\_alpha", "$u_\\alpha$")


def show(rows: Sequence[Row], console: Console | None = None) -> None:
    """Print the means (and the reasons behind missing numbers) on the console."""
    console = console or Console()
    for block in blocks(rows):
        if block.sequence != MEAN:
            continue
        table = Table(title=block.title, title_justify="left", title_style="bold")
        table.add_column("codec")
        for metric in block.metrics:
            table.add_column(axis(metric).title, justify="right")
        for label, line in block.lines:
            table.add_row(label, *map(_coloured, line))
        console.print(table)
        for reason in reasons(block):
            console.print(f"  {reason}", style="dim", markup=False, highlight=False)


def _coloured(row: Row) -> str:
    colour = {"good": "green", "bad": "red", "none": "dim"}[tone(row)]
    return f"[{colour}]{cell(row)}[/]"
