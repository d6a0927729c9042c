"""``pvc table``: the results of any number of runs, and published curves, in one set of tables."""

from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from pvc.errors import ConfigError
from pvc.evaluation import notes, tables
from pvc.evaluation.comparison import compare
from pvc.evaluation.crops import CropSettings
from pvc.evaluation.published import load_all_published
from pvc.evaluation.records import Failure, Record, job_key, load_failures, load_runs
from pvc.metrics.bd_rate import Settings


def table(
    folders: Sequence[str],
    anchors: Sequence[str],
    *,
    baseline: str | None = None,
    published: Sequence[str] = (),
    out: str | None = None,
    settings: Settings | None = None,
    crops: str | None = None,
) -> None:
    """Print the tables of all runs together; with ``out`` also write what ``pvc eval`` writes, report included.

    Args:
        folders: Folders that ``pvc eval`` wrote, or folders with such folders anywhere below (a sweep).
        anchors: Codecs to compare with.
        baseline: Codec of the trade-off plot; None is the first anchor.
        published: JSON files of published curves, or folders of them.
        out: Folder to write to.
        settings: How the numbers are computed.
        crops: Metric by whose largest gain enlarged crops are taken for ``out``; None for none.

    Raises:
        ConfigError: a folder holds no results, runs do not compare, or an anchor is not among the curves.
    """
    if not folders and not published:
        raise ConfigError("there is nothing to show; give folders that pvc eval wrote, or --published FILE")
    if crops is not None and out is None:
        raise ConfigError(f"--crops {crops} makes pictures; say by --out DIR where they go")
    settings, taken = settings or Settings(), CropSettings.of(None if crops is None else {"metric": [crops]})
    runs = list(dict.fromkeys(run for folder in folders for run in runs_in(folder)))
    records = load_runs(runs)
    failures = unfinished(runs, records)
    curves = load_all_published(published)
    if out is None:
        rows = compare(records, [*anchors, *([baseline] if baseline else [])], settings, curves, failures)
    else:
        from pvc.evaluation.publish import publish  # draws plots: a second more to import

        more = {"failures": failures, "published": published, "pictures": runs, "crops": taken}
        rows = publish(records, Path(out), anchors, baseline, settings, **more)
    console = Console(soft_wrap=True, highlight=False)
    console.print(f"{settings}. {tables.READING}", markup=False)
    tables.show(rows)
    for note in notes.collect(records, curves, failures):
        console.print(note, markup=False)
    if out is not None:
        console.print(f"{Path(out) / 'report.html'}", markup=False)


def runs_in(folder: str | Path) -> list[Path]:
    """The folder itself if it is a run's, else those of all runs below it.

    Raises:
        ConfigError: there is none.
    """
    folder = Path(folder)
    if (folder / "results.jsonl").exists():
        return [folder]
    below = sorted(path.parent for path in folder.glob("**/results.jsonl"))
    if not below:
        raise ConfigError(
            f"{folder} holds no results.jsonl, nor does a folder below; give a folder that pvc eval wrote"
        )
    return below


def unfinished(runs: Sequence[Path], records: Sequence[Record]) -> list[Failure]:
    """The failed jobs of all runs, each once, without those that another run finished."""
    done = {record.job for record in records}
    failed = {job_key(f.codec, f.point, f.dataset, f.sequence): f for run in runs for f in load_failures(run)}
    return [failure for key, failure in failed.items() if key not in done]
