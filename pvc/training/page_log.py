"""What a run has logged so far, read back from the CSV files of all its parts."""

import csv
import math
import re
from dataclasses import dataclass, field
from pathlib import Path

Series = list[tuple[int, float]]
"""(steps that were done, value), by step."""


@dataclass
class Log:
    """Columns of ``logs/version_*/metrics.csv``: of each logged name the finite values.

    Of steps that were done again after a resume the last time counts.
    """

    columns: dict[str, Series] = field(default_factory=dict)


def read_log(folder: Path) -> Log:
    """The log of the run whose ``version_N`` folders are in ``folder``."""
    merged: dict[str, dict[int, float]] = {}
    for file in sorted(folder.glob("version_*/metrics.csv"), key=lambda p: int(p.parent.name.split("_")[1])):
        if columns := _read(file):
            start = min(series[0][0] for series in columns.values())
            # A validation at the step of the checkpoint may be done again, beside what that step itself logged before.
            merged = {name: {s: v for s, v in series.items() if s <= start} for name, series in merged.items()}
            for name, series in columns.items():
                merged.setdefault(name, {}).update(series)
    return Log({name: sorted(series.items()) for name, series in merged.items() if series})


def _read(file: Path) -> dict[str, Series]:
    text = file.read_text()
    whole = text[: text.rfind("\n") + 1]  # a kill may have come in the middle of a line
    lines = csv.reader(whole.splitlines())
    heads = next(lines, [])
    if "step" not in heads:
        return {}
    at, columns = heads.index("step"), {name: [] for name in heads if name not in ("step", "epoch")}
    for line in lines:
        step = int(float(line[at])) + 1  # Lightning counts from 0
        for name, cell in zip(heads, line, strict=False):
            if cell and name in columns and math.isfinite(value := float(cell)):
                columns[name].append((step, value))
    return {name: sorted(series) for name, series in columns.items() if series}


@dataclass
class Validation:
    """One validation: for each group of points (``"alpha=1"``; empty without alpha) its points, by rate parameter.

    A point is its label (``"beta 0.0001"``) and its values (``bpp``, ``psnr``, ...).
    """

    step: int
    groups: dict[str, list[tuple[str, dict[str, float]]]]


_POINT = re.compile(r"val/((?:\w+=[^/=]+/)+)(\w+)")


def validations(log: Log) -> list[Validation]:
    """All validations, by step; other columns of validation than those of points are no part of them."""
    found: dict[int, dict[str, dict[float, tuple[str, dict[str, float]]]]] = {}
    for name, series in log.columns.items():
        if not (match := _POINT.fullmatch(name)):
            continue
        parameters = dict(part.split("=") for part in match[1].strip("/").split("/"))
        rate, value = next(iter(parameters.items()))
        group = ",".join(f"{k}={v}" for k, v in parameters.items() if k != rate)
        for step, number in series:
            points = found.setdefault(step, {}).setdefault(group, {})
            points.setdefault(float(value), (f"{rate} {value}", {}))[1][match[2]] = number
    return [
        Validation(step, {group: _by_rate(points) for group, points in sorted(groups.items())})
        for step, groups in sorted(found.items())
    ]


def _by_rate(points: dict[float, tuple[str, dict[str, float]]]) -> list[tuple[str, dict[str, float]]]:
    """The points by their rate parameter; those whose rate is not finite are left out."""
    return [points[value] for value in sorted(points) if "bpp" in points[value][1]]
