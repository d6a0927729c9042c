"""BD-rate and BD-quality rows of every codec against anchors: by sequence, their mean, and on mean curves."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from pvc.errors import ConfigError
from pvc.evaluation.curves import (
    CurveKey,
    curve_keys,
    key_of,
    mean_points,
    pairs,
    points,
    points_not_everywhere,
    twins,
    without_roi,
)
from pvc.evaluation.published import Published
from pvc.evaluation.records import Failure, Record, point_label
from pvc.metrics.axes import in_order
from pvc.metrics.bd_rate import Curve, Settings, bd_quality, bd_rate

MEAN = "mean"
MEAN_CURVE = "mean curve"


@dataclass(frozen=True)
class Row:
    """One BD-rate and one BD-quality.

    Attributes:
        sequence: A sequence's name; ``"mean"``: the mean of the sequences' numbers; or ``"mean curve"``: one number for
            the curves whose points are averaged over sequences. Published curves have rows of the last kind only.
        anchor: Codec compared with.
        u_alpha: ROI parameter of ``codec``, None where it has none.
        anchor_u_alpha: ROI parameter of ``anchor``: None where it has none, 1 for its curve without ROI, else the same
            as ``u_alpha``.
        bd_rate: Percent; None where there is no number, and then ``reason`` says why. A number over some of the
            sequences or points has both.
        overlap: Share of the shorter curve's quality range that both curves cover.
        sequences, sequences_with_number: Of a mean, how many there are and how many it is over; both 0 between two
            published curves.
        bd_quality: Difference at equal rate in the unit and direction of the metric's axis: positive is better for
            PSNR, negative for LPIPS. None where there is no number, and then ``quality_reason`` says why.
        quality_overlap: Share of the shorter curve's log-rate range that both curves cover.
        sequences_with_quality: Of a mean, how many sequences ``bd_quality`` is over.
        measured: Whether any record of the data set has a value of the metric; else ``reason`` says why there is none.
        same_as: Label of the curve (the anchor's, or one before it) that has the very same rates and scores: tables
            show the two as one.
        anchor_same_as: Label of the curve before the anchor's that has the very same rates and scores.
    """

    dataset: str
    sequence: str
    metric: str
    anchor: str
    codec: str
    u_alpha: float | None
    anchor_u_alpha: float | None
    bd_rate: float | None
    reason: str | None = None
    overlap: float | None = None
    sequences: int = 1
    sequences_with_number: int = 1
    bd_quality: float | None = None
    quality_reason: str | None = None
    quality_overlap: float | None = None
    sequences_with_quality: int = 1
    measured: bool = True
    same_as: str | None = None
    anchor_same_as: str | None = None

    @property
    def at_same_u_alpha(self) -> bool:
        """Whether both codecs were given maps."""
        return self.anchor_u_alpha not in (None, 1)

    @property
    def key(self) -> CurveKey:
        """The curve that is compared."""
        return CurveKey(self.codec, self.u_alpha)


def compare(
    records: Sequence[Record],
    anchors: Iterable[str],
    settings: Settings | None = None,
    published: Sequence[Published] = (),
    failures: Sequence[Failure] = (),
) -> list[Row]:
    """Rows for every dataset, anchor, curve, metric and sequence, each group followed by its mean and its mean curve.

    An anchor stands without ROI (u_alpha = 1). Where it takes maps and has curves at other u_alphas, there are rows of
    each of them, too, against the other codecs that take maps at the same u_alpha.

    Args:
        records: Results.
        anchors: Codecs to compare with; a published one goes by its name with or without `` (published)``.
        settings: How the numbers are computed.
        published: Curves that take part where the data set has their name, or that are compared among themselves.
        failures: Jobs without a record: rows that lack a point because of one say so.

    Raises:
        ConfigError: an anchor is among the curves of no data set, or has none that could be compared.
    """
    anchors = list(dict.fromkeys(anchors))
    rows, grounds = [], _grounds(records, published, failures)
    for ground in grounds:
        for name in anchors:
            for pair in pairs(name, ground.keys):
                for metric in ground.metrics:
                    rows += ground.rows(*pair, metric, settings)
    for name in anchors:  # one that only some of the data sets have is compared with there
        without = [g for g in grounds if not pairs(name, g.keys) and without_roi(name, g.keys) is None and g.sequences]
        if without and len(without) == len(grounds):
            raise ConfigError(
                f"there are no results of {name} on {without[0].dataset} to compare with, without ROI or at the "
                f"u_alpha of another codec; have {', '.join(k.label for k in without[0].keys)}"
            )
    if not rows and not records and not failures:
        names = ", ".join(dict.fromkeys(f"{c.name} on {c.dataset}" for c in published)) or "nothing"
        raise ConfigError(f"there are no results of {', '.join(anchors)} to compare with; have {names}")
    return rows


def _grounds(records: Sequence[Record], published: Sequence[Published], failures: Sequence[Failure]) -> "list[_Ground]":
    """One for each data set; the spelling of its name is that of the records."""
    names: dict[str, str] = {}
    for item in (*records, *failures, *published):
        names.setdefault(item.dataset.casefold(), item.dataset)
    return [
        _Ground(
            name,
            [r for r in records if r.dataset.casefold() == folded],
            {c.key: c for c in published if c.dataset.casefold() == folded},
            [f for f in failures if f.dataset.casefold() == folded],
        )
        for folded, name in names.items()
    ]


@dataclass
class _Ground:
    """All there is of one data set."""

    dataset: str
    records: list[Record]
    published: dict[CurveKey, Published]
    failures: list[Failure]

    def __post_init__(self):
        jobs = [*self.records, *self.failures]
        self.keys = [*curve_keys(jobs), *self.published]
        self.sequences = list(dict.fromkeys(job.sequence for job in jobs))
        self.measured = {m for r in self.records for m in r.metrics}
        without = {m for r in self.records for m in r.meta.get("unavailable", {}) if self._makes_sense(m)}
        if not self.records:
            self.measured = {m for c in self.published.values() for m in c.curves}
        self.metrics = in_order(self.measured | without)
        self.twins = twins(self.records)

    def _makes_sense(self, metric: str) -> bool:
        """Whether there could be a value: regions need a mask on any sequence."""
        clips = [r.meta.get("made_by", {}).get("clip", {}) for r in self.records]
        without = bool(clips) and all("mask_sha256" in c and c["mask_sha256"] is None for c in clips)
        return not (without and metric.endswith(("_roi", "_bg")))

    def rows(self, anchor: CurveKey, key: CurveKey, metric: str, settings: Settings | None) -> list[Row]:
        """The rows of one comparison."""
        group = []
        if not (anchor.published or key.published):
            group = [self._sequence(s, anchor, key, metric, settings) for s in self.sequences]
            group.append(_mean(group))
        group.append(self._mean_curve(anchor, key, metric, settings))
        own, other = (self.twins.get(k, k) for k in (key, anchor))
        twin = anchor if own == other else own if own != key else None
        same = {"same_as": twin and twin.label, "anchor_same_as": other.label if other != anchor else None}
        return [replace(row, measured=metric in self.measured, **same) for row in group]

    def _sequence(self, sequence: str, anchor: CurveKey, key: CurveKey, metric: str, settings: Settings | None) -> Row:
        head = (self.dataset, sequence, metric, anchor.codec, *key, anchor.u_alpha)
        pair = (anchor, key)
        curves = [points(self.records, k, sequence, metric) for k in pair]
        for k, curve in zip(pair, curves, strict=True):
            if not curve:
                return _without_number(head, 1, self._why_empty(k, sequence, metric))
        return _row(head, 1, 1, curves, pair, metric, settings, self._lost(pair, [sequence]))

    def _mean_curve(self, anchor: CurveKey, key: CurveKey, metric: str, settings: Settings | None) -> Row:
        head, pair = (self.dataset, MEAN_CURVE, metric, anchor.codec, *key, anchor.u_alpha), (anchor, key)
        own = [k for k in pair if not k.published]
        sequences = self.sequences if own else []
        over = [s for s in sequences if all(points(self.records, k, s, metric) for k in own)]
        if own and not over:
            first = sequences[0]
            empty = next((k for k in own if not points(self.records, k, first, metric)), own[0])
            return _without_number(head, len(sequences), self._why_empty(empty, first, metric))
        for k in pair:
            if k.published and metric not in self.published[k].curves:
                return _without_number(head, len(sequences), f"{k.label} gives no such number")
        rates = {self.published[k].rate for k in pair if k.published}
        if len(rates) > 1:
            reason = "one curve gives bits per pixel, the other kbit/s, and the size of the frames is not known"
            return _without_number(head, len(sequences), reason)
        rate = rates.pop() if rates else "bpp"
        curves = [
            self.published[k].curves[metric] if k.published else mean_points(self.records, k, over, metric, rate)
            for k in pair
        ]
        notes = []
        if len(over) < len(sequences):
            without = ", ".join(s for s in sequences if s not in over)
            notes.append(f"over {len(over)} of {len(sequences)} sequences (without {without})")
        for k in own:
            if out := points_not_everywhere(self.records, k, over, metric):
                notes.append(f"{k.label} without {_labels(out)}, which not every sequence has")
        notes += self._lost(own, over)
        return _row(head, len(sequences), len(over), curves, pair, metric, settings, notes)

    def _why_empty(self, key: CurveKey, sequence: str, metric: str) -> str:
        own = [r for r in self.records if key_of(r) == key and r.sequence == sequence]
        if own:
            return "no value: " + own[0].meta.get("unavailable", {}).get(metric, "it was not measured")
        lost = self._lost([key], [sequence])
        return lost[0] if lost else f"{key.label} was not run on it"

    def _lost(self, keys: Iterable[CurveKey], sequences: Sequence[str]) -> list[str]:
        """What the failed jobs took from each of ``keys``."""
        out = []
        for key in keys:
            failed = [f for f in self.failures if key_of(f) == key and f.sequence in sequences]
            if failed:
                reasons = " / ".join(dict.fromkeys(f.reason for f in failed))
                out.append(f"{key.label} failed at {_labels(f.point for f in failed)}: {reasons}")
        return out


def _labels(found: Iterable[dict[str, float]]) -> str:
    return " and ".join(dict.fromkeys(map(point_label, found)))


def _row(
    head: tuple,
    sequences: int,
    count: int,
    curves: list[Curve],
    pair: tuple[CurveKey, CurveKey],
    metric: str,
    settings: Settings | None,
    notes: list[str],
) -> Row:
    """The row of two curves; ``notes`` say what they lack, and stand behind the reason where there is one."""
    names = (pair[0].label, pair[1].label)
    rate, quality = (delta(*curves, metric, settings, names) for delta in (bd_rate, bd_quality))
    return Row(
        *head,
        bd_rate=rate.percent,
        reason="; ".join([rate.reason, *notes] if rate.reason else notes) or None,
        overlap=rate.overlap,
        sequences=sequences,
        sequences_with_number=count if rate.percent is not None else 0,
        bd_quality=quality.difference,
        quality_reason="; ".join([quality.reason, *notes] if quality.reason else notes) or None,
        quality_overlap=quality.overlap,
        sequences_with_quality=count if quality.difference is not None else 0,
    )


def _without_number(head: tuple, sequences: int, reason: str) -> Row:
    return Row(*head, None, reason, None, sequences, 0, None, reason, None, 0)


def _mean(group: list[Row]) -> Row:
    """The mean of the sequences' numbers."""
    first = group[0]
    rates = [r.bd_rate for r in group if r.bd_rate is not None]
    qualities = [r.bd_quality for r in group if r.bd_quality is not None]
    return Row(
        first.dataset,
        MEAN,
        first.metric,
        first.anchor,
        *first.key,
        first.anchor_u_alpha,
        bd_rate=sum(rates) / len(rates) if rates else None,
        reason=_mean_reason([(r.sequence, r.bd_rate, r.reason) for r in group]),
        sequences=len(group),
        sequences_with_number=len(rates),
        bd_quality=sum(qualities) / len(qualities) if qualities else None,
        quality_reason=_mean_reason([(r.sequence, r.bd_quality, r.quality_reason) for r in group]),
        sequences_with_quality=len(qualities),
    )


def _mean_reason(group: list[tuple[str, float | None, str | None]]) -> str | None:
    """What is missing from a mean over (sequence, number, reason): numbers, or points of curves that have one."""
    said = []
    without = [(sequence, reason) for sequence, number, reason in group if number is None]
    if without:
        names = ", ".join(sequence for sequence, _ in without)
        reasons = list(dict.fromkeys(reason for _, reason in without))
        more = f" / {len(reasons) - 2} more, in the tables of the sequences" if len(reasons) > 2 else ""
        said.append(f"no number on {len(without)} of {len(group)} sequences ({names}): {' / '.join(reasons[:2])}{more}")
    said += [f"on {sequence} {reason}" for sequence, number, reason in group if number is not None and reason]
    return "; ".join(said) or None
