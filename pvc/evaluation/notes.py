"""What a reader of the numbers should know: missing metrics, failed jobs, where published curves come from."""

from collections.abc import Iterable, Sequence

from pvc.evaluation.axes import axis
from pvc.evaluation.published import Published, per_pixel
from pvc.evaluation.records import Failure, Record


def collect(records: Sequence[Record], published: Sequence[Published], failures: Sequence[Failure]) -> list[str]:
    """All notes, each thing said once."""
    return [*_metrics(records), *_failed(failures), *_published(records, published)]


def _metrics(records: Sequence[Record]) -> list[str]:
    """Notes and missing metrics of the records, each with the metrics and the sequences that it is about."""
    found: dict[str, tuple[dict[str, None], dict[str, None]]] = {}
    for r in records:
        for kind in ("unavailable", "notes"):
            for metric, text in r.meta.get(kind, {}).items():
                metrics, sequences = found.setdefault(text, ({}, {}))
                metrics[axis(metric).title] = sequences[r.sequence] = None
    every = {r.sequence for r in records}
    return [f"{', '.join(ms)}: {text} ({_named(ss, every)})" for text, (ms, ss) in found.items()]


def _failed(failures: Sequence[Failure]) -> list[str]:
    found: dict[tuple[str, str], list[Failure]] = {}
    for f in failures:
        found.setdefault((f.codec, f.reason), []).append(f)
    return [
        f"{codec} failed in {len(jobs)} job{'s' * (len(jobs) > 1)} "
        f"({', '.join(dict.fromkeys(f.sequence for f in jobs))}): {reason}"
        for (codec, reason), jobs in found.items()
    ]


def _published(records: Sequence[Record], published: Sequence[Published]) -> list[str]:
    """Source of each published curve, and what it cannot be used for."""
    notes, datasets = [], {r.dataset.casefold() for r in records}
    for curve in published:
        text = f"{curve.key.codec}, {curve.dataset}: {curve.source}"
        if datasets and curve.dataset.casefold() not in datasets:
            text += "; there are no results on a data set of that name to compare with"
        elif datasets and per_pixel(curve, records) is None:
            text += "; in kbit/s, and not drawn over bits per pixel: the sequences differ in size or frame rate"
        notes.append(text)
    return notes


def _named(names: Iterable[str], every: set[str]) -> str:
    names = list(names)
    return "all sequences" if len(names) == len(every) > 1 else ", ".join(names)
