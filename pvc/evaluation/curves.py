"""Rate-distortion curves out of records: one for each codec and u_alpha."""

from collections.abc import Iterable
from typing import NamedTuple

from pvc.evaluation.records import Record


class CurveKey(NamedTuple):
    """Whose curve it is. ``u_alpha`` is None for a codec without ROI parameter."""

    codec: str
    u_alpha: float | None

    @property
    def label(self) -> str:
        """Codec with its u_alpha, where it has one other than 1."""
        return self.codec if self.u_alpha in (None, 1) else f"{self.codec}, u_alpha {self.u_alpha:g}"


def curve_keys(records: Iterable[Record]) -> list[CurveKey]:
    """All curves: codecs in the order of the records, u_alpha from 1 (no ROI) downwards."""
    keys = dict.fromkeys(CurveKey(r.codec, r.u_alpha) for r in records)
    codecs = list(dict.fromkeys(key.codec for key in keys))
    return sorted(keys, key=lambda k: (codecs.index(k.codec), -(1.0 if k.u_alpha is None else k.u_alpha)))


def without_roi(codec: str, keys: Iterable[CurveKey]) -> CurveKey | None:
    """The curve of ``codec`` without ROI (u_alpha = 1, or no such parameter); None where there is none."""
    own = [key for key in keys if key.codec == codec]
    return next((key for key in own if key.u_alpha in (None, 1)), None)


def points(records: Iterable[Record], key: CurveKey, sequence: str, metric: str) -> list[tuple[float, float]]:
    """(bits per pixel, value) of one curve on one sequence, by rate; points without that metric are left out."""
    return sorted(
        (r.bpp, r.metrics[metric])
        for r in records
        if (r.codec, r.u_alpha) == key and r.sequence == sequence and metric in r.metrics
    )


def mean_points(
    records: Iterable[Record], key: CurveKey, sequences: list[str], metric: str
) -> list[tuple[float, float]]:
    """(rate, value) of each operating point averaged over ``sequences``; points that any of them lacks are left out."""
    by_point: dict[tuple, dict[str, Record]] = {}
    for r in records:
        if (r.codec, r.u_alpha) == key and r.sequence in sequences and metric in r.metrics:
            by_point.setdefault(tuple(sorted(r.point.items())), {})[r.sequence] = r
    full = [list(found.values()) for found in by_point.values() if len(found) == len(sequences)]
    return sorted((_mean(r.bpp for r in rs), _mean(r.metrics[metric] for r in rs)) for rs in full)


def _mean(values: Iterable[float]) -> float:
    values = list(values)
    return sum(values) / len(values)
