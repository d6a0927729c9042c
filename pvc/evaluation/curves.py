"""Rate-distortion curves out of records: one for each codec and u_alpha."""

from collections.abc import Iterable, Sequence
from statistics import fmean
from typing import NamedTuple

from pvc.codecs import Point
from pvc.evaluation.records import Failure, Record
from pvc.importance import u_from_alpha

PUBLISHED = " (published)"
"""What the name of a codec ends in whose numbers come from a publication."""


class CurveKey(NamedTuple):
    """Whose curve it is. ``u_alpha`` is None for a codec without ROI parameter."""

    codec: str
    u_alpha: float | None

    @property
    def label(self) -> str:
        """Codec with its u_alpha, where it has one other than 1."""
        return f"{self.codec}, u_alpha {self.u_alpha:g}" if self.has_roi else self.codec

    @property
    def has_roi(self) -> bool:
        """Whether the codec was given maps."""
        return self.u_alpha not in (None, 1)

    @property
    def published(self) -> bool:
        """Whether the curve comes from a publication."""
        return self.codec.endswith(PUBLISHED)


def curve_of(codec: str, point: Point) -> CurveKey:
    """The curve that an operating point of a codec lies on. One whose I-frames are told otherwise is another codec."""
    alpha = point.get("alpha")
    if "iframe_beta" in point:
        codec = f"{codec}, I-frames at {point['iframe_beta']:g} beta"
    if "iframe_alpha" in point:
        codec = f"{codec}, I-frames at alpha {point['iframe_alpha']:g}"
    return CurveKey(codec, None if alpha is None else round(u_from_alpha(alpha), 6))


def key_of(job: Record | Failure) -> CurveKey:
    """The curve that a job, finished or failed, is a point of."""
    return curve_of(job.codec, job.point)


def curve_keys(jobs: Iterable[Record | Failure]) -> list[CurveKey]:
    """All curves: codecs in the order of the jobs, u_alpha from 1 (no ROI) downwards."""
    keys = dict.fromkeys(map(key_of, jobs))
    codecs = list(dict.fromkeys(key.codec for key in keys))
    return sorted(keys, key=lambda k: (codecs.index(k.codec), -(1.0 if k.u_alpha is None else k.u_alpha)))


def twins(records: Sequence[Record]) -> dict[CurveKey, CurveKey]:
    """Curves with the very same rates and scores as one before them, and which one: an encoder that can take maps and
    got none writes the bits of the one that cannot."""
    points: dict[CurveKey, list[tuple]] = {key: [] for key in curve_keys(records)}
    for r in records:
        points[key_of(r)].append((r.dataset, r.sequence, r.bpp, *sorted(r.metrics.items())))
    first: dict[frozenset, CurveKey] = {}
    found = {key: first.setdefault(frozenset(own), key) for key, own in points.items()}
    return {key: other for key, other in found.items() if other != key}


def without_roi(codec: str, keys: Iterable[CurveKey]) -> CurveKey | None:
    """The curve of ``codec`` without ROI (u_alpha = 1, or no such parameter), else the published one of that name."""
    own = [key for name in (codec, codec + PUBLISHED) for key in keys if key.codec == name]
    return next((key for key in own if not key.has_roi), None)


def pairs(anchor: str, keys: Sequence[CurveKey]) -> list[tuple[CurveKey, CurveKey]]:
    """(curve of the codec ``anchor``, curve that is compared with it): all there are in a comparison.

    The anchor without ROI is compared with every other curve; its curves with ROI are with those of other codecs at the
    same u_alpha.
    """
    plain = without_roi(anchor, keys)
    found = [(plain, key) for key in keys if plain is not None and key != plain]
    steered = [key for key in keys if key.codec == anchor and key.has_roi]
    return found + [(own, key) for own in steered for key in keys if key.codec != anchor and key.u_alpha == own.u_alpha]


def points(records: Iterable[Record], key: CurveKey, sequence: str, metric: str) -> list[tuple[float, float]]:
    """(bits per pixel, value) of one curve on one sequence, by rate; points without that metric are left out."""
    return mean_points(records, key, [sequence], metric)


def mean_points(
    records: Iterable[Record], key: CurveKey, sequences: Sequence[str], metric: str, rate: str = "bpp"
) -> list[tuple[float, float]]:
    """(rate, value) of each operating point averaged over ``sequences``; points that any of them lacks are left out.

    ``rate`` is the field of a record that is averaged, ``"bpp"`` or ``"kbps"``.
    """
    full = [rs for rs in by_point(records, key, sequences, metric) if len(rs) == len(sequences)]
    return sorted((fmean(getattr(r, rate) for r in rs), fmean(r.metrics[metric] for r in rs)) for rs in full)


def mean_title(sequences: int, absent: Sequence[str], between: str = " ") -> str:
    """Title of a plot of means, which names the curves that it lacks: no point of them is of all sequences."""
    names = ", ".join(absent) if len(absent) < 3 else f"{len(absent)} curves"
    return f"mean of {sequences} sequences" + (f"{between}(without {names}: not run on all)" if absent else "")


def points_not_everywhere(
    records: Iterable[Record], key: CurveKey, sequences: Sequence[str], metric: str
) -> list[dict[str, float]]:
    """The operating points that :func:`mean_points` leaves out."""
    return [rs[0].point for rs in by_point(records, key, sequences, metric) if len(rs) < len(sequences)]


def by_point(records: Iterable[Record], key: CurveKey, sequences: Sequence[str], metric: str) -> list[list[Record]]:
    """The records of each operating point that have the metric, at most one a sequence."""
    found: dict[tuple, dict[str, Record]] = {}
    for r in records:
        if r.sequence in sequences and metric in r.metrics and key_of(r) == key:
            found.setdefault(tuple(sorted(r.point.items())), {})[r.sequence] = r
    return [list(by_sequence.values()) for by_sequence in found.values()]
