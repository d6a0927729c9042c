"""From records to everything that is looked at: tables, plots and the report."""

from collections.abc import Sequence
from pathlib import Path

from pvc.errors import ConfigError
from pvc.evaluation import plots, report, tables
from pvc.evaluation.bd_rate import Settings
from pvc.evaluation.comparison import Row, compare
from pvc.evaluation.curves import curve_keys
from pvc.evaluation.records import Record


def publish(
    records: Sequence[Record],
    out: Path,
    anchors: Sequence[str],
    baseline: str | None = None,
    settings: Settings | None = None,
    notes: Sequence[str] = (),
) -> list[Row]:
    """Write ``bd_rate.*``, ``rd_<metric>.png``, ``roi_tradeoff.png`` and ``report.html`` to ``out``.

    Args:
        records: All results to show.
        out: Folder to write to; the report shows the pictures in its ``frames`` folder, where there is one.
        anchors: Codecs to compare with in the tables.
        baseline: Codec that the trade-off plot is relative to (the paper's SSF); None is the first anchor. The tables
            compare with it, too.
        settings: How BD-rates are computed.
        notes: What a reader of the numbers should know.

    Returns:
        The rows of the tables.

    Raises:
        ConfigError: an anchor or the baseline is not among the records.
    """
    if not anchors:
        raise ConfigError("anchor is empty; name a codec to compare with, e.g. anchor=x265")
    settings, baseline, notes = settings or Settings(), baseline or anchors[0], list(notes)
    rows = compare(records, [*anchors, baseline], settings)
    tables.write(rows, out, settings)
    drawn = plots.rate_distortion(records, out)
    tradeoff = plots.tradeoff(rows, baseline, curve_keys(records), out)
    if tradeoff is None:
        notes.append(f"no trade-off plot: no codec has both a ROI and a background BD-rate against {baseline}")
    elif missing := plots.missing_from_tradeoff(rows, baseline):
        notes.append(f"not in the trade-off plot: {'; '.join(missing)}: the tables against {baseline} say why")
    report.write(records, rows, [p for p in (*drawn, tradeoff) if p], anchors, baseline, settings, out, notes)
    return rows
