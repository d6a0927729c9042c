"""BD-rate rows of every codec against anchors: by sequence, and the mean over sequences."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from pvc.errors import ConfigError
from pvc.evaluation.axes import in_order
from pvc.evaluation.bd_rate import Settings, bd_rate
from pvc.evaluation.curves import CurveKey, curve_keys, points, without_roi
from pvc.evaluation.records import Record

MEAN = "mean"


@dataclass(frozen=True)
class Row:
    """One BD-rate.

    Attributes:
        sequence: A sequence's name, or ``"mean"``: the mean of the sequences' BD-rates (not that of mean curves).
        anchor: Codec compared with, at u_alpha = 1 where it has one.
        u_alpha: ROI parameter of ``codec``, None where it has none.
        bd_rate: Percent; None where there is no number, and then ``reason`` says why. A mean over some of the sequences
            has both.
        overlap: Share of the shorter curve's quality range that both curves cover.
        sequences, sequences_with_number: Of the mean, how many there are and how many it is over.
    """

    dataset: str
    sequence: str
    metric: str
    anchor: str
    codec: str
    u_alpha: float | None
    bd_rate: float | None
    reason: str | None = None
    overlap: float | None = None
    sequences: int = 1
    sequences_with_number: int = 1

    @property
    def key(self) -> CurveKey:
        """The curve that is compared."""
        return CurveKey(self.codec, self.u_alpha)


def compare(records: Sequence[Record], anchors: Iterable[str], settings: Settings | None = None) -> list[Row]:
    """Rows for every dataset, anchor, curve, metric and sequence, each group followed by its mean.

    Raises:
        ConfigError: an anchor is not among the records.
    """
    rows, anchors = [], list(dict.fromkeys(anchors))
    for dataset in dict.fromkeys(r.dataset for r in records):
        own = [r for r in records if r.dataset == dataset]
        keys, sequences = curve_keys(own), list(dict.fromkeys(r.sequence for r in own))
        metrics = in_order({m for r in own for m in (*r.metrics, *r.meta.get("unavailable", {}))})
        for anchor in anchors:
            anchor_key = without_roi(anchor, keys)
            if anchor_key is None:
                have = ", ".join(dict.fromkeys(k.codec for k in keys))
                raise ConfigError(
                    f"there are no results of {anchor} (without ROI) on {dataset} to compare with; have {have}"
                )
            for key in (k for k in keys if k != anchor_key):
                for metric in metrics:
                    group = [_row(own, dataset, s, metric, anchor_key, key, settings) for s in sequences]
                    rows += [*group, _mean(group)]
    return rows


def _row(
    records: list[Record],
    dataset: str,
    sequence: str,
    metric: str,
    anchor: CurveKey,
    key: CurveKey,
    settings: Settings | None,
) -> Row:
    curves = [points(records, k, sequence, metric) for k in (anchor, key)]
    for k, curve in zip((anchor, key), curves, strict=True):
        if not curve:
            reason = _why_empty(records, k, sequence, metric)
            return Row(dataset, sequence, metric, anchor.codec, *key, None, reason, sequences_with_number=0)
    result = bd_rate(*curves, metric, settings, (anchor.label, key.label))
    return Row(
        dataset,
        sequence,
        metric,
        anchor.codec,
        *key,
        result.percent,
        result.reason,
        result.overlap,
        sequences_with_number=int(result.percent is not None),
    )


def _why_empty(records: list[Record], key: CurveKey, sequence: str, metric: str) -> str:
    own = [r for r in records if (r.codec, r.u_alpha) == key and r.sequence == sequence]
    if not own:
        return f"{key.label} was not run on it"
    return f"{metric} has no value: " + own[0].meta.get("unavailable", {}).get(metric, "it was not measured")


def _mean(group: list[Row]) -> Row:
    first, numbers = group[0], [r.bd_rate for r in group if r.bd_rate is not None]
    without = [r.sequence for r in group if r.bd_rate is None]
    reason = None
    if without:
        reason = f"no number on {len(without)} of {len(group)} sequences ({', '.join(without)})"
    return Row(
        first.dataset,
        MEAN,
        first.metric,
        first.anchor,
        *first.key,
        sum(numbers) / len(numbers) if numbers else None,
        reason,
        sequences=len(group),
        sequences_with_number=len(numbers),
    )
