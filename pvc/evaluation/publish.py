"""From records to everything that is looked at: tables, plots and the report."""

from collections.abc import Sequence
from pathlib import Path

from pvc.errors import ConfigError
from pvc.evaluation import crop_views, map_effect, plots, report, tables
from pvc.evaluation import notes as said
from pvc.evaluation.comparison import Row, compare
from pvc.evaluation.crops import CropSettings, crop_rows
from pvc.evaluation.curves import curve_keys
from pvc.evaluation.published import load_all_published
from pvc.evaluation.records import Failure, Record
from pvc.metrics.bd_rate import Settings


def publish(
    records: Sequence[Record],
    out: Path,
    anchors: Sequence[str],
    baseline: str | None = None,
    settings: Settings | None = None,
    notes: Sequence[str] = (),
    *,
    failures: Sequence[Failure] = (),
    published: Sequence[str | Path] = (),
    pictures: Sequence[Path] | None = None,
    crops: CropSettings | None = None,
) -> list[Row]:
    """Write ``bd_rate.*``, ``map_effect.*``, ``rd_<metric>.png``, ``roi_tradeoff.png`` and ``report.html`` to ``out``.

    With ``crops`` also ``crops_SEQUENCE.png``.

    Args:
        records: All results to show.
        out: Folder to write to.
        anchors: Codecs to compare with in the tables.
        baseline: Codec that the trade-off plot is relative to (the paper's SSF); None is the first anchor. The tables
            compare with it, too.
        settings: How BD-rates are computed.
        notes: What a reader of the numbers should know.
        failures: Jobs without a record; tables and report give their reasons.
        published: JSON files of published curves, or folders of them (:mod:`pvc.evaluation.published`).
        pictures: Folders of runs whose ``frames`` the report shows; None is ``out``.
        crops: Which crops are shown enlarged; None for none.

    Returns:
        The rows of the tables.

    Raises:
        ConfigError: an anchor or the baseline is not among the records, a published file is not as it should be, or
            crops are to be taken from where there is no picture.
    """
    if not anchors:
        raise ConfigError("anchor is empty; name a codec to compare with, e.g. anchor=x265")
    settings, baseline = settings or Settings(), baseline or anchors[0]
    curves = load_all_published(published)
    rows = compare(records, [*anchors, baseline], settings, curves, failures)
    notes = [*notes, *said.collect(records, curves, failures)]
    tables.write(rows, out, settings, notes)
    map_effect.write(records, out)
    plots.rate_distortion(records, out, curves)
    tradeoff = plots.tradeoff(rows, baseline, curve_keys(records), out)
    if tradeoff is None:
        notes.append(f"no trade-off plot: no codec has both a ROI and a background BD-rate against {baseline}")
    elif missing := plots.missing_from_tradeoff(rows, baseline):
        notes.append(f"not in the trade-off plot: {'; '.join(missing)}: the tables against {baseline} say why")
    folders = [out] if pictures is None else pictures
    rows_of_crops = [] if crops is None else list(crop_rows(records, anchors[0], folders, crops))
    crop_views.draw(rows_of_crops, out)
    report.write(
        records,
        rows,
        out,
        anchors=anchors,
        baseline=baseline,
        settings=settings,
        tradeoff=tradeoff,
        pictures=folders,
        crops=rows_of_crops,
        published=curves,
        failures=failures,
        notes=notes,
    )
    return rows
