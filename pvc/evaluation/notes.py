"""What a reader of the numbers should know: missing metrics, failed jobs, where published curves come from."""

from collections.abc import Iterable, Sequence

from pvc.evaluation.published import Published, per_pixel
from pvc.evaluation.records import Failure, Record
from pvc.metrics.axes import axis
from pvc.weights import missing_files


def collect(records: Sequence[Record], published: Sequence[Published], failures: Sequence[Failure]) -> list[str]:
    """All notes, each thing said once."""
    return [*_metrics(records), *_trained(records), *_failed(failures), *_published(records, published)]


def _metrics(records: Sequence[Record]) -> list[str]:
    """Notes and missing metrics of the records, each with the metrics and the sequences that it is about."""
    found: dict[str, tuple[dict[str, None], dict[str, None]]] = {}
    for r in records:
        for kind in ("unavailable", "notes"):
            for metric, text in r.meta.get(kind, {}).items():
                metrics, sequences = found.setdefault(text, ({}, {}))
                metrics[axis(metric).title] = sequences[r.sequence] = None
    every, lines = {r.sequence for r in records}, []
    lacking: dict[str, dict[str, str]] = {}  # by the place where files go: metrics and their files
    for text, (metrics, sequences) in found.items():
        if files := missing_files(text):
            where = "; ".join(dict.fromkeys(files.values()))
            lacking.setdefault(where, {})[", ".join(_of_regions(metrics))] = " and ".join(files)
        else:
            regions = all(title.startswith(("ROI ", "Background ")) for title in metrics)
            what = "ROI and background" if regions and len(metrics) > 2 else ", ".join(metrics)
            lines.append(f"{what}: {text} ({_named(sequences, every)})")
    for where, files in lacking.items():
        named = "; ".join(f"{metrics} ({names})" for metrics, names in files.items())
        lines.append(f"Not measured for want of weights: {named}. Put them into {_plural(where)}")
    return lines


def _plural(where: str) -> str:
    return where.replace("name its folder", "name their folder")


def _of_regions(titles: Iterable[str]) -> list[str]:
    """Titles without those of regions whose whole is there."""
    titles = list(titles)
    wholes = {t: t.removeprefix("ROI ").removeprefix("Background ") for t in titles}
    return [t for t, whole in wholes.items() if whole == t or whole not in wholes]


def _trained(records: Sequence[Record]) -> list[str]:
    """Which metrics look through a network that a codec's training loss looked through, too."""
    measured = dict.fromkeys(m for r in records for m in r.metrics if axis(m).network)
    codecs: dict[tuple[str, ...], dict[str, None]] = {}
    for r in records:
        if own := r.meta.get("made_by", {}).get("codec", {}).get("loss_networks"):
            codecs.setdefault(tuple(own), {})[r.codec] = None
    lines = []
    for own, names in codecs.items():
        text = f"{', '.join(names)}: trained with features of {', '.join(own)} in the loss"
        if favoured := _of_regions(axis(m).title for m in measured if axis(m).network in own):
            text += f"; the same network is behind {', '.join(favoured)}, which favours such codecs"
        others = _of_regions(axis(m).title for m in measured if axis(m).network not in own)
        apart = f"other networks are behind {', '.join(others)}" if others else "no metric here looks through another"
        lines.append(f"{text}; {apart}")
    return lines


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
